"""How one searched parameter is declared: a range or choices, and the condition under which it is searched."""

from collections.abc import Mapping
from decimal import Decimal
from itertools import combinations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field

Choice = bool | int | float | str | None
Number = int | float

# Beyond this a step is a slip, and Optuna's own decimal arithmetic ends at 28 digits.
MAX_STEPS = 1_000_000


class SpaceError(ValueError):
    """A declared space that cannot be searched; `path` names the parameter and `key` the part of its declaration."""

    def __init__(self, path: str, message: str, key: str | None = None) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message
        self.key = key


class ParameterSettings(BaseModel):
    """A range (`low`, `high`, `log`, `step`) or `choices`; `when` says under which settings it is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Number | None = Field(None, description="lowest value of a range, included")
    high: Number | None = Field(None, description="highest value of a range, included")
    log: bool = Field(False, description="true: the logarithm is sampled evenly; low must be above 0")
    step: Number | None = Field(None, description="distance between the values of a range; an integer range has 1")
    choices: tuple[Choice, ...] | None = Field(None, description="values to choose from, instead of a range")
    when: dict[str, Choice | tuple[Choice, ...]] = Field(
        default_factory=dict,
        description="paths of other settings with the value, or a list of values, each must have; else this parameter "
        "is not searched and keeps its fixed value",
    )

    @property
    def conditions(self) -> dict[str, tuple[Choice, ...]]:
        """The conditions with every single value as a tuple of one."""
        return {path: value if isinstance(value, tuple) else (value,) for path, value in self.when.items()}


def same_value(left: Choice, right: Choice) -> bool:
    """Equality that tells true from 1, which Python does not."""
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def build_distribution(path: str, declared: ParameterSettings, kind: type) -> BaseDistribution:
    """The Optuna distribution of a parameter.

    `kind` is the type of the setting behind `path`: int, float, bool or str. Raises `SpaceError` for a declaration
    that is neither a range nor choices, or that does not suit the kind.
    """
    if declared.choices is not None:
        for key in ("low", "high", "step", "log"):
            if getattr(declared, key) not in (None, False):
                raise SpaceError(path, f"has both `choices` and `{key}`; expected one of the two forms", key)
        return _categorical(path, declared.choices, kind)
    if kind not in (int, float):
        hint = "choices: [false, true]" if kind is bool else "choices: [...]"
        raise SpaceError(path, f"is no number, so it has no range; expected `{hint}`")
    low, high = declared.low, declared.high
    if low is None or high is None:
        got = [key for key in ("low", "high") if getattr(declared, key) is not None]
        came = f"only `{got[0]}`" if got else "neither"
        raise SpaceError(path, f"expected `low` and `high`, or `choices`; got {came}")
    if low > high:
        raise SpaceError(path, f"low {low} is above high {high}", "low")
    _check_log(path, declared, low)
    if declared.step is not None:
        _check_step(path, low, high, declared.step)
    if kind is int:
        return _integers(path, declared)
    step = None if declared.step is None else float(declared.step)
    return FloatDistribution(float(low), float(high), log=declared.log, step=step)


def _categorical(path: str, choices: tuple[Choice, ...], kind: type) -> CategoricalDistribution:
    if not choices:
        raise SpaceError(path, "`choices` is empty; expected at least one value", "choices")
    # One type for all, so that a value read back from the storage is the one that was asked for.
    if kind is float:
        choices = tuple(float(c) if isinstance(c, int) and not isinstance(c, bool) else c for c in choices)
    for left, right in combinations(choices, 2):
        if left == right:
            raise SpaceError(path, f"`choices` holds {left!r} and {right!r}, which are the same value", "choices")
    return CategoricalDistribution(choices)


def _check_log(path: str, declared: ParameterSettings, low: Number) -> None:
    if not declared.log:
        return
    if low <= 0:
        raise SpaceError(path, f"low is {low}; with `log: true` it must be above 0", "low")
    if declared.step is not None:
        raise SpaceError(path, "has `log: true` and a `step`; expected one of the two", "step")


def _check_step(path: str, low: Number, high: Number, step: Number) -> None:
    if step <= 0:
        raise SpaceError(path, f"step is {step}; expected a number above 0", "step")
    # Decimal of the written digits: 0.3 / 0.1 is not 3 in binary.
    first, last, width = Decimal(str(low)), Decimal(str(high)), Decimal(str(step))
    count = (last - first) / width
    if count > MAX_STEPS:
        raise SpaceError(path, f"steps of {step} from {low} to {high} are more than {MAX_STEPS} values", "step")
    if count != count.to_integral_value():
        reached = first + width * (count // 1)
        raise SpaceError(path, f"steps of {step} from {low} end at {reached}, not at high {high}", "step")


def _integers(path: str, declared: ParameterSettings) -> IntDistribution:
    bounds: Mapping[str, Number | None] = {"low": declared.low, "high": declared.high, "step": declared.step}
    for key, value in bounds.items():
        if isinstance(value, float):
            whole = f"; write {int(value)}" if value.is_integer() else ""
            raise SpaceError(path, f"is an integer, {key} is {value}{whole}", key)
    low, high, step = (0 if value is None else int(value) for value in bounds.values())
    return IntDistribution(low, high, log=declared.log, step=step or 1)
