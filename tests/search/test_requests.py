"""Requests of other processes: once, in order, answered."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.requests import REQUEST, Enqueue, Extend, Request, Stop, answer_to, apply_requests, post, read
from search.space import Space
from search.space_settings import ParameterSettings, SpaceError
from search.states import Reason
from search.storage import open_storage
from tests.search.tabulated import DECLARED, FIXED, KINDS, Records, open_bridge, row, run_side_by_side


def test_requests_are_applied_once_and_in_order_and_answered(study: optuna.Study, journal: Path) -> None:
    other = optuna.load_study(study_name="s", storage=open_storage(str(journal), write=True))
    wanted = [Extend(20, None), Stop(3), Enqueue({"lr": 1e-3}), Stop(None), Extend(None, 2.5)]
    keys = [post(other, one) for one in wanted]
    seen: list[Request] = []

    def apply(key: str, request: Request) -> str | None:
        seen.append(request)
        return None if request == Stop(3) else f"done {len(seen)}"

    apply_requests(study, apply)
    assert seen == wanted
    assert [answer_to(other, key) for key in keys] == ["done 1", None, "done 3", "done 4", "done 5"]
    apply_requests(study, apply)
    assert seen == [*wanted, Stop(3)]
    with pytest.raises(KeyError, match="request/none"):
        answer_to(study, "request/none")


@pytest.mark.parametrize(
    "content",
    [
        7, None, [], {}, {"extend": 3}, {"extend": {"trials": "many"}}, {"extend": {"hours": True}},
        {"stop": {"trial": 1.5}}, {"enqueue": {"values": [1]}}, {"delete": {}},
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_and_harms_nobody(study: optuna.Study, content: Any) -> None:
    assert read(content) is None
    study.set_user_attr(f"{REQUEST}1", content)
    study.set_user_attr("another", {"extend": {"trials": 9}})
    for _ in range(2):
        apply_requests(study, lambda key, request: pytest.fail(f"{key} {request}"))
    assert answer_to(study, f"{REQUEST}1") == "refused: no request that is known here"


def test_a_running_and_a_waiting_trial_can_be_stopped_and_others_not(study: optuna.Study) -> None:
    records = Records()
    bridge = open_bridge(study, trials=6, records=records)
    run_side_by_side(bridge, workers=2, stop_after=4)
    assert bridge.stop(1)
    assert not bridge.stop(1)
    assert bridge.report(1, row(3, 0.5)).reason is Reason.STOPPED
    bridge.interrupt()
    study.enqueue_trial({"lr": 1e-4})
    assert bridge.stop(0)
    assert bridge.stop(2)
    trials = study.trials
    assert [(trial.state, trial.user_attrs["reason"]) for trial in trials] == [(TrialState.PRUNED, "stopped")] * 3
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2], [1, 2], []]
    assert not any(key.startswith("constraints") for trial in trials for key in trial.system_attrs)
    assert bridge.counted == 3
    closed = [(event[1], event[2]) for event in records.events if event[0] == "closed"]
    assert closed == [(1, TrialState.PRUNED), (0, TrialState.WAITING), (0, TrialState.PRUNED), (2, TrialState.PRUNED)]
    # The rest of the budget is searched around them.
    run_side_by_side(open_bridge(study, trials=6, sampler="tpe"))
    assert sum(trial.state is TrialState.COMPLETE for trial in study.trials) == 3


SPACE = Space.declare({**DECLARED, "batch": ParameterSettings(choices=(4, 8))}, {**KINDS, "batch": int})


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({"lr": 1e-3}, {"lr": 1e-3}),
        ({"lr": 1e-1, "width": 64}, {"lr": 0.1, "width": 64}),
        ({"width": 16.0}, {"width": 16}),
        ({"scale": 2, "depth": "all"}, {"depth": "all", "scale": 2.0}),
        ({"batch": 8.0}, {"batch": 8}),
    ],
)
def test_values_of_a_space_are_taken_with_their_types(values: dict[str, Any], taken: dict[str, Any]) -> None:
    found = SPACE.check(values, FIXED)
    assert found == taken
    assert {path: type(value) for path, value in found.items()} == {path: type(one) for path, one in taken.items()}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"momentum": 0.9}, "momentum: is not searched by this study; expected one of lr, width, depth, batch, scale"),
        ({"lr": 0.2}, "lr: got 0.2; expected a number from 1e-05 to 0.1"),
        ({"lr": "high"}, "lr: got 'high'; expected a number"),
        ({"lr": True}, "lr: got True; expected a number"),
        ({"lr": float("nan")}, "lr: got nan; expected a number"),
        ({"width": 12}, "width: got 12; expected an integer from 8 to 64 in steps of 8"),
        ({"width": 16.5}, "width: got 16.5; expected an integer"),
        ({"depth": "stage4"}, "depth: got 'stage4'; expected one of head, decoder, all"),
        ({"batch": True}, "batch: got True; expected one of 4, 8"),
        ({"scale": 1.0}, "scale: is searched only while depth is decoder or all; give a value for it too"),
        ({"scale": 1.0, "depth": "head"}, "is searched only while depth is decoder or all, and not while it is head"),
    ],
)
def test_values_outside_of_a_space_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as refused:
        SPACE.check(values, FIXED)
    assert message in str(refused.value)
