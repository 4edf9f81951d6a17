"""States and reasons of trials, and how MLflow calls them."""

from dataclasses import dataclass
from enum import StrEnum

from optuna.trial import TrialState


class Reason(StrEnum):
    """Why a trial ended; `interrupted` is not an end: the trial waits to go on."""

    FINISHED = "finished"
    EARLY_STOPPED = "early_stopped"
    PRUNED = "pruned"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    ERROR = "error"
    INTERRUPTED = "interrupted"


END_STATES: dict[Reason, TrialState] = {
    Reason.FINISHED: TrialState.COMPLETE,
    Reason.EARLY_STOPPED: TrialState.COMPLETE,
    Reason.PRUNED: TrialState.PRUNED,
    Reason.STOPPED: TrialState.PRUNED,
    Reason.DIVERGED: TrialState.PRUNED,
    Reason.OUT_OF_MEMORY: TrialState.PRUNED,
    Reason.ERROR: TrialState.FAIL,
}

# Ends that say "this region does not work" rather than "this trial was worse": samplers must avoid the region.
VIOLATIONS = frozenset({Reason.DIVERGED, Reason.OUT_OF_MEMORY})

MLFLOW_STATUS: dict[TrialState, str] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
    TrialState.RUNNING: "RUNNING",
    TrialState.WAITING: "SCHEDULED",
}

# What a budget of N trials counts.
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Decision:
    """What happens to a trial after an epoch: it goes on, or ends for a reason."""

    reason: Reason | None = None

    @property
    def stop(self) -> bool:
        """Whether the trial ends here."""
        return self.reason is not None
