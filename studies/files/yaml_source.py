"""Read a study file's YAML 1.2 into plain values, knowing the line of every key."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from studies.files.problems import Path, Problem, did_you_mean

# A study file has some hundred values; the limits only keep hostile files from taking memory or the stack.
MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 20_000
_INT64 = 1 << 63

_SCALARS = {"null", "bool", "int", "float", "str", "timestamp"}


@dataclass
class YamlSource:
    """Plain values (dict, list, str, int, float, bool, None), the line of every path, and what could not be read."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(text: str) -> YamlSource:
    """Read one YAML document; problems are collected, a syntax error being the only one of its text."""
    source = YamlSource()
    if len(text) > MAX_CHARACTERS:
        source.problems.append(Problem((), f"expected at most {MAX_CHARACTERS} characters, got {len(text)}"))
        return source
    try:
        node = _compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        source.problems.append(Problem((), f"no valid YAML: {_reason(error)}", mark.line + 1 if mark else None))
    # ruamel answers some malformed directives, escapes and anchors with these instead of its own error.
    except (YAMLError, ValueError, AttributeError, LookupError, TypeError) as error:
        source.problems.append(Problem((), f"no valid YAML: {' '.join(str(error).split()) or type(error).__name__}"))
    else:
        if node is not None:
            _Builder(source).build(node)
    return source


def _reason(error: MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    hint = "; indent with spaces, not tabs" if "'\\t'" in " ".join(parts) else ""
    return " ".join(", ".join(parts).split()) + hint


def _compose(text: str) -> Node | None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        kind = type(event).__name__
        depth += kind in ("MappingStartEvent", "SequenceStartEvent")
        depth -= kind in ("MappingEndEvent", "SequenceEndEvent")
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels at line {line}")
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


class _Builder:
    """Turns nodes into plain values; aliases are expanded, with a limit on what they may grow to."""

    def __init__(self, source: YamlSource) -> None:
        self.source = source
        self.constructor = YAML(typ="safe", pure=True).constructor
        self.values = 0
        self.open: set[int] = set()

    def build(self, node: Node) -> None:
        self.source.value = self._value(node, ())

    def _problem(self, path: Path, node: Node, message: str) -> None:
        self.source.problems.append(Problem(path, message, node.start_mark.line + 1))

    def _value(self, node: Node, path: Path) -> Any:
        self.source.lines.setdefault(path, node.start_mark.line + 1)
        self.values += 1
        if id(node) in self.open:
            self._problem(path, node, "an anchor that contains itself")
            return None
        if self.values > MAX_VALUES:
            if self.values == MAX_VALUES + 1:
                self._problem((), node, f"expected at most {MAX_VALUES} values, aliases counted as often as used")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if _tag(node) not in ("map", "seq"):
            self._problem(path, node, f"the tag {node.tag} is not accepted; write plain values")
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return dict(self._items(node, path))
            assert isinstance(node, SequenceNode)  # YAML has three kinds of nodes
            return [self._value(child, (*path, index)) for index, child in enumerate(node.value)]
        finally:
            self.open.discard(id(node))

    def _items(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._value(key_node, (*path, "?")) if isinstance(key_node, ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                if not isinstance(key_node, ScalarNode) or _tag(key_node) not in ("str", "timestamp"):
                    written = key_node.value if isinstance(key_node, ScalarNode) else "a list or mapping"
                    self._problem(path, key_node, f"expected text as a key, got {written or 'nothing'}")
                continue
            if key in first:
                self._problem((*path, key), key_node, f"given twice, first in line {first[key]}; keep one of them")
                continue
            first[key] = line
            self.source.lines[(*path, key)] = line
            yield key, self._value(value_node, (*path, key))

    def _text(self, node: ScalarNode, path: Path) -> str | None:
        text = _joined(str(node.value))
        if text is None:
            self._problem(path, node, "text with a character that cannot be stored (NUL or a lone surrogate)")
        return text

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        tag = _tag(node)
        if tag == "merge":
            tag = "str"
        if tag not in _SCALARS:
            self._problem(path, node, f"the tag {node.tag} is not accepted{did_you_mean(tag, _SCALARS)}")
            return None
        # A date is no value of any setting; as text it can at least be a name.
        if tag in ("str", "timestamp"):
            return self._text(node, path)
        try:
            value: Any = self.constructor.construct_object(node)
        except (YAMLError, ValueError, LookupError):
            self._problem(path, node, f"'{node.value[:40]}' is no {tag}")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(path, node, f"expected a finite number, got {node.value}")
            return None
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            self._problem(path, node, "expected an integer of at most 64 bits")
            return None
        return value


def _joined(text: str) -> str | None:
    """The text with JSON's pairs of surrogates joined; None if one stands alone or a NUL is in it."""
    try:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
    return None if "\0" in joined else joined


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix("tag:yaml.org,2002:")
