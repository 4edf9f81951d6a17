"""A driver that is killed at any moment: the next one repairs what it left, and the records agree."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.check_study import check_study
from benchmarks.records import read_records
from tests.studies.rayless import POINTS, Drivers

pytestmark = pytest.mark.slow

EPOCHS = 5
FILE = f"""
name: kills
trial:
  entry: tests.studies.scripted:Graded
  epochs: {EPOCHS}
  data: {{format: terrain, terrain: {{images: 12}}}}
space:
  optimizer.lr: {{low: 1e-5, high: 1e-1, log: true}}
  optimizer.weight_decay: {{low: 1e-6, high: 1e-2, log: true}}
search: {{trials: %d, audit: 0.1, pruner: {{name: successive_halving, min_resource: 2}}}}
"""


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    drivers = Drivers(tmp_path_factory.mktemp("tables"))
    yield drivers
    drivers.close()


@pytest.mark.parametrize("point", sorted(POINTS))
def test_what_is_left_at_a_named_point_is_repaired(point: str, drivers: Drivers, tmp_path: Path) -> None:
    root = drivers.workspace(tmp_path / "w")
    assert drivers.drive(root, FILE % 6, at=point) == -signal.SIGKILL
    assert drivers.drive(root, FILE % 6) == 0
    check_study(read_records(root, "kills"), 6, EPOCHS, least_pruned=0)


def test_twenty_kills_lose_and_repeat_nothing(drivers: Drivers, tmp_path: Path) -> None:
    root = drivers.workspace(tmp_path / "w")
    moments = random.Random(4)
    for _ in range(20):
        assert drivers.drive(root, FILE % 30, after=moments.randint(1, 120)) == -signal.SIGKILL
    assert drivers.drive(root, FILE % 30) == 0
    check_study(read_records(root, "kills"), 30, EPOCHS, least_pruned=0.1)
