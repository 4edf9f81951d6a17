"""Changing the space of a study under way: past trials are kept, and count for the sampler in the new space."""

import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.bridge import take_over
from search.copying import read_content
from search.first_trials import enqueue_first
from search.lease import LeaseTaken, open_lease
from search.records.mlflow_store import TrackingError
from search.replacing import replace as replace_study
from search.retrying import guard
from search.space_change import SpaceChangeError, rewrite_trials
from studies.files.overrides import read_overrides
from studies.files.space_checks import study_space
from studies.files.study_file import parse_study
from studies.files.study_settings import StudySettings
from studies.running.trial_place import PlaceGone
from studies.stored import StudyError, load_settings, open_study
from studies.upkeep.reconcile import reconcile
from studies.workspace import Workspace

# The study's attribute with the spaces that it had before, each with when it was changed.
CHANGES = "space_changes"
# Samplers whose next points depend on the space that the past ones were drawn from.
BOUND = {
    "grid": "its points are numbered by the space",
    "cmaes": "what it keeps in past trials knows the old bounds alone",
    "qmc": "its sequence belongs to the space, and would begin again",
}


@dataclass(frozen=True)
class SpaceChange:
    """What was changed, in lines, and how many past trials count in the new space."""

    trials: int
    lines: Sequence[str]


def change_space(
    name: str, workspace: Workspace, assignments: Sequence[str], say: Callable[[str], None]
) -> SpaceChange:
    """Change the space of study `name` by `space.PATH=VALUE` assignments.

    Past trials get the new distributions and keep all else; one that had no value of a parameter has the fixed value
    that it ran with. Raises ValueError, with nothing changed, where a process runs the study, the new space leaves
    out a past trial, or anything but the space would change.
    """
    open_study(name, workspace)
    with open_lease(workspace.storage, name) as lease:
        study = open_study(name, workspace, write=True)
        guard(study, lease, say)
        before = load_settings(name, workspace)
        after = changed_settings(before, assignments)
        # What the next driver would do first: then every trial either began or did not.
        take_over(study)
        enqueue_first(study)
        content = read_content(study)
        try:
            done = rewrite_trials(
                content.trials, study_space(before), study_space(after), before.trial.model_dump(mode="json")
            )
        except SpaceChangeError as error:
            raise StudyError(f"{error}\nwiden it, or launch another study") from error
        stored = content.user_attrs["study"]
        attributes = {
            **content.user_attrs,
            "study": {**stored, "space": after.resolved()["space"]},
            CHANGES: [*content.user_attrs.get(CHANGES, []), {"when_s": time.time(), "before": stored["space"]}],
        }
        replace_study(name, replace(content, user_attrs=attributes, trials=done.trials), study._storage)
    if done.filled:
        try:
            reconcile(name, workspace)
        except (TrackingError, PlaceGone, LeaseTaken) as error:
            say(f"{error}; `contourney reconcile {shlex.quote(name)}` writes to MLflow later what past trials got")
    return SpaceChange(len(done.trials), _lines(before, after, done.filled))


def changed_settings(before: StudySettings, assignments: Sequence[str]) -> StudySettings:
    """A study's settings with another space, checked as at a launch; raises ValueError."""
    name, sampler = before.name, before.search.sampler.name
    if sampler in BOUND:
        raise StudyError(
            f"study {name!r} is searched by {sampler}, which takes no other space: {BOUND[sampler]}; launch another "
            "study"
        )
    for keys in read_overrides(assignments, {}).values:
        path = ".".join(map(str, keys))
        if path in ("search.trials", "search.hours"):
            raise StudyError(f"{path}: the budget is raised by `contourney extend`")
        if keys[0] != "space":
            raise StudyError(
                f"{path}: only the space of a study can be changed, since its trials would not compare; launch another "
                "study"
            )
    old = before.resolved()
    after = parse_study(json.dumps(old), f"study {name!r}", name, assignments)
    new = after.resolved()
    if out := [path for path in old["space"] if path not in new["space"]]:
        raise StudyError(f"space.{out[0]}: a parameter that is searched cannot be taken out; launch another study")
    if new["space"] == old["space"]:
        raise StudyError(f"the space of study {name!r} is this already; nothing was changed")
    return after


def _lines(before: StudySettings, after: StudySettings, filled: Mapping[str, int]) -> list[str]:
    old, new = before.resolved()["space"], after.resolved()["space"]
    lines = []
    for path in new:
        if path not in old:
            lines.append(f"{path}: new, {_declared(new[path])}")
        elif old[path] != new[path]:
            lines.append(f"{path}: was {_declared(old[path])}, now {_declared(new[path])}")
        if path in filled:
            lines.append(f"  {filled[path]} past trials have the value that they ran with")
    return lines


def _declared(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())
