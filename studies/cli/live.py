"""What a running study shows: a live table on a terminal, one line per finished trial elsewhere."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from search.states import COUNTED, END_STATES, Reason

SHOWN_TRIALS = 8


class Progress:
    """Follows a run through the bridge's events; use it in a `with` statement."""

    def __init__(
        self,
        console: Console,
        name: str,
        *,
        epochs: int,
        quiet: bool = False,
        call: Callable[[int, Mapping[str, Any]], str] = lambda number, values: f"trial {number:<3}",
    ) -> None:
        """`call` says what a trial with these values is called in its line."""
        self._console = console
        self._name = name
        self._trials: int | None = None
        self._epochs = epochs
        self._quiet = quiet
        self._call = call
        self._lock = threading.Lock()
        self._ended: Counter[str] = Counter()
        self._earlier = 0
        self._running: dict[int, tuple[int, float | None]] = {}
        self._settings: dict[int, Mapping[str, Any]] = {}
        self._best: tuple[float, int, int] | None = None
        self._trial_best: dict[int, float] = {}
        self._rows = 0
        self._started = time.monotonic()
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def begin(self, total: int | None, ended: Mapping[str, int], best: tuple[float, int, int] | None) -> None:
        """Take over the budget and what earlier runs did: trials by state and the best (value, trial, epoch)."""
        with self._lock:
            self._trials = total
            self._ended = Counter({state.name: ended[state.name] for state in COUNTED})
            self._earlier = sum(self._ended.values())
            self._best = best

    def on_trial(self, number: int, reason: Reason | None, values: Mapping[str, Any]) -> None:
        """A trial started (no reason) or ended."""
        with self._lock:
            if reason is None:
                self._running[number] = (0, None)
                self._settings[number] = values
                return
            epoch, _ = self._running.pop(number, (0, None))
            state = END_STATES[reason].name
            self._ended[state] += 1
            line = self._line(number, epoch, state, reason)
        if not self._quiet:
            self._console.print(line, highlight=False)

    def on_epoch(self, number: int, epoch: int, value: float | None) -> None:
        """An epoch arrived."""
        with self._lock:
            self._rows += 1
            self._running[number] = (epoch, value)
            if value is None:
                return
            self._trial_best[number] = max(value, self._trial_best.get(number, value))
            if self._best is None or value > self._best[0]:
                self._best = (value, number, epoch)

    def say(self, text: str) -> None:
        """Show a line of text, also when quiet: it is something to know."""
        self._console.print(text, highlight=False, markup=False)

    def _line(self, number: int, epoch: int, state: str, reason: Reason) -> Text:
        done = sum(self._ended.values())
        total = f"/{self._trials}" if self._trials is not None else ""
        colour = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}[state]
        value = self._trial_best.get(number)
        shown = f"mIoU {value:.4f}" if value is not None else "no mIoU"
        line = Text(f"[{done}{total}] {self._call(number, self._settings.get(number, {}))} ")
        line.append(f"{state.lower():<8}", style=colour)
        why = "" if reason in (Reason.FINISHED, Reason.PRUNED) else f" ({reason.replace('_', ' ')})"
        line.append(f" {shown} after epoch {epoch}{why}")
        if self._best is not None:
            line.append(f"   best {self._best[0]:.4f} (trial {self._best[1]})", style="bold")
        return line

    def _draw(self) -> Group:
        with self._lock:
            table = Table(expand=False, title=None, box=None, padding=(0, 2, 0, 0))
            for column in ("trial", "epoch", "mIoU", "settings"):
                table.add_column(column, justify="right" if column in ("trial", "epoch", "mIoU") else "left")
            for number, (epoch, value) in sorted(self._running.items())[:SHOWN_TRIALS]:
                shown = "" if value is None else f"{value:.4f}"
                table.add_row(str(number), f"{epoch}/{self._epochs}", shown, Text(show_values(self._settings[number])))
            return Group(self._headline(), table, self._best_line())

    def _headline(self) -> Text:
        done = sum(self._ended.values())
        states = (
            ", ".join(f"{count} {state.lower()}" for state, count in sorted(self._ended.items()) if count) or "none"
        )
        spent_s = time.monotonic() - self._started
        total = "" if self._trials is None else f" of {self._trials}"
        rate = f", {self._rows / spent_s * 60:.1f} epochs/min" if self._rows else ""
        return Text(
            f"{self._name}: {done}{total} trials ended ({states}), {len(self._running)} running{rate}{self._eta()}"
        )

    def _eta(self) -> str:
        done_here = sum(self._ended.values()) - self._earlier
        if self._trials is None or not done_here or not self._rows:
            return ""
        spent_s = time.monotonic() - self._started
        left_s = spent_s / done_here * max(0, self._trials - self._earlier - done_here)
        return f", about {show_seconds(left_s)} left"

    def _best_line(self) -> Text:
        if self._best is None:
            return Text("best: none yet")
        value, number, epoch = self._best
        settings = show_values(self._settings.get(number, {}))
        return Text(f"best: mIoU {value:.4f}, trial {number}, epoch {epoch}  {settings}", style="bold")


def show_values(values: Mapping[str, Any]) -> str:
    """Settings in one line, numbers short."""
    return "  ".join(f"{path}={show_value(value)}" for path, value in values.items())


def show_value(value: Any) -> str:
    """One value, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_seconds(seconds: float) -> str:
    """A duration for people: 42 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
