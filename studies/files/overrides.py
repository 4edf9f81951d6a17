"""Values from the command line put over those of a study file: `--set PATH=VALUE` and options such as `--trials`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.space_settings import ParameterSettings
from studies.files.problems import Path, Problem
from studies.files.setting_paths import trial_leaves
from studies.files.yaml_source import read_yaml


@dataclass
class Overrides:
    """Values by path, the words that name where each came from, and what could not be read."""

    values: dict[Path, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, value: Any, place: str) -> None:
        """A later value for the same path replaces the earlier one."""
        self.values.pop(path, None)
        self.values[path] = value
        self.places[path] = place


def read_overrides(assignments: Sequence[str], options: Mapping[str, tuple[str, Any]]) -> Overrides:
    """Read `PATH=VALUE` texts, values as YAML, and `options`: the option's name -> (path, value as it is)."""
    overrides = Overrides()
    for text in assignments:
        name, equals, written = text.partition("=")
        path = split_path(name.strip())
        place = f"--set {' '.join(text.split())}"
        # Known before the value is read, so that a problem with the value names the option too.
        overrides.places[path] = place
        if not equals or not all(path):
            overrides.places.pop(path)
            overrides.problems.append(Problem((), "expected PATH=VALUE, such as trial.optimizer.lr=1e-4", place=place))
            continue
        source = read_yaml(written)
        if source.problems:
            overrides.problems += [Problem(path, problem.message) for problem in source.problems]
        else:
            overrides.add(path, source.value, place)
    for option, (name, value) in options.items():
        overrides.add(split_path(name), value, f"{option} {value}")
    return overrides


def split_path(text: str) -> Path:
    """The keys of a written path; a key of `space`, a `when` or a row's `set` has dots of its own and stays whole."""
    parts = text.split(".")
    if parts[0] == "rows" and "set" in parts[2:-1]:
        end = parts.index("set", 2)
        return "rows", ".".join(parts[1:end]), "set", ".".join(parts[end + 1 :])
    if parts[0] != "space" or len(parts) < 3:
        return tuple(parts)
    ends = [index for index, part in enumerate(parts) if part in ParameterSettings.model_fields and index > 1]
    if not ends:
        return "space", ".".join(parts[1:])
    path: list[str] = ["space", ".".join(parts[1 : ends[0]]), parts[ends[0]]]
    rest = parts[ends[0] + 1 :]
    if rest:
        path += [".".join(rest)] if path[-1] == "when" else rest
    return tuple(path)


def apply_overrides(data: dict[str, Any], overrides: Overrides) -> None:
    """Put the values into `data`, in order; null takes a parameter out of the space.

    What cannot be put anywhere becomes a problem of the overrides.
    """
    searched = data.get("space")
    for path, value in overrides.values.items():
        if message := _hidden(path, overrides.values, searched):
            overrides.problems.append(Problem(path, message))
            continue
        target: Any = data
        for depth, key in enumerate(path[:-1]):
            if not isinstance(target.get(key), dict):
                if target.get(key) is not None:
                    where = ".".join(map(str, path[: depth + 1]))
                    overrides.problems.append(Problem(path, f"{where} is one value and has no keys; set it whole"))
                    break
                target[key] = {}
                overrides.places.setdefault(path[: depth + 1], overrides.places[path])
            target = target[key]
        else:
            if value is None and len(path) == 2 and path[0] == "space":
                target.pop(path[1], None)
            else:
                target[path[-1]] = value


def _hidden(path: Path, values: Mapping[Path, Any], searched: Any) -> str | None:
    """Why a fixed value would have no effect: the study always searches this setting."""
    name = ".".join(map(str, path[1:]))
    if path[0] != "trial" or name not in trial_leaves():
        return None
    declared = values.get(("space", name), searched.get(name) if isinstance(searched, dict) else None)
    if not isinstance(declared, dict) or declared.get("when"):
        return None
    return f"would have no effect, {name} is searched; to fix it, add --set space.{name}=null"
