"""Learning-rate schedules by name: factors of the peak rate, set before every optimizer step."""

import math
from collections.abc import Callable
from typing import TypedDict

from torch.optim import Optimizer

from trainables.schedule_settings import PlateauSettings, ScheduleSettings

# A shape gives the factor at step t = 0 … n - 1.
Shape = Callable[[int], float]

ONE_CYCLE_RISE = 0.3  # share of steps before the peak, the first and the last factor: as torch's OneCycleLR
ONE_CYCLE_FIRST = 1 / 25
ONE_CYCLE_LAST = ONE_CYCLE_FIRST / 1e4


def _constant(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    return lambda t: 1.0


def _cosine(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return lambda t: (1 + math.cos(math.pi * t / n)) / 2


def _restarts(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    """Half a cosine from 1 to 0 in each cycle (Loshchilov and Hutter 2017, equation 5); cycles are whole steps."""
    first = settings.restarts.first_epochs * steps_per_epoch

    def shape(t: int) -> float:
        length = first
        steps = max(1, round(length))
        while t >= steps:
            t -= steps
            length *= settings.restarts.growth
            steps = max(1, round(length))
        return (1 + math.cos(math.pi * t / steps)) / 2

    return shape


def _one_cycle(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    """Up and down once (Smith and Topin 2018), by cosines."""
    peak = ONE_CYCLE_RISE * n - 1

    def shape(t: int) -> float:
        if peak > 0 and t <= peak:
            return _between(ONE_CYCLE_FIRST, 1.0, t / peak)
        return _between(1.0, ONE_CYCLE_LAST, (t - peak) / (n - 1 - peak))

    return shape


def _polynomial(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    """(1 - t / n)^power (the `poly` policy of Chen et al. 2018)."""
    return lambda t: float((1 - t / n) ** settings.polynomial.power)


def _exponential(settings: ScheduleSettings, n: int, steps_per_epoch: int) -> Shape:
    """The same factor from step to step, so that the last step has `last`."""
    return lambda t: float(settings.exponential.last ** (t / max(1, n - 1)))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


# A factory takes the settings, the steps n after warm-up and the steps of an epoch.
SHAPES: dict[str, Callable[[ScheduleSettings, int, int], Shape]] = {
    "constant": _constant,
    "plateau": _constant,
    "cosine": _cosine,
    "restarts": _restarts,
    "one_cycle": _one_cycle,
    "polynomial": _polynomial,
    "exponential": _exponential,
}


class ScheduleState(TypedDict):
    """What a schedule remembers between epochs."""

    scale: float
    best: float | None
    stale: int


class Schedule:
    """Sets the rate of every parameter group; a group's peak is the rate it came with.

    The horizon is epochs x steps_per_epoch. A plateau also looks at validation figures after each epoch.
    """

    def __init__(self, optimizer: Optimizer, settings: ScheduleSettings, epochs: int, steps_per_epoch: int) -> None:
        if settings.warmup_epochs >= epochs:
            raise ValueError(
                f"schedule.warmup_epochs: got {settings.warmup_epochs:g}, expected less than the {epochs} epochs"
            )
        self._optimizer = optimizer
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._warmup = round(settings.warmup_epochs * steps_per_epoch)
        self._shape = SHAPES[settings.name](settings, epochs * steps_per_epoch - self._warmup, steps_per_epoch)
        self._plateau = settings.plateau if settings.name == "plateau" else None
        self._state = ScheduleState(scale=1.0, best=None, stale=0)

    @property
    def peaks(self) -> tuple[float, ...]:
        """The highest rate of each parameter group."""
        return tuple(self._peaks)

    @property
    def rate(self) -> float:
        """The rate in force now, of the group with the highest peak."""
        return max(float(group["lr"]) for group in self._optimizer.param_groups)

    def factor(self, step: int) -> float:
        """Factor of the peak rate at an optimizer step, counted from 0 over the whole trial."""
        if step < self._warmup:
            return (step + 1) / self._warmup * self._shape(0)
        return self._state["scale"] * self._shape(step - self._warmup)

    def before_step(self, step: int) -> None:
        """Set the rates of this optimizer step."""
        factor = self.factor(step)
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def after_epoch(self, loss: float, miou: float) -> None:
        """Tell the validation figures of the epoch that ended."""
        if self._plateau is not None:
            self._state = _after_epoch(self._state, self._plateau, loss if self._plateau.monitor == "loss" else -miou)

    def state_dict(self) -> ScheduleState:
        """What must be kept to go on later."""
        return self._state.copy()

    def load_state_dict(self, state: ScheduleState) -> None:
        """Go on from what `state_dict` gave."""
        self._state = state.copy()


def _after_epoch(state: ScheduleState, settings: PlateauSettings, figure: float) -> ScheduleState:
    """Lower the scale once the figure has not fallen for more epochs than are borne."""
    if state["best"] is None or figure < state["best"]:
        return ScheduleState(scale=state["scale"], best=figure, stale=0)
    if state["stale"] < settings.patience:
        return ScheduleState(scale=state["scale"], best=state["best"], stale=state["stale"] + 1)
    return ScheduleState(scale=state["scale"] * settings.factor, best=state["best"], stale=0)
