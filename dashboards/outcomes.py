"""How trials ended, as figures mark them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dashboards import palette
from search.records.study import StudyRecord, TrialRecord


@dataclass(frozen=True)
class Mark:
    """A label, a colour, a plotly symbol and the same shape as a character: shape and colour say the same."""

    label: str
    colour: str
    symbol: str
    glyph: str

    def marker(self, size: int) -> dict[str, Any]:
        """The plotly marker, `size` pixels wide."""
        return {
            "color": self.colour,
            "symbol": self.symbol,
            "size": size,
            "line": {"width": 2, "color": self.colour},
        }


class Outcome(Enum):
    """Optuna's states, with the ends told apart that one state hides."""

    COMPLETE = Mark("complete", palette.COMPLETE, "circle", "●")
    PRUNED = Mark("pruned", palette.PRUNED, "x-thin-open", "×")
    STOPPED = Mark("stopped", palette.PRUNED, "square-open", "□")
    DIVERGED = Mark("diverged", palette.DIVERGED, "triangle-up", "▲")
    OUT_OF_MEMORY = Mark("out of memory", palette.DIVERGED, "triangle-down-open", "▽")
    FAILED = Mark("failed", palette.FAILED, "cross-open", "✚")
    RUNNING = Mark("running", palette.RUNNING, "circle-open", "○")
    INTERRUPTED = Mark("interrupted", palette.WAITING, "diamond-open", "◇")
    WAITING = Mark("waiting", palette.WAITING, "line-ns-open", "|")


_PRUNED_FOR = {
    "diverged": Outcome.DIVERGED,
    "out_of_memory": Outcome.OUT_OF_MEMORY,
    "stopped": Outcome.STOPPED,
}
_STATES = {"COMPLETE": Outcome.COMPLETE, "FAIL": Outcome.FAILED, "RUNNING": Outcome.RUNNING}


def outcome(trial: TrialRecord) -> Outcome:
    """How a trial ended, or where it stands."""
    if trial.state == "PRUNED":
        # Another tool's study has constraints without our reasons.
        return _PRUNED_FOR.get(trial.reason or "", Outcome.DIVERGED if trial.violated else Outcome.PRUNED)
    if trial.state == "WAITING":
        return Outcome.INTERRUPTED if trial.reason == "interrupted" or trial.values else Outcome.WAITING
    return _STATES[trial.state]


def count_outcomes(trials: Iterable[TrialRecord]) -> str:
    """Counts in words, as `15 complete, 8 pruned, 1 diverged`; empty where there is no trial."""
    counts = Counter(outcome(trial) for trial in trials)
    return ", ".join(f"{counts[one]} {one.value.label}" for one in Outcome if counts[one])


def is_better(study: StudyRecord, value: float, other: float) -> bool:
    """Whether `value` beats `other` in this study's direction."""
    return value > other if study.maximize else value < other


def ranked(study: StudyRecord) -> list[TrialRecord]:
    """COMPLETE trials from best to worst, of equals the first asked; those that violate a constraint stay out."""
    complete = [trial for trial in study.trials if trial.state == "COMPLETE" and trial.value is not None]
    sign = -1.0 if study.maximize else 1.0
    return sorted(
        (trial for trial in complete if not trial.violated), key=lambda trial: (sign * (trial.value or 0), trial.number)
    )


def best_trial(study: StudyRecord) -> TrialRecord | None:
    """The best COMPLETE trial, None where there is none."""
    return next(iter(ranked(study)), None)
