"""Checks of a study's space: its paths, its values against the settings they replace, its conditions."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.space import Space, topological_order
from search.space_settings import Choice, ParameterSettings, SpaceError, build_distribution, same_value
from studies.files.problems import Path, Problem, nearest, shown
from studies.files.setting_paths import refusal, searchable_kinds, trial_leaves, value_kinds
from studies.files.study_settings import StudySettings
from studies.files.validation import leaf_error

# A setting that does nothing while another has a certain value: searching it then would only blur importance.
INERT: tuple[tuple[str, str, Choice], ...] = (
    ("augment.strength", "augment.set", "none"),
    ("data.clean.refine.variation", "data.clean.refine.radius", 0),
    ("data.clean.pseudo_labels.confidence", "data.clean.pseudo_labels.file", None),
)


def study_space(study: StudySettings) -> Space:
    """The space of a study, without parameters whose conditions its fixed settings can never meet."""
    return Space.declare(study.space, value_kinds()).live(study.trial.model_dump())


def check_space_paths(space: Mapping[str, Any]) -> list[Problem]:
    """A problem for every key of a raw space that is no path a study may search."""
    return [Problem(("space", path), message) for path in space if (message := _path_problem(path))]


def _path_problem(path: str) -> str | None:
    if path in searchable_kinds():
        return None
    short = path.removeprefix("trial.")
    known = short in trial_leaves() or any(leaf.startswith(f"{short}.") for leaf in trial_leaves())
    if known and (why := refusal(short)):
        return f"cannot be searched: {why}; set it under `trial`"
    if short != path and short in searchable_kinds():
        return f"paths in `space` start below `trial`; write `{short}`"
    if short in trial_leaves():
        return "is a list; only settings of one value can be searched"
    below = [leaf for leaf in searchable_kinds() if leaf.startswith(f"{short}.")]
    if known:
        return f"is a group of settings; write one of its paths with dots: {', '.join(below)}"
    last = short.rsplit(".", 1)[-1]
    ends = [leaf for leaf in searchable_kinds() if leaf.rsplit(".", 1)[-1] == last]
    match = nearest(short, searchable_kinds()) or next(iter(ends), None)
    if match is None:
        return f"no such setting; accepted: {', '.join(searchable_kinds())}"
    group = match.split(".")[0]
    beside = [leaf for leaf in searchable_kinds() if leaf.split(".")[0] == group]
    return f"no such setting; did you mean `{match}`? accepted below {group}: {', '.join(beside)}"


def check_space(study: StudySettings) -> Iterator[Problem]:
    """Problems of the declared parameters, whose paths are known to be valid."""
    yield from _check_pipeline(study)
    sound = True
    for path, declared in study.space.items():
        problems = [*_check_values(path, declared), *_check_conditions(path, study)]
        sound = sound and not problems
        yield from problems
    try:
        topological_order(study.space)
    except SpaceError as error:
        yield Problem(_place(error), error.message)
        return
    if sound:
        yield from _check_inert(study)


def _check_values(path: str, declared: ParameterSettings) -> Iterator[Problem]:
    told: str | None = None
    try:
        build_distribution(path, declared, searchable_kinds()[path])
    except SpaceError as error:
        yield Problem(_place(error), error.message)
        if error.key is None:
            return
        told = error.key
    for part, value in _values(declared):
        if part[0] != told and (why := leaf_error(path, value)):
            yield Problem(("space", path, *part), why)


def _place(error: SpaceError) -> Path:
    return ("space", error.path, error.key) if error.key else ("space", error.path)


def _values(declared: ParameterSettings) -> Iterator[tuple[Path, Choice]]:
    """Every value that is written down, with its place below the parameter."""
    for index, choice in enumerate(declared.choices or ()):
        yield ("choices", index), choice
    if declared.low is not None:
        yield ("low",), declared.low
    if declared.high is not None:
        yield ("high",), declared.high


def _check_conditions(path: str, study: StudySettings) -> Iterator[Problem]:
    for other, values in study.space[path].conditions.items():
        place = ("space", path, "when", other)
        if other not in value_kinds():
            match = nearest(other.removeprefix("trial."), value_kinds())
            hint = f"; did you mean `{match}`?" if match else ""
            yield Problem(place, f"no setting of one value below `trial`{hint}")
            continue
        if not values:
            yield Problem(place, "got an empty list: the parameter would never be searched; give a value")
        for value in values:
            if why := leaf_error(other, value):
                yield Problem(place, why)
            elif (parent := study.space.get(other)) and not _reachable(value, other, parent, study):
                choices = ", ".join(map(str, parent.choices or ()))
                came = f"choices: {choices}" if parent.choices else f"range: {parent.low} to {parent.high}"
                yield Problem(place, f"{other} is searched and never gets {shown(value)}; its {came}")


def _reachable(value: Choice, path: str, parent: ParameterSettings, study: StudySettings) -> bool:
    if parent.when and same_value(_fixed(path, study), value):
        return True
    if parent.choices is not None:
        return any(same_value(choice, value) for choice in parent.choices)
    if parent.low is None or parent.high is None or not isinstance(value, int | float):
        return True
    return parent.low <= value <= parent.high


def _fixed(path: str, study: StudySettings) -> Any:
    value: Any = study.trial
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _check_pipeline(study: StudySettings) -> Iterator[Problem]:
    """A pipeline that neither the fixed settings nor any choice or row uses was surely meant to be."""
    path, used = "augment.set", study.trial.augment.set
    declared = study.space.get(path)
    sets = {used, *(declared.choices or () if declared else ()), *(row.set.get(path) for row in study.rows.values())}
    if study.trial.augment.pipeline is not None and "custom" not in sets:
        message = f"given, but {path} is {used} and never custom; set trial.{path} to custom, or take this out"
        yield Problem(("trial", "augment", "pipeline"), message)


def _check_inert(study: StudySettings) -> Iterator[Problem]:
    searched = study_space(study).distributions
    for path, other, inert in INERT:
        if path not in searched:
            continue
        parent = study.space.get(other)
        possible = list(parent.choices or ()) if parent else []
        if parent is None or parent.when:
            possible.append(_fixed(other, study))
        useful = [value for value in dict.fromkeys(possible) if value != inert]
        allowed = study.space[path].conditions.get(other, tuple(possible))
        if inert in possible and inert in allowed:
            advice = f"add `when: {{{other}: [{', '.join(map(str, useful))}]}}`"
            if not useful:
                advice = f"set trial.{other} or search it too"
            yield Problem(("space", path), f"does nothing while {other} is {inert}; {advice}")
