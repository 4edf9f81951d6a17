"""A study's budget."""

from dataclasses import dataclass


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
