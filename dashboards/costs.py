"""What a trial cost and what its model costs in use, as far as it is recorded."""

from collections import Counter
from collections.abc import Sequence

from search.records.study import TrialRecord


def trained_parameters(trial: TrialRecord) -> int | None:
    """The number of parameters that were trained, None where not recorded."""
    count = trial.attrs.get("trainable_parameters")
    return None if count is None else int(count)


def latency_ms(trial: TrialRecord, device: str | None) -> float | None:
    """Milliseconds for one image, None where not measured on this device."""
    if device is None or trial.attrs.get("latency_device") != device:
        return None
    return float(trial.attrs["latency_ms"])


def latency_device(trials: Sequence[TrialRecord]) -> str | None:
    """The device on which the latencies of most of these trials were measured, None where none was."""
    devices = Counter(trial.attrs["latency_device"] for trial in trials if "latency_device" in trial.attrs)
    return max(devices, key=lambda device: devices[device], default=None)


def shown_ms(ms: float) -> str:
    """A latency in three digits."""
    return f"{ms:.3g} ms" if ms < 100 else f"{ms:,.0f} ms"


def shown_count(count: int) -> str:
    """A number of parameters in three digits."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
