"""Run benchmarks and keep their results: python -m benchmarks.run [NAME ...]."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import augment, choosing, confusion, coverage, dashboard, importance, manager, overhead, training
from benchmarks.measure import RESULTS, Comparison, hardware, summary, write_result

BENCHMARKS: dict[str, Callable[[], Comparison]] = {
    "confusion": confusion.compare,
    "training": training.compare,
    "manager": manager.compare,
    "augment": augment.compare,
    "overhead": overhead.compare,
    "coverage": coverage.compare,
    "choosing": choosing.compare,
    "dashboard": dashboard.compare,
    "importance": importance.compare,
    "overhead-bare": overhead.compare_bare,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, all of them without a name; a claim that does not hold is shown, no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(BENCHMARKS)}; all without one")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parsed = parser.parse_args(arguments)
    if unknown := [name for name in parsed.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    console = Console(soft_wrap=True)
    columns = ("benchmark", "ours", "peer", "ours / peer (range)", "claim", "")
    table = Table(*columns, title=hardware(), title_justify="left", box=None, pad_edge=False)
    for name in parsed.names or BENCHMARKS:
        console.print(f"{name} ...", highlight=False)
        comparison = BENCHMARKS[name]()
        console.print(f"  {write_result(comparison, parsed.output)}", highlight=False)
        table.add_row(*summary(comparison))
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
