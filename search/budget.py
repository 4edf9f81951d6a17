"""A study's budget, and how another process raises it while a driver runs."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

import optuna

REQUEST = "request/"


@dataclass
class Budget:
    """Total of trials that end (COMPLETE, PRUNED, FAIL) and of driver hours; None is no limit."""

    trials: int | None
    hours: float | None

    def raise_to(self, trials: int | None, hours: float | None) -> None:
        """Take new totals, where given."""
        self.trials = self.trials if trials is None else trials
        self.hours = self.hours if hours is None else hours


class BudgetError(ValueError):
    """A budget that does not grow."""


def check_raise(budget: Budget, trials: int | None, hours: float | None) -> None:
    """Raise BudgetError unless at least one total is given and every one given is above the present one."""
    if trials is None and hours is None:
        raise BudgetError("expected --trials N or --hours H, the new total")
    for key, new, old in (("trials", trials, budget.trials), ("hours", hours, budget.hours)):
        if new is not None and old is not None and new <= old:
            raise BudgetError(f"--{key} {new:g} is the new total and must be above the present {old:g}")


def request_raise(study: optuna.Study, trials: int | None, hours: float | None) -> None:
    """Ask the driver that holds the study to raise its budget; any process may ask."""
    request = {"extend": {"trials": trials, "hours": hours}, "asked_s": time.time()}
    study.set_user_attr(f"{REQUEST}{time.time_ns():020d}-{uuid.uuid4().hex[:8]}", request)


def take_requests(study: optuna.Study, budget: Budget) -> bool:
    """Apply the requests not yet applied, in the order asked, and mark them; only the lease's holder may call it."""
    raised = False
    for key, request in sorted(study.user_attrs.items()):
        if key.startswith(REQUEST) and not request.get("applied"):
            budget.raise_to(**_wanted(request))
            study.set_user_attr(key, {**request, "applied": True})
            raised = True
    return raised


def _wanted(request: dict[str, Any]) -> dict[str, Any]:
    return {key: request["extend"].get(key) for key in ("trials", "hours")}
