"""Whether the ledgers of all test splits are whole: their chains, and the heads that studies and MLflow remember."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from search.records.mlflow_search import tags_of_runs
from search.storage import open_storage
from studies.confirmatory.confirm import PROMOTION
from studies.promotion.vault import LEDGER, TestVault, fingerprints
from studies.workspace import Workspace

HEAD, FINGERPRINT = "contourney.vault.head", "contourney.fingerprint.test"


@dataclass(frozen=True)
class Ledger:
    """The entries of one test split, and how many heads of it are remembered elsewhere."""

    fingerprint: str
    entries: list[dict[str, Any]]
    mirrored: int

    @property
    def openings(self) -> int:
        """How often the split was opened."""
        return sum(entry["kind"] == "opening" for entry in self.entries)


def verify(workspace: Workspace) -> list[Ledger]:
    """Every ledger of the storage, checked; raises VaultError with the first thing that does not fit."""
    heads: dict[str, set[str]] = {fingerprint: set() for fingerprint in fingerprints(workspace.storage)}
    for record in [*_records(workspace), *_tags(workspace)]:
        heads.setdefault(record["fingerprint"], set()).add(record["head"])
    found = []
    for fingerprint, mirrored in sorted(heads.items()):
        ledger = TestVault(workspace.storage, fingerprint)
        for head in sorted(mirrored):
            ledger.check_head(head)
        found.append(Ledger(fingerprint, ledger.entries(), len(mirrored)))
    return found


def log(workspace: Workspace) -> list[dict[str, Any]]:
    """The entries of every ledger, in the order of time; raises VaultError where a chain is broken."""
    found = [entry for one in fingerprints(workspace.storage) for entry in TestVault(workspace.storage, one).entries()]
    return sorted(found, key=lambda entry: float(entry["when_s"]))


def _records(workspace: Workspace) -> Iterator[Mapping[str, str]]:
    """The records of promotions that Optuna's studies keep."""
    storage = open_storage(workspace.storage)
    for name in optuna.get_all_study_names(storage):
        if name == LEDGER:
            continue
        attributes = optuna.load_study(study_name=name, storage=storage).user_attrs
        for key, value in attributes.items():
            if (key == "promotion" or key.startswith(PROMOTION)) and "head" in value:
                yield value


def _tags(workspace: Workspace) -> Iterator[Mapping[str, str]]:
    """What MLflow's runs remember."""
    database = workspace.tracking.removeprefix("sqlite:///")
    if database != workspace.tracking and not Path(database).is_file():
        return
    for tags in tags_of_runs(workspace.tracking, HEAD).values():
        yield {"head": tags[HEAD], "fingerprint": tags[FINGERPRINT]}
