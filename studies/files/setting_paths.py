"""The dotted paths of a trial's settings: which exist, their types, what they accept, which a space may name."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from studies.files.study_settings import StudySettings
from trainables.settings import TrialSettings

_TYPES: dict[str, type] = {"integer": int, "number": float, "boolean": bool, "string": str}
_WORDS = {"integer": "an integer", "number": "a number", "boolean": "true or false", "string": "text", "null": "null"}
_PLURALS = {"integer": "integers", "number": "numbers", "string": "texts"}

_DATA_REASON = "it changes what mIoU is measured on, so trials would not compare"
# Paths that no space may name, themselves or with everything below them, and why.
REFUSED: dict[str, str] = {
    "seed": "a search must not choose its luck",
    "epochs": "it is the horizon of the schedule and the budget of a trial; the pruner decides how far a trial goes",
    "entry": "trials of different code are different studies",
    "refit": "promotion alone refits, after the search (promotion.weights)",
    "metric": _DATA_REASON,
    "data.format": _DATA_REASON,
    "data.root": _DATA_REASON,
    "data.split": _DATA_REASON,
    "data.split_seed": _DATA_REASON,
    "data.shares": _DATA_REASON,
    "data.gap": _DATA_REASON,
    "data.classes": _DATA_REASON,
    "data.ignore_index": _DATA_REASON,
    "data.eval_size": _DATA_REASON,
    "data.drop": _DATA_REASON,
    "data.fold": _DATA_REASON,
    "data.npz": _DATA_REASON,
    "data.terrain": _DATA_REASON,
    "augment.oversample.leaky": "its validation mIoU is worthless",
}


def refusal(path: str) -> str | None:
    """Why a space may not name this path of a trial; None if it may."""
    return next((why for top, why in REFUSED.items() if path == top or path.startswith(f"{top}.")), None)


@cache
def trial_leaves() -> Mapping[str, dict[str, Any]]:
    """Dotted path -> JSON Schema of every setting of a trial that is a value, lists included."""
    schema = TrialSettings.model_json_schema()
    leaves: dict[str, dict[str, Any]] = {}

    def walk(node: dict[str, Any], prefix: str) -> None:
        for name, child in _resolve(node, schema).get("properties", {}).items():
            target = _resolve(child, schema)
            if "properties" in target:
                walk(target, f"{prefix}{name}.")
            else:
                leaves[prefix + name] = target

    walk(schema, "")
    return leaves


@cache
def value_kinds() -> Mapping[str, type]:
    """Dotted path -> int, float, bool or str of every setting of one value: what a condition may name."""
    kinds = {}
    for path, schema in trial_leaves().items():
        types = {option.get("type") for option in _options(schema)} - {"null"}
        if len(types) == 1 and (name := types.pop()) in _TYPES:
            kinds[path] = _TYPES[name]
    return kinds


@cache
def searchable_kinds() -> Mapping[str, type]:
    """The part of `value_kinds` that a space may name."""
    return {path: kind for path, kind in value_kinds().items() if refusal(path) is None}


@cache
def study_paths() -> tuple[str, ...]:
    """Every dotted path of a study file outside `space`, groups included."""
    schema = _study_schema()
    paths: list[str] = []

    def walk(node: dict[str, Any], prefix: str) -> None:
        for name, child in _resolve(node, schema).get("properties", {}).items():
            paths.append(prefix + name)
            walk(child, f"{prefix}{name}.")

    walk(schema, "")
    return tuple(paths)


def study_node(path: tuple[str | int, ...]) -> dict[str, Any]:
    """JSON Schema at a path of a study file; empty where it says nothing."""
    schema = _study_schema()
    node = schema
    for part in path:
        node = _step(_resolve(node, schema), part, schema)
    return _resolve(node, schema)


@cache
def _study_schema() -> dict[str, Any]:
    return StudySettings.model_json_schema()


def _step(node: dict[str, Any], part: str | int, schema: dict[str, Any]) -> dict[str, Any]:
    for option in _options(node):
        target = _resolve(option, schema)
        children = [target.get("properties", {}).get(part), target.get("additionalProperties")]
        if isinstance(part, int):
            items = target.get("prefixItems", [])
            children = [items[part] if part < len(items) else target.get("items")]
        for child in children:
            if isinstance(child, dict):
                return child
    return {}


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        target: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return target
    return node


def _options(node: dict[str, Any]) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = node.get("anyOf", [node])
    return options


def keys_of(node: dict[str, Any]) -> list[str]:
    """The keys of a group of settings, one that may be absent too."""
    groups = (_resolve(option, _study_schema()) for option in _options(node))
    return [key for group in groups for key in group.get("properties", {})]


def named(node: dict[str, Any]) -> list[str]:
    """The names that a setting accepts."""
    return [str(name) for option in _options(node) for name in option.get("enum", ())]


def accepted(node: dict[str, Any]) -> str:
    """What a setting accepts, in words: `a number > 0`, `one of adam, adamw, sgd`."""
    words = list(dict.fromkeys(_accepted_one(_resolve(option, _study_schema())) for option in _options(node)))
    # Every integer is a number too.
    if "a number" in words and "an integer" in words:
        words.remove("an integer")
    return " or ".join(words)


def _accepted_one(node: dict[str, Any]) -> str:
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    if "const" in node:
        return str(node["const"])
    if "pattern" in node:
        return "package.module:name of your own"
    if node.get("type") == "object":
        keys = ", ".join(node.get("properties", {}))
        if node.get("additionalProperties") is True:
            return f"a mapping with {keys} and the arguments of what it names"
        return f"a mapping with the keys {keys}" if keys else "a mapping"
    if node.get("type") == "array":
        return _accepted_list(node)
    return _WORDS.get(str(node.get("type")), "a value") + _limits(node)


def _limits(node: dict[str, Any]) -> str:
    limits = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    text = " and ".join(f"{sign} {node[key]}" for key, sign in limits.items() if key in node)
    if "maxLength" in node:
        text = f"of {node.get('minLength', 0)} to {node['maxLength']} characters"
    return f" {text}" if text else ""


def _accepted_list(node: dict[str, Any]) -> str:
    items = node.get("prefixItems")
    item = items[0] if items else node.get("items", {})
    words = _PLURALS.get(str(item.get("type")), "values") + _limits(item)
    return f"a list of {len(items)} {words}" if items else f"a list of {words}"
