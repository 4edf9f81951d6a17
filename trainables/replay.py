"""The learning rates of an earlier run, epoch by epoch, over other data."""

from torch.optim import Optimizer

from trainables.refit_settings import RefitSettings
from trainables.schedule_settings import ScheduleSettings
from trainables.schedules import Schedule
from trainables.settings import TrialSettings


class Replay(Schedule):
    """Every epoch begins, ends and goes on in between with the rates of the same epoch of the run that is followed.

    More images make more steps of an epoch: each takes the rate of the step that lies as far into that run's epoch.
    Within an epoch the schedule's shape decides, and at its end the recorded rate, so that a plateau lowers the rate
    after the epochs in which it did; nothing is validated that could tell it. All groups have one factor in common.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        settings: ScheduleSettings,
        epochs: int,
        steps_per_epoch: int,
        followed: RefitSettings,
    ) -> None:
        super().__init__(optimizer, settings, epochs, followed.steps_per_epoch)
        self._steps = steps_per_epoch
        self._followed = followed.steps_per_epoch
        peak, last = max(self.peaks), self._followed - 1
        # 1 but for a plateau, whose scale is not of the settings.
        self._scales = [rate / (peak * self._shaped(epoch, last)) for epoch, rate in enumerate(followed.lr_trace)]

    def factor(self, step: int) -> float:
        """Factor of the peak rate at an optimizer step of the refit, counted from 0."""
        epoch, done = divmod(step, self._steps)
        last = self._followed - 1
        place = last if self._steps == 1 else round(done * last / (self._steps - 1))
        return self._scales[epoch] * self._shaped(epoch, place)

    def _shaped(self, epoch: int, place: int) -> float:
        """The factor by the settings alone at a step of that run's epoch, both counted from 0."""
        return super().factor(epoch * self._followed + place)

    def after_epoch(self, loss: float, miou: float) -> None:
        """Nothing: the recorded rates know what a plateau did."""


def build_schedule(settings: TrialSettings, optimizer: Optimizer, steps_per_epoch: int) -> Schedule:
    """The schedule of a trial, or what a refit replays of another's."""
    if settings.refit is None:
        return Schedule(optimizer, settings.schedule, settings.epochs, steps_per_epoch)
    return Replay(optimizer, settings.schedule, settings.epochs, steps_per_epoch, settings.refit)
