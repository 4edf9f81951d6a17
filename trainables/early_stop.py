"""Early stopping, a function of the epochs so far."""

from collections.abc import Mapping, Sequence

from trainables.early_stop_settings import EarlyStopSettings

# What each monitor watches: metrics of an epoch, and whether more is better. All must have stalled.
MONITORS: dict[str, dict[str, bool]] = {
    "none": {},
    "miou": {"val/miou": True},
    "loss": {"val/loss": False},
    "both": {"val/miou": True, "val/loss": False},
    "pixel_accuracy": {"val/pixel_accuracy": True},
}


def should_stop(settings: EarlyStopSettings, epochs: Sequence[Mapping[str, float]]) -> bool:
    """Whether the metrics of all epochs so far say that a trial no longer improves."""
    watched = MONITORS[settings.monitor]
    stale = [_since_best([epoch[name] if more else -epoch[name] for epoch in epochs]) for name, more in watched.items()]
    return bool(stale) and min(stale) >= settings.patience


def _since_best(values: Sequence[float]) -> int:
    """Epochs since the first occurrence of the highest value."""
    return len(values) - 1 - values.index(max(values)) if values else 0
