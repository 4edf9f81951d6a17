"""Early stopping, a function of the epochs so far."""

from collections.abc import Sequence

from trainables.early_stop_settings import EarlyStopSettings


def should_stop(settings: EarlyStopSettings, mious: Sequence[float], losses: Sequence[float]) -> bool:
    """Whether the figures of all epochs so far say that a trial no longer improves."""
    stale = {
        "miou": _since_best(mious),
        "loss": _since_best([-loss for loss in losses]),
    }
    match settings.monitor:
        case "none":
            return False
        case "both":
            return min(stale.values()) >= settings.patience
        case monitor:
            return stale[monitor] >= settings.patience


def _since_best(values: Sequence[float]) -> int:
    """Epochs since the first occurrence of the highest value."""
    return len(values) - 1 - values.index(max(values)) if values else 0
