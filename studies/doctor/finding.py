"""What an examination found, and how clocks and disks are judged."""

from dataclasses import dataclass
from enum import StrEnum

# Clocks further apart than this make the times of records misleading; further than that, leases and logs unreadable.
CLOCK_WARNING_S = 2.0
CLOCK_PROBLEM_S = 60.0


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What was checked, how it stands, what was seen (without credentials), and what to do about it."""

    check: str
    level: Level
    found: str
    advice: str = ""


def clock_finding(whose: str, difference_s: float, accuracy_s: float) -> Finding:
    """How far a clock is ahead of this machine's, known to within `accuracy_s`."""
    apart = max(0.0, abs(difference_s) - accuracy_s)
    level = Level.OK if apart <= CLOCK_WARNING_S else Level.WARNING if apart <= CLOCK_PROBLEM_S else Level.PROBLEM
    ahead = "ahead of" if difference_s > 0 else "behind"
    found = "as here" if apart <= CLOCK_WARNING_S else f"{abs(difference_s):.0f} s {ahead} this machine's"
    advice = "" if level is Level.OK else "set both machines' clocks by NTP: rows and records carry the times of both"
    return Finding(f"clock of {whose}", level, found, advice)
