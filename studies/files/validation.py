"""Check plain values against the settings classes and say every mismatch in the words of the file."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from studies.files.problems import Path, Problem, did_you_mean, nearest, shown
from studies.files.setting_paths import accepted, keys_of, named, study_node, study_paths
from studies.files.study_settings import StudySettings
from trainables.settings import TrialSettings


def validate(data: Mapping[str, Any]) -> tuple[StudySettings, list[Problem]]:
    """The settings and the problems of `data`; where there are problems, the settings have defaults in their place.

    JSON's types are taken strictly: '3' is no integer, true is no number, 1 is a float.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(data))
    problems: dict[Path, Problem] = {}
    while True:
        try:
            return StudySettings.model_validate_json(json.dumps(rest), strict=True), list(problems.values())
        except ValidationError as error:
            # A union reports one error for each of its members: the first of a path speaks for all.
            paths = []
            for detail in error.errors():
                path = _existing(detail["loc"], rest)
                problems.setdefault(path, Problem(path, _message(detail, path, rest)))
                paths.append(path)
            for path in paths:
                _remove(rest, path)


def leaf_error(path: str, value: Any) -> str | None:
    """What the trial's setting at a dotted path has against a value; None if it accepts it."""
    keys = path.split(".")
    nested: Any = value
    for key in reversed(keys):
        nested = {key: nested}
    try:
        TrialSettings.model_validate_json(json.dumps(nested), strict=True)
    except ValidationError as error:
        for detail in error.errors():
            # Errors of a whole group come from combinations, which are checked with all the settings together.
            if list(detail["loc"][: len(keys)]) == keys:
                return _message(detail, ("trial", *keys), {"trial": nested})
    return None


def _message(detail: ErrorDetails, path: Path, data: Mapping[str, Any]) -> str:
    if detail["type"] == "extra_forbidden":
        return unknown_key(path)
    value = _lookup(path, data)
    if detail["type"] == "value_error":
        return f"{detail['ctx']['error']}; got {shown(value)}"
    node = study_node(path)
    hint = did_you_mean(value, named(node)) if isinstance(value, str) else ""
    return f"got {shown(value)}{hint or ';'} accepted: {accepted(node)}"


def unknown_key(path: Path) -> str:
    """The message for a key that does not exist, with the nearest that does."""
    key = str(path[-1])
    valid = keys_of(study_node(path[:-1]))
    return f"unknown key{_key_hint(key, valid) or ';'} accepted: {', '.join(valid)}"


def _key_hint(key: str, valid: list[str]) -> str:
    elsewhere = {place.rsplit(".", 1)[-1]: place for place in reversed(study_paths())}
    dotted_places = [place for place in study_paths() if f".{place}".endswith(f".{key}")]
    if "." in key and dotted_places:
        return f"; did you mean `{dotted_places[0]}`? (write nested keys; dotted ones are for `space` and --set)"
    if hint := did_you_mean(key, valid):
        return hint
    # The right name in the wrong place, such as `optimizer` beside `trial`, or nearly so.
    match = key if key in elsewhere else nearest(key, elsewhere)
    return f"; did you mean `{elsewhere[match]}`?" if match else ""


def _existing(location: tuple[int | str, ...], data: Any) -> Path:
    """The part of a location that exists in the data; pydantic adds the names of union members."""
    path: list[str | int] = []
    value = data
    for part in location:
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if not inside:
            break
        path.append(part)
        value = value[part]
    return tuple(path)


def _lookup(path: Path, data: Any) -> Any:
    for part in path:
        data = data[part]
    return data


def _remove(data: dict[str, Any], path: Path) -> None:
    """Take out the mapping entry that holds `path`, a list as a whole."""
    keys = path[: next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))]
    target: Any = data
    for key in keys[:-1]:
        if key not in target:
            return
        target = target[key]
    target.pop(keys[-1], None)
