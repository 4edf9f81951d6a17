"""The runs of one row by seed, read from its confirmatory trials, and their spread."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scipy.stats import t as student_t

from search.records.study import TrialRecord
from studies.confirmatory.confirm import Confirmatory
from studies.confirmatory.rows import ROLE
from trainables.settings import TrialSettings

LEVEL = 0.95
# How many epochs at the end show how much a curve still moves.
LAST_EPOCHS = 3
# Our figures that stand beside a report's: the name that a report's has, and the metric at the best epoch.
BESIDE = {"val_loss": "val/loss", "pixel_accuracy": "val/pixel_accuracy"}


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None for one value) of n values."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """The spread of these values, None of none."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean; None for one value."""
        if self.sd is None:
            return None
        half = float(student_t.ppf((1 + LEVEL) / 2, self.n - 1)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Run:
    """One row with one seed: best epoch and its validation mIoU (None where it diverged or did not fit), and cost.

    The best of many epochs is optimistic: `final` is the last epoch's mIoU, `last_sd` the sample standard deviation of
    the last three epochs' (None of fewer). `figures` are the best epoch's other ones, by the names of BESIDE.
    """

    seed: int
    miou: float | None
    best_epoch: int | None
    parameters: int | None
    device_s: float
    final: float | None = None
    last_sd: float | None = None
    test_miou: float | None = None
    reason: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


def runs_of(
    name: str, trial: TrialSettings, trials: Sequence[TrialRecord], promoted: Mapping[int, float]
) -> dict[int, Run]:
    """Runs by seed of the row `name` whose settings are `trial`; those of other settings are left out.

    `promoted` has the test mIoU of promoted trials by number.
    """
    read: dict[int, TrialRecord] = {}
    for one in trials:
        seed = int(one.attrs["seed"])
        if one.state not in ("COMPLETE", "PRUNED") or not Confirmatory(ROLE, name, trial, seed).is_of(one.attrs):
            continue
        # As `find_run` chooses: what did not fit may have been run again.
        if one.state == "COMPLETE" or seed not in read or read[seed].state == "PRUNED":
            read[seed] = one
    return {seed: _run(read[seed], promoted.get(read[seed].number)) for seed in sorted(read)}


def _run(trial: TrialRecord, test_miou: float | None) -> Run:
    complete = trial.state == "COMPLETE"
    best = next((row for row in trial.rows if complete and row.epoch == trial.best_epoch), None)
    figures = {name: best.metrics.get(metric, math.nan) for name, metric in BESIDE.items()} if best else {}
    last = [value for _, value in sorted(trial.values.items())][-LAST_EPOCHS:] if complete else []
    return Run(
        seed=int(trial.attrs["seed"]),
        miou=trial.value if complete else None,
        best_epoch=trial.best_epoch if complete else None,
        parameters=trial.attrs.get("trainable_parameters"),
        device_s=sum(row.device_s for row in trial.rows),
        final=last[-1] if last else None,
        last_sd=statistics.stdev(last) if len(last) == LAST_EPOCHS else None,
        test_miou=test_miou,
        reason=trial.reason,
        figures={name: value for name, value in figures.items() if math.isfinite(value)},
    )
