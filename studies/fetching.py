"""Files of trials that are kept at a URI, brought into the workspace as the dashboard's pages ask for them."""

import threading
import time
from pathlib import PurePosixPath

from studies.running.places import SMALL
from studies.running.trial_place import PlaceError, PlaceGone, TrialPlace, join_uri
from studies.workspace import Workspace

# A trial that runs is asked for again so often at most; every page that shows it asks.
AGAIN_S = 2.0


class TrialFetcher:
    """Fetches what pages show of a trial: rows, settings in force, pictures, logs. Safe for several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._asked: dict[tuple[str, int, str], tuple[float, str | None]] = {}
        self._lock = threading.Lock()

    def __call__(self, study: str, number: int, uri: str) -> str | None:
        """Bring the newest files of a trial here; returns why they could not be had, None where they could."""
        with self._lock:
            asked_s, words = self._asked.get((study, number, uri), (-AGAIN_S, None))
            if time.monotonic() - asked_s < AGAIN_S:
                return words
            words = self._fetch(study, number, uri)
            self._asked[study, number, uri] = time.monotonic(), words
            return words

    def _fetch(self, study: str, number: int, uri: str) -> str | None:
        folder = self._workspace.trial_folder(study, number)
        kept_at = join_uri(uri, self._workspace.study_folder(study).name, "trials", folder.name)
        # A page does not wait for a network to come back; the next look asks again.
        place = TrialPlace(folder, kept_at, delays_s=())
        try:
            found = place.list()
            place.fetch_found(
                {name: file for name, file in found.items() if name in SMALL or PurePosixPath(name).suffix == ".log"}
            )
        except (PlaceGone, PlaceError, OSError) as error:
            return f"The files of this trial are kept at {kept_at} and could not be fetched: {error}"
        return None if found else f"The files of this trial are kept at {kept_at}, and none is there."
