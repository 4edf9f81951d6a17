"""Timing of ours against a peer, alternately in one run, and the files that results are kept in."""

import datetime
import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Comparison:
    """Repeated pairs of one quantity; `claim` is in words and `holds` says whether these pairs bear it out.

    `holds` is None where the hardware is not the one that the claim is about. `details` are kept as JSON beside it.
    """

    theme: str
    what: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    claim: str
    holds: bool | None
    packages: tuple[str, ...]
    notes: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours divided by the peer's, pair by pair."""
        return ratios(self.ours, self.peer)

    @property
    def verdict(self) -> str:
        """In one word."""
        return {True: "holds", False: "does not hold", None: "recorded only"}[self.holds]


def ratios(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, ...]:
    """Ours divided by the peer's, pair by pair."""
    return tuple(one / other for one, other in zip(ours, peer, strict=True))


def measure_pairs(
    ours: Callable[[], float], peer: Callable[[], float], repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Take both measurements `repeats` times, each pair side by side and the first of a pair changing in turn."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for repeat in range(repeats):
        for is_ours in (True, False) if repeat % 2 == 0 else (False, True):
            found[is_ours].append((ours if is_ours else peer)())
    return tuple(found[True]), tuple(found[False])


def hardware() -> str:
    """Processor and number of cores this process may use, and the CUDA device if there is one."""
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    words = f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    return f"{words}, {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else words


def versions(packages: Sequence[str]) -> str:
    """Python's version and those of some packages."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])


def today() -> str:
    """The date, as in names of results."""
    return datetime.date.today().isoformat()


def write_result(comparison: Comparison, folder: Path = RESULTS) -> Path:
    """Write THEME_HARDWARE_DATE.md; a second run on one day replaces it."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware().lower()).strip("-")
    path = folder / f"{comparison.theme}_{slug}_{today()}.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(comparison), encoding="utf-8")
    if comparison.details:
        path.with_suffix(".json").write_text(json.dumps(comparison.details, indent=1) + "\n", encoding="utf-8")
    return path


def summary(comparison: Comparison) -> tuple[str, ...]:
    """Theme, medians of ours and the peer's, median ratio with its range, claim, verdict."""
    low, middle, high = min(comparison.ratios), statistics.median(comparison.ratios), max(comparison.ratios)
    return (
        comparison.theme,
        f"{statistics.median(comparison.ours):.4g} {comparison.unit}",
        f"{statistics.median(comparison.peer):.4g} {comparison.unit}",
        f"{middle:.3g} ({low:.3g} to {high:.3g})",
        comparison.claim,
        comparison.verdict,
    )


def _page(comparison: Comparison) -> str:
    pairs = zip(comparison.ours, comparison.peer, comparison.ratios, strict=True)
    rows = [f"| {i} | {one:.4g} | {other:.4g} | {ratio:.3g} |" for i, (one, other, ratio) in enumerate(pairs, 1)]
    _, ours, peer, ratio, claim, verdict = summary(comparison)
    return "\n".join(
        [
            f"# {comparison.what}",
            "",
            f"- command: `python -m benchmarks.run {comparison.theme}`",
            f"- hardware: {hardware()}",
            f"- date: {today()}",
            f"- versions: {versions(comparison.packages)}",
            f"- medians: ours {ours}, peer {peer}; ratio ours / peer {ratio}",
            f"- claim: {claim}: {verdict}",
            "",
            *comparison.notes,
            "",
            f"| pair | ours, {comparison.unit} | peer, {comparison.unit} | ours / peer |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
