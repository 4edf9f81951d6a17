"""Checks of a study's first trials: the settings to enqueue against the space, and how many there are."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.space import fitted
from search.space_settings import Choice, SpaceError
from studies.files.problems import Path, Problem, did_you_mean
from studies.files.space_checks import study_space
from studies.files.study_settings import StudySettings

GRID = "the study searches a grid, whose points are all run without being asked for"


def check_first(study: StudySettings) -> Iterator[Problem]:
    """Problems of `search.enqueue` and `search.warm_start` in a study whose space is sound."""
    search = study.search
    for key, given in (("enqueue", search.enqueue), ("warm_start", search.warm_start)):
        if given and search.sampler.name == "grid":
            yield Problem(("search", key), GRID)
    for index, values in enumerate(search.enqueue):
        yield from _check_values(study, ("search", "enqueue", index), values)
    warm = search.warm_start
    if warm is not None and warm.study == study.name:
        message = f"got {warm.study!r}, which is this study itself; expected another of the same storage"
        yield Problem(("search", "warm_start"), message)
    first = len(search.enqueue) + (warm.trials if warm is not None else 0)
    if search.trials is not None and search.trials < first:
        parts = [f"{len(search.enqueue)} of search.enqueue"] if search.enqueue else []
        parts += [f"{warm.trials} of search.warm_start"] if warm is not None else []
        message = f"got {search.trials}; expected at least {first}: the first trials, {' and '.join(parts)}, count"
        yield Problem(("search", "trials"), message)


def _check_values(study: StudySettings, place: Path, values: Mapping[str, Choice]) -> Iterator[Problem]:
    space, fixed = study_space(study), study.trial.model_dump(mode="json")
    searched = space.distributions
    if not values:
        yield Problem(place, "names no setting; give at least one, such as optimizer.lr: 3e-4")
    sound = True
    for path, value in values.items():
        if why := _wrong(path, value, study, searched):
            sound = False
            yield Problem((*place, path), why)
    if sound:
        try:
            space.check(values, fixed)
        except SpaceError as error:
            yield Problem((*place, error.path), f"would be ignored: it {error.message}")


def _wrong(path: str, value: Choice, study: StudySettings, searched: Mapping[str, Any]) -> str | None:
    if path not in searched:
        if path in study.space:
            return "would be ignored: with the fixed settings its condition can never hold"
        known = f"expected one of {', '.join(searched)}" if searched else "it searches nothing"
        return f"is not searched by this study{did_you_mean(path, searched) or ';'} {known}"
    try:
        fitted(path, searched[path], value)
    except SpaceError as error:
        return error.message
    return None
