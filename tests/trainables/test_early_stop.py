"""Early stopping on tabulated curves."""

import pytest

from trainables.early_stop import should_stop
from trainables.early_stop_settings import EarlyStopSettings

RISING = [0.1, 0.2, 0.3, 0.4, 0.5]
FALLING = [5.0, 4.0, 3.0, 2.0, 1.0]
FLAT = [0.3] * 5


def stops_at(monitor, mious, losses, patience=2):
    settings = EarlyStopSettings(monitor=monitor, patience=patience)
    epochs = range(1, len(mious) + 1)
    return next((n for n in epochs if should_stop(settings, mious[:n], losses[:n])), None)


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
    ],
)
def test_stops_after_the_patience(monitor, mious, losses, expected):
    assert stops_at(monitor, mious, losses) == expected
