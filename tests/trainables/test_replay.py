"""A refit's learning rates against those that the run it follows really had, epoch by epoch and group by group."""

import pytest
import torch

from trainables.refit_settings import RefitSettings
from trainables.replay import Replay
from trainables.schedule_settings import ScheduleSettings
from trainables.schedules import SHAPES, Schedule

EPOCHS, STEPS = 6, 7
LOSSES = (1.0, 0.9, 0.95, 0.96, 0.8, 0.9)
PEAKS = (1e-4, 3e-3, 7e-4)


def optimizer():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak} for peak in PEAKS]
    return torch.optim.SGD(groups, lr=1.0)


def settings_of(name):
    more = {"plateau": {"patience": 0, "factor": 0.3}, "restarts": {"first_epochs": 1.5, "growth": 1.3}}
    return ScheduleSettings.model_validate({"name": name, "warmup_epochs": 1.5, **more})


def rates(schedule, peer, epochs, steps):
    """Rates of every group [epoch][step], with validation losses told after each epoch."""
    found = []
    for epoch in range(epochs):
        found.append([])
        for step in range(steps):
            schedule.before_step(epoch * steps + step)
            found[-1].append([group["lr"] for group in peer.param_groups])
        schedule.after_epoch(LOSSES[epoch], 0.5)
    return found


def recorded(name):
    """The rates of a run, and what its rows have of them: the highest group's at the end of each epoch."""
    peer = optimizer()
    schedule = Schedule(peer, settings_of(name), EPOCHS, STEPS)
    found = rates(schedule, peer, EPOCHS, STEPS)
    return found, tuple(max(epoch[-1]) for epoch in found)


def replayed(name, trace, steps):
    peer = optimizer()
    refit = RefitSettings(lr_trace=trace, steps_per_epoch=STEPS)
    return rates(Replay(peer, settings_of(name), EPOCHS, steps, refit), peer, len(trace), steps)


@pytest.mark.parametrize("steps", [1, 5, STEPS, 11])
@pytest.mark.parametrize("name", SHAPES)
def test_every_epoch_ends_with_the_recorded_rate_of_every_group(name, steps):
    whole, trace = recorded(name)
    # A refit is shorter than the schedule's horizon, which stays.
    found = replayed(name, trace[:5], steps)
    assert len(found) == 5
    for epoch, then in zip(found, whole, strict=False):
        assert epoch[-1] == pytest.approx(then[-1], rel=1e-12)
        if steps > 1:
            assert epoch[0] == pytest.approx(then[0], rel=1e-12)
        # In between a rate that the run had in this epoch too, not later than the one before it.
        places = [nearest(then, one) for one in epoch]
        assert places == sorted(places)


def nearest(then, groups):
    (place, *_) = [index for index, one in enumerate(then) if one == pytest.approx(groups, rel=1e-12)]
    return place


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "plateau"])
def test_over_as_many_steps_the_rates_are_the_same_to_the_bit(name):
    whole, trace = recorded(name)
    assert replayed(name, trace, STEPS) == whole


def test_a_plateau_lowers_the_rate_where_it_did_whatever_the_refit_is_told():
    whole, trace = recorded("plateau")
    assert len({round(rate, 12) for rate in trace}) > 2
    peer = optimizer()
    refit = RefitSettings(lr_trace=trace, steps_per_epoch=STEPS)
    schedule = Replay(peer, settings_of("plateau"), EPOCHS, STEPS, refit)
    for epoch, then in enumerate(whole):
        schedule.before_step((epoch + 1) * STEPS - 1)
        assert [group["lr"] for group in peer.param_groups] == pytest.approx(then[-1], rel=1e-12)
        schedule.after_epoch(float(epoch), 0.0)
