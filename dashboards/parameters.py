"""Searched parameters as axes: logarithmic, linear, or choices at whole numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dashboards.text import shown
from search.records.study import StudyRecord

# Steps within a power of ten on a logarithmic axis, by the decades that it spans at most.
LOG_STEPS = ((1.0, (1.0, 2.0, 5.0)), (2.5, (1.0, 3.0)), (math.inf, (1.0,)))


@dataclass(frozen=True)
class ParameterAxis:
    """One parameter over all trials; `low` and `high` are as searched.

    `choices` is empty where it is a number; each stands with its type, since 1, 1.0 and true are equal to Python.
    """

    path: str
    low: float
    high: float
    log: bool = False
    choices: tuple[tuple[type, Any], ...] = ()
    integer: bool = False

    def position(self, value: Any) -> float:
        """Where a value lies on an axis: a choice's index, log10 on a logarithmic axis, or the value."""
        if self.choices:
            return float(self.choices.index((type(value), value)))
        return math.log10(value) if self.log else float(value)

    def share(self, value: Any) -> float:
        """The position within 0 (low) to 1 (high)."""
        start, end = self.limits
        return 0.5 if start == end else (self.position(value) - start) / (end - start)

    @property
    def limits(self) -> tuple[float, float]:
        """Positions of both ends."""
        if self.choices:
            return 0.0, float(len(self.choices) - 1)
        return (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels: every choice, round numbers otherwise."""
        if self.choices:
            return [(float(index), shown(choice)) for index, (_, choice) in enumerate(self.choices)]
        if self.log:
            return [(math.log10(value), shown(float(value))) for value in _log_ticks(self.low, self.high)]
        return [(value, shown(value)) for value in _linear_ticks(self.low, self.high, self.integer)]


def parameter_axes(study: StudyRecord) -> dict[str, ParameterAxis]:
    """The axes of all parameters that any trial was given, in the study file's order, then by name.

    Ranges and choices are the union over the trials, since a study may have been changed between them.
    """
    found: dict[str, list[BaseDistribution]] = {}
    # Trials mostly share theirs, and Optuna takes long to compare two.
    seen: set[tuple[str, int]] = set()
    for trial in study.trials:
        for path, distribution in trial.distributions.items():
            if (path, id(distribution)) not in seen:
                seen.add((path, id(distribution)))
                if distribution not in found.setdefault(path, []):
                    found[path].append(distribution)
    order = list(study.settings.get("space", {}))
    paths = sorted(found, key=lambda path: (order.index(path) if path in order else len(order), path))
    return {path: _axis(path, found[path]) for path in paths}


def _axis(path: str, distributions: Sequence[BaseDistribution]) -> ParameterAxis:
    numbers = [one for one in distributions if isinstance(one, (FloatDistribution, IntDistribution))]
    # Optuna refuses a parameter that is a number in one trial and a choice in another.
    choices = [choice for one in distributions if isinstance(one, CategoricalDistribution) for choice in one.choices]
    if choices:
        return ParameterAxis(path, 0.0, 0.0, choices=tuple(dict.fromkeys((type(one), one) for one in choices)))
    return ParameterAxis(
        path,
        float(min(one.low for one in numbers)),
        float(max(one.high for one in numbers)),
        log=all(one.log for one in numbers),
        integer=all(isinstance(one, IntDistribution) for one in numbers),
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the range; with steps between them where the range is narrow; at worst both ends."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = next(steps for most, steps in LOG_STEPS if math.log10(high / low) <= most)
    slack = 1e-9
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    within = [tick for tick in ticks if low * (1 - slack) <= tick <= high * (1 + slack)]
    return within if len(within) > 1 else sorted({low, high})


def _linear_ticks(low: float, high: float, integer: bool) -> list[float | int]:
    """About five round numbers within the range."""
    if low == high:
        return [int(low) if integer else low]
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    step = max(1.0, float(round(step))) if integer else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [index * step for index in range(first, last + 1)]
    return [int(tick) for tick in ticks] if integer else list(ticks)
