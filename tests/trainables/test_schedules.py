"""Schedules against torch's own, step by step."""

import json
import math
import typing

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
)

from trainables.schedule_settings import ScheduleSettings
from trainables.schedules import SHAPES, Schedule

LR = 3e-3
EPOCHS, STEPS = 4, 5


def make(name="constant", epochs=EPOCHS, steps=STEPS, **rest):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    return Schedule(optimizer, ScheduleSettings.model_validate({"name": name, **rest}), epochs, steps), optimizer


def rates(schedule, optimizer, count):
    found = []
    for step in range(count):
        schedule.before_step(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def torch_rates(optimizer, scheduler, count):
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_every_name_of_the_settings_has_a_row():
    assert set(typing.get_args(ScheduleSettings.model_fields["name"].annotation)) == set(SHAPES)


def test_cosine_equals_torch():
    _, peer = make()
    expected = torch_rates(peer, CosineAnnealingLR(peer, T_max=EPOCHS * STEPS), EPOCHS * STEPS)
    assert rates(*make("cosine"), EPOCHS * STEPS) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epochs", [1, 4, 30])
def test_one_cycle_equals_torch(epochs):
    total = epochs * STEPS
    _, peer = make()
    scheduler = OneCycleLR(peer, max_lr=LR, total_steps=total, cycle_momentum=False)
    # torch refuses to be asked for the rate after the last step.
    expected = [*torch_rates(peer, scheduler, total - 1), peer.param_groups[0]["lr"]]
    assert rates(*make("one_cycle", epochs=epochs), total) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_one_cycle_of_a_few_steps_has_finite_rates(total):
    assert all(0 <= rate <= LR for rate in rates(*make("one_cycle", epochs=1, steps=total), total))


@pytest.mark.parametrize(("first_epochs", "growth"), [(1, 1), (2, 1), (1, 2), (0.4, 3), (9, 1)])
def test_restarts_equal_torch(first_epochs, growth):
    _, peer = make()
    scheduler = CosineAnnealingWarmRestarts(peer, T_0=round(first_epochs * STEPS), T_mult=growth)
    found = rates(*make("restarts", restarts={"first_epochs": first_epochs, "growth": growth}), EPOCHS * STEPS)
    assert found == pytest.approx(torch_rates(peer, scheduler, EPOCHS * STEPS), rel=1e-9)


def test_cycles_of_restarts_are_whole_steps():
    """Cycles of 1.5, 2.25 and 3.375 epochs of 4 steps are 6, 9 and 14 steps (13.5 to the even one)."""
    schedule, _ = make("restarts", epochs=10, steps=4, restarts={"first_epochs": 1.5, "growth": 1.5})
    assert [step for step in range(30) if schedule.factor(step) == 1] == [0, 6, 15, 29]
    tiny, _ = make("restarts", restarts={"first_epochs": 1e-3})
    assert {tiny.factor(step) for step in range(20)} == {1.0}


@pytest.mark.parametrize("power", [0.5, 0.9, 2])
def test_polynomial_equals_torch(power):
    _, peer = make()
    expected = torch_rates(peer, PolynomialLR(peer, total_iters=EPOCHS * STEPS, power=power), EPOCHS * STEPS)
    assert rates(*make("polynomial", polynomial={"power": power}), EPOCHS * STEPS) == pytest.approx(expected, rel=1e-9)


def test_exponential_equals_torch_and_ends_at_its_last_factor():
    _, peer = make()
    expected = torch_rates(peer, ExponentialLR(peer, gamma=0.02 ** (1 / (EPOCHS * STEPS - 1))), EPOCHS * STEPS)
    found = rates(*make("exponential", exponential={"last": 0.02}), EPOCHS * STEPS)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[-1] == pytest.approx(0.02 * LR)


@pytest.mark.parametrize("name", SHAPES)
def test_a_trial_of_one_step_has_a_rate(name):
    (found,) = rates(*make(name, epochs=1, steps=1), 1)
    assert 0 < found <= LR


def test_the_rate_in_force_is_that_of_the_group_with_the_highest_peak():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]], "lr": 1e-4}, {"params": [weights[1]], "lr": 1e-2}])
    schedule = Schedule(optimizer, ScheduleSettings(name="cosine"), 2, 2)
    schedule.before_step(2)
    assert schedule.rate == pytest.approx(5e-3)


def test_constant_is_constant():
    assert rates(*make(), 20) == [LR] * 20


@pytest.mark.parametrize("name", SHAPES)
def test_warm_up_rises_to_the_first_rate_and_the_rest_follows_in_the_remaining_steps(name):
    # Cycles of restarts are 6 steps here and there.
    found = rates(*make(name, warmup_epochs=1.6, restarts={"first_epochs": 1.2}), 20)
    rest = rates(*make(name, epochs=1, steps=12, restarts={"first_epochs": 0.5}), 12)
    assert found[:8] == pytest.approx([rest[0] * (step + 1) / 8 for step in range(8)])
    assert found[8:] == pytest.approx(rest)


def test_plateau_equals_torch():
    losses = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 2, 2.5, 2.5, 2.5, 2.5]
    schedule, optimizer = make("plateau", plateau={"factor": 0.5, "patience": 2})
    _, peer = make()
    scheduler = ReduceLROnPlateau(peer, factor=0.5, patience=2, threshold=0)
    found, expected = [], []
    for loss in losses:
        schedule.before_step(0)
        found.append(optimizer.param_groups[0]["lr"])
        expected.append(peer.param_groups[0]["lr"])
        schedule.after_epoch(loss, miou=0.0)
        scheduler.step(loss)
    assert found == pytest.approx(expected)
    assert min(found) < LR


def test_plateau_on_miou_wants_it_to_rise():
    schedule, _ = make("plateau", plateau={"monitor": "miou", "factor": 0.1, "patience": 0})
    schedule.after_epoch(loss=1.0, miou=0.3)
    schedule.after_epoch(loss=2.0, miou=0.4)
    assert schedule.factor(0) == 1
    schedule.after_epoch(loss=0.5, miou=0.4)
    assert schedule.factor(0) == pytest.approx(0.1)


def test_other_schedules_do_not_look_at_figures():
    schedule, _ = make("cosine")
    for _ in range(20):
        schedule.after_epoch(loss=1.0, miou=0.1)
    assert schedule.factor(0) == 1


def test_state_goes_on_where_it_was():
    schedule, _ = make("plateau", plateau={"patience": 1})
    for loss in (2.0, 2.0, 2.0, 2.0):
        schedule.after_epoch(loss, miou=0.0)
    other, _ = make("plateau", plateau={"patience": 1})
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for item in (schedule, other):
        item.after_epoch(2.0, miou=0.0)
    assert other.state_dict() == schedule.state_dict()
    assert schedule.factor(0) == pytest.approx(math.pow(0.1, 2))


def test_parameter_groups_keep_their_own_peaks():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]], "lr": 1e-2}, {"params": [weights[1]], "lr": 1e-4}])
    schedule = Schedule(optimizer, ScheduleSettings(name="cosine"), 2, 2)
    schedule.before_step(2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-3, 5e-5])
    assert schedule.peaks == (1e-2, 1e-4)


def test_warm_up_as_long_as_the_trial_is_refused():
    with pytest.raises(ValueError, match=r"schedule.warmup_epochs: got 4, expected less than the 4 epochs"):
        make("cosine", warmup_epochs=4)
