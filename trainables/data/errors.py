"""The error for everything wrong with a user's data."""

from collections.abc import Sequence

MAX_SHOWN = 20


class DataError(ValueError):
    """Data that cannot be used; the message may hold several findings, one a line."""


def raise_findings(findings: Sequence[str], where: str) -> None:
    """Raise one DataError with the first 20 findings, one a line; nothing happens without findings."""
    if not findings:
        return
    more = len(findings) - MAX_SHOWN
    lines = list(findings[:MAX_SHOWN]) + ([f"... and {more} more"] if more > 0 else [])
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    raise DataError("\n  ".join([f"{where}: {count}", *lines]))
