"""When a run is given up."""

import pytest

from search.states import Reason
from studies.running.driver import is_hopeless


@pytest.mark.parametrize(
    ("ends", "hopeless"),
    [
        ({}, False),
        ({Reason.ERROR: 4}, False),
        ({Reason.ERROR: 5}, True),
        ({Reason.ERROR: 5, Reason.PRUNED: 1}, False),
        ({Reason.DIVERGED: 9}, False),
        ({Reason.DIVERGED: 5, Reason.OUT_OF_MEMORY: 5}, True),
        ({Reason.ERROR: 4, Reason.OUT_OF_MEMORY: 6}, True),
        ({Reason.DIVERGED: 30, Reason.FINISHED: 1}, False),
    ],
)
def test_a_run_without_any_result_is_given_up(ends: dict[Reason, int], hopeless: bool) -> None:
    assert is_hopeless(ends) is hopeless
