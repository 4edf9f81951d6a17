"""What is wrong with a study file: one problem a line, each with its place, what came and what is accepted."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]

MAX_SHOWN = 50
MAX_LINE = 1500
_AFTER_ALL_LINES = 1 << 62


@dataclass(frozen=True)
class Problem:
    """One finding at a path of the study file; `line` or `place` only where the finding has no key of its own."""

    path: Path
    message: str
    line: int | None = None
    place: str | None = None


class StudyFileError(ValueError):
    """A refused study file; the message holds every problem, one a line."""


@dataclass(frozen=True)
class Sources:
    """Where each key of the merged settings came from: a line of the file or an option of the command line."""

    origin: str
    lines: dict[Path, int]
    options: dict[Path, str]

    def locate(self, problem: Problem) -> tuple[int, str]:
        """Sort key (the line; options come last) and the words that name the place."""
        if problem.place is not None:
            return _AFTER_ALL_LINES, problem.place
        if problem.line is not None:
            return problem.line, f"{self.origin}:{problem.line}"
        for end in range(len(problem.path), -1, -1):
            path = problem.path[:end]
            if path in self.options:
                return _AFTER_ALL_LINES, self.options[path]
            if path in self.lines:
                return self.lines[path], f"{self.origin}:{self.lines[path]}"
        # An empty file has no keys at all.
        return 1, f"{self.origin}:1"


def render(problems: Sequence[Problem], sources: Sources) -> str:
    """All problems in the order of the file; those of the options after them."""
    placed = sorted((*sources.locate(problem), dotted(problem.path), problem.message) for problem in problems)
    lines = []
    for _, place, key, message in placed:
        # `--set trial.epochs=0` names its key already.
        parts = [place, message] if not key or place.startswith(f"--set {key}=") else [place, key, message]
        lines.append(": ".join(parts))
    unique = list(dict.fromkeys(_one_line(line) for line in lines))
    if len(unique) == 1:
        return unique[0]
    rest = [f"and {len(unique) - MAX_SHOWN} more"] if len(unique) > MAX_SHOWN else []
    return "\n  ".join([f"{sources.origin} has {len(unique)} problems:", *unique[:MAX_SHOWN], *rest])


def _one_line(text: str) -> str:
    """Text that stays one line on any terminal, whatever a hostile file holds."""
    visible = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return visible if len(visible) <= MAX_LINE else f"{visible[: MAX_LINE - 3]}..."


def dotted(path: Iterable[str | int]) -> str:
    """The path as it is written: space.optimizer.lr.choices[2]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that `name` was probably meant to be."""
    names = list(valid)
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    # `halving` for `successive_halving`
    parts = [other for other in names if len(name) > 3 and name in other]
    return next(iter(found + parts), None)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean x?`, or nothing where no valid name is near."""
    match = nearest(name, valid)
    return f"; did you mean `{match}`?" if match else ""


def shown(value: Any) -> str:
    """What came, in the words of the file, short."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = str(value)
        case str():
            text = f"the text '{value}'"
        case dict():
            text = f"a mapping ({', '.join(map(str, value))})" if value else "an empty mapping"
        case list() | tuple():
            text = f"the list [{', '.join(map(str, value))}]"
        case _:
            text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
