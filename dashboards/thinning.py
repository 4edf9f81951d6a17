"""Which trials are looked at where there are too many for a page or a computation."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread_by_rank(items: Sequence[Item], value: Callable[[Item], float], most: int) -> list[Item]:
    """At most `most` (2 or more) of the items, evenly spaced by the rank of their finite value, in their order.

    The smallest and the largest value are always among them, and quantiles stay what they were.
    """
    if len(items) <= most:
        return list(items)
    ranked = sorted(range(len(items)), key=lambda index: value(items[index]))
    chosen = {ranked[round(place * (len(items) - 1) / (most - 1))] for place in range(most)}
    return [items[index] for index in sorted(chosen)]


def thinned_words(kept: int, of: int, what: str = "trials") -> list[str]:
    """A note on what was left out; none where nothing was."""
    return [f"{kept} of {of} {what}, evenly by rank, the best and the worst among them."] if kept < of else []
