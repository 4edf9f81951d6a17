"""Checks of a study's named rows: the base, each path and value, and the settings that result."""

from collections.abc import Collection, Iterator

from pydantic import ValidationError

from studies.files.problems import Problem, did_you_mean, nearest, shown
from studies.files.rows_settings import RowSettings, row_settings
from studies.files.setting_paths import REFUSED, trial_leaves
from studies.files.study_settings import StudySettings
from studies.files.validation import leaf_error
from trainables.settings import TrialSettings

# These rows are told apart in the table instead: `metric` and a leaking split are things that a report may compare.
MARKED = ("metric", "augment.oversample.leaky")
OF_ROWS = {
    "seed": "every row gets the same seeds from --seeds",
    "entry": "rows of different code are different studies",
}


def check_rows(study: StudySettings, names: Collection[str]) -> Iterator[Problem]:
    """Problems of base, names, paths and values of the rows, and of those that promotion.rows names.

    `names` are all rows, also those that were left out.
    """
    known = f"rows: {', '.join(names)}" if names else "there are no `rows`"
    named = [(("base",), study.base)] if study.base is not None else []
    for path, name in [*named, *((("promotion", "rows"), name) for name in study.promotion.rows)]:
        if name not in names:
            yield Problem(path, f"got {shown(name)}{did_you_mean(name, names) or ';'} {known}")
    for name, row in study.rows.items():
        yield from _check_row(name, row)


def check_row_settings(study: StudySettings) -> Iterator[Problem]:
    """Problems of each row's settings as a whole, where paths and values are known to be sound one by one.

    What is wrong with the trial's own settings is said there, not once more for every row.
    """
    known = set(_findings(study.trial))
    for name, row in study.rows.items():
        try:
            findings = list(_findings(row_settings(study.trial, row)))
        except ValidationError as error:
            findings = [
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg'].removeprefix('Value error, ')}"
                for detail in error.errors()
            ]
        for finding in findings:
            if finding not in known:
                yield _blame(name, row, finding)


def _findings(trial: TrialSettings) -> list[str]:
    # Brings torch and timm, which the checks of paths and values do without.
    from trainables.check import SettingsError, check_settings

    try:
        check_settings(trial)
    except SettingsError as error:
        return str(error).splitlines()
    return []


def row_refusal(path: str) -> str | None:
    """Why a row may not set this path of a trial; None if it may."""
    why = {**REFUSED, **OF_ROWS}
    del why["epochs"]
    for top, reason in why.items():
        if (path == top or path.startswith(f"{top}.")) and top not in MARKED:
            return reason.replace("trials would", "rows would")
    return None


def settable() -> tuple[str, ...]:
    """Every dotted path that a row may set."""
    return tuple(path for path in trial_leaves() if row_refusal(path) is None)


def _check_row(name: str, row: RowSettings) -> Iterator[Problem]:
    if not name.strip():
        yield Problem(("rows", name), "a row's name needs at least one visible character")
    for path, value in row.set.items():
        why = _path_problem(path) or leaf_error(path, value)
        if why:
            yield Problem(("rows", name, "set", path), why)


def _path_problem(path: str) -> str | None:
    if path in settable():
        return None
    short = path.removeprefix("trial.")
    below = [leaf for leaf in trial_leaves() if leaf.startswith(f"{short}.")]
    if (short in trial_leaves() or below) and (why := row_refusal(short)):
        return f"cannot differ between rows: {why}; set it under `trial`"
    if short != path and (short in trial_leaves() or below):
        return f"paths in `set` start below `trial`; write `{short}`"
    if below:
        return f"is a group of settings; write one of its paths with dots: {', '.join(below)}"
    last = short.rsplit(".", 1)[-1]
    ends = [leaf for leaf in settable() if leaf.rsplit(".", 1)[-1] == last]
    match = nearest(short, settable()) or next(iter(ends), None)
    return (
        f"no such setting; did you mean `{match}`?" if match else f"no such setting; accepted: {', '.join(settable())}"
    )


def _blame(name: str, row: RowSettings, finding: str) -> Problem:
    """The finding at the path it begins with, if the row sets that; else at the row."""
    path, colon, message = finding.partition(": ")
    for set_path in row.set if colon else ():
        if set_path == path or set_path.startswith(f"{path}."):
            return Problem(("rows", name, "set", set_path), message)
    return Problem(("rows", name), finding)
