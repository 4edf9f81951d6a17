"""Who watches a run of a study."""

from collections.abc import Mapping
from typing import Protocol

from search.bridge import Listener


class Watcher(Listener, Protocol):
    """Who watches a run: the terminal."""

    def begin(self, total: int | None, ended: Mapping[str, int], best: tuple[float, int, int] | None) -> None:
        """The run begins towards this total, after these trials by state and this best (value, trial, epoch)."""

    def say(self, text: str) -> None:
        """Show a line of text."""
