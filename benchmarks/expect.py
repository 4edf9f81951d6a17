"""How a proof fails: with what was expected and what came."""


class ProofError(Exception):
    """Something that must hold does not."""


def expect(what: str, came: object, expected: object) -> None:
    """Raise ProofError unless what came is what was expected."""
    if came != expected:
        raise ProofError(f"{what}: expected {expected!r}, got {came!r}")


def expect_that(holds: bool, what: str, came: object) -> None:
    """Raise ProofError unless it holds; `what` says what was expected."""
    if not holds:
        raise ProofError(f"expected {what}, got {came!r}")
