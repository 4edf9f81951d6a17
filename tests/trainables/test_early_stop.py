"""Early stopping on tabulated curves."""

import pytest

from trainables.early_stop import should_stop
from trainables.early_stop_settings import EarlyStopSettings

RISING = [0.1, 0.2, 0.3, 0.4, 0.5]
FALLING = [5.0, 4.0, 3.0, 2.0, 1.0]
FLAT = [0.3] * 5


def stops_at(monitor, mious, losses, patience=2):
    settings = EarlyStopSettings(monitor=monitor, patience=patience)
    accuracies = [1 - miou for miou in mious]
    rows = [
        {"val/miou": miou, "val/loss": loss, "val/pixel_accuracy": accuracy}
        for miou, loss, accuracy in zip(mious, losses, accuracies, strict=True)
    ]
    return next((n for n in range(1, len(rows) + 1) if should_stop(settings, rows[:n])), None)


@pytest.mark.parametrize(
    ("monitor", "mious", "losses", "expected"),
    [
        ("none", FLAT, FLAT, None),
        ("miou", FLAT, FALLING, 3),
        ("miou", RISING, FLAT, None),
        ("loss", RISING, FLAT, 3),
        ("loss", FLAT, FALLING, None),
        ("both", FLAT, FALLING, None),
        ("both", RISING, FLAT, None),
        ("both", FLAT, FLAT, 3),
        ("both", [0.1, 0.2, 0.2, 0.2, 0.2], [1, 1, 0.5, 0.5, 0.5], 5),
        ("miou", [0.5, 0.4, 0.6, 0.5, 0.5], FLAT, 5),
        ("pixel_accuracy", RISING, FALLING, 3),
        ("pixel_accuracy", [0.5, 0.4, 0.3, 0.2, 0.1], FLAT, None),
    ],
)
def test_stops_after_the_patience(monitor, mious, losses, expected):
    assert stops_at(monitor, mious, losses) == expected
