"""Load a study file: read, override, validate, check; every problem of the file is said at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.files.first_checks import check_first
from studies.files.hook_settings import check_hooks
from studies.files.overrides import Overrides, apply_overrides, read_overrides
from studies.files.problems import Problem, Sources, StudyFileError, render, shown
from studies.files.promotion_checks import check_promotion
from studies.files.recipe_files import resolve
from studies.files.row_checks import check_row_settings, check_rows
from studies.files.space_checks import check_space, check_space_paths
from studies.files.study_checks import check_algorithms, check_search, check_trials
from studies.files.study_settings import StudySettings
from studies.files.validation import validate
from studies.files.yaml_source import YamlSource, read_yaml

Options = Mapping[str, tuple[str, Any]]


def load_study(file: str | Path, overrides: Sequence[str] = (), options: Options | None = None) -> StudySettings:
    """The study of a file or recipe, with `PATH=VALUE` overrides and options put over it.

    `options` maps an option's name to the path it sets and its value, `{"--trials": ("search.trials", 24)}`; they go
    over the overrides. A study without a name is called like its file. Raises `StudyFileError`.
    """
    text, origin = resolve(file)
    return parse_study(text, origin, Path(file).stem, overrides, options or {})


def parse_study(
    text: str, origin: str, default_name: str, overrides: Sequence[str] = (), options: Options | None = None
) -> StudySettings:
    """The study of a text; `origin` names it in messages. Raises `StudyFileError` with all problems."""
    source = read_yaml(text)
    over = read_overrides(overrides, options or {})
    data = {} if source.value is None else source.value
    problems = list(source.problems)
    if not isinstance(data, dict):
        problems.append(Problem((), f"expected keys such as trial, space and search; got {shown(data)}"))
    # Without its mapping a text has no further problems that would help.
    if not isinstance(data, dict) or (source.value is None and problems):
        raise StudyFileError(render([*problems, *over.problems], _sources(origin, source, over)))
    apply_overrides(data, over)
    data.setdefault("name", default_name)
    problems += over.problems
    study, found = _check(data, problems)
    if found:
        raise StudyFileError(render(found, _sources(origin, source, over)))
    return study


def _check(data: dict[str, Any], problems: list[Problem]) -> tuple[StudySettings, list[Problem]]:
    """The settings with all problems; later checks are left out where an earlier problem would mislead them."""
    problems = list(problems)
    space = data.get("space", {})
    if isinstance(space, dict):
        wrong = check_space_paths(space)
        problems += wrong
        refused = {problem.path[1] for problem in wrong}
        # A parameter that is broken anywhere is checked no further.
        kept = {path: declared for path, declared in space.items() if path not in refused}
        data = {**data, "space": kept}
    study, found = validate(data)
    problems += found
    broken = {problem.path[1] for problem in problems if len(problem.path) > 1 and problem.path[0] == "space"}
    study = study.model_copy(update={"space": {p: s for p, s in study.space.items() if p not in broken}})
    problems += check_space(study)
    # A row that is broken anywhere is checked no further; a base among them is no mistake of its own.
    broken_rows = {problem.path[1] for problem in problems if len(problem.path) > 1 and problem.path[0] == "rows"}
    rows = {name: row for name, row in study.rows.items() if name not in broken_rows}
    problems += check_rows(study.model_copy(update={"rows": rows}), _row_names(data))
    told = {problem.path[:2] for problem in problems}
    for problem in check_search(study):
        budget = {("search",), ("search", "trials"), ("search", "hours")}
        if problem.path != ("search",) or not told & budget:
            problems.append(problem)
    problems += check_hooks(study.hooks)
    problems += check_promotion(study)
    if not problems:
        problems += check_first(study)
        problems += check_algorithms(study)
        problems += check_trials(study)
        problems += check_row_settings(study)
    elif space == {} and not data.get("rows"):
        problems.append(Problem(("space",), "empty; give at least one path, such as optimizer.lr"))
    return study, problems


def _sources(origin: str, source: YamlSource, over: Overrides) -> Sources:
    """Places of all keys; what an option replaced is no longer in the file."""
    replaced = set(over.values)
    lines = {
        path: line
        for path, line in source.lines.items()
        if not any(path[:end] in replaced for end in range(1, len(path) + 1))
    }
    return Sources(origin, lines, over.places)


def _row_names(data: Mapping[str, Any]) -> list[str]:
    rows = data.get("rows")
    return list(rows) if isinstance(rows, dict) else []
