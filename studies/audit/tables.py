"""Findings for a terminal."""

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from studies.audit.findings import Audit

SHOWN = 10
SHOWN_IN_GROUP = 4
WIDTH = 110


def print_audit(console: Console, audit: Audit) -> None:
    """Print overview, classes and findings, and last the drop list, ready to be pasted."""
    console.print(headline(audit), style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(_overview(audit), highlight=False)
    if audit.classes:
        console.print()
        console.print(_classes(audit), highlight=False)
    console.print()
    for line in finding_lines(audit):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if audit.drop:
        console.print()
        console.print("to leave these images out, put this into the study file:", highlight=False)
        # As it is to be pasted: a console would wrap and colour it.
        print(drop_yaml(audit.drop))


def headline(audit: Audit) -> str:
    """What was audited, and that its format was guessed where it was."""
    guessed = " (guessed from the layout; --format says otherwise)" if audit.guessed else ""
    return f"{audit.root or audit.format}: format {audit.format}{guessed}, split {audit.split}"


def drop_yaml(names: Iterable[str], indent: int = 0) -> str:
    """The lines of a study file that leave these images out."""
    quoted = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
    listed = textwrap.fill(quoted, WIDTH, break_long_words=False, break_on_hyphens=False)
    text = f"trial:\n  data:\n    drop: [\n{textwrap.indent(listed, ' ' * 6)}\n    ]"
    return textwrap.indent(text, " " * indent)


def overview_rows(audit: Audit) -> list[tuple[str, str]]:
    """Label and value of the first table."""
    read = [f"{count} {split}" for split, count in audit.images.items()]
    labels = ", ".join(f"{row['label']} ({row['class']})" for row in audit.labels)
    mean = audit.unlabelled["mean"]
    return [
        ("images", ", ".join(read)),
        ("read", " and ".join(audit.read) or "none"),
        (
            "sizes",
            ", ".join(
                f"{row['height']}x{row['width']}x{row['channels']} ({row['images']})" for row in audit.sizes[:SHOWN]
            )
            + _more(audit.sizes, SHOWN),
        ),
        ("label values", labels or "none"),
        ("unlabelled pixels", f"{mean:.1%} of an image on average" if mean else "none"),
    ]


def finding_lines(audit: Audit) -> list[str]:
    """One line a finding, with the first names; what is in order is said as well."""
    lines = [
        _listed("image or mask missing", [row["problem"] for row in audit.unpaired]),
        _listed("unreadable or of two sizes", [row["problem"] for row in audit.unreadable]),
        _listed(
            "masks with labels that are no class (set data.classes or data.ignore_index)",
            [f"{row['name']} ({', '.join(map(str, row['labels']))})" for row in audit.unknown_labels],
        ),
        _listed("contaminated: one mask on images unlike each other", audit.contaminated),
        _groups("identical images", audit.identical_images),
        _groups("nearly identical images", audit.near_images),
        _groups("identical masks", audit.identical_masks),
        _groups("nearly identical masks", audit.near_masks),
        _listed(
            "the same or nearly the same image in two splits",
            [f"{row['first']} ({row['in']}) and {row['second']} ({row['and']}), {row['similarity']:.3f}"
             for row in audit.across],
        ),
        _listed(
            "neighbouring frames in two splits, by their numbers",
            [f"{row['first']} ({row['in']}) and {row['second']} ({row['and']} of {row['split']}), {row['apart']} apart"
             for row in audit.neighbours],
        ),
        _listed("masks without a labelled pixel", audit.empty_masks),
        _listed("masks of one class", [f"{row['name']} ({row['class']})" for row in audit.single_class_masks]),
        _listed(
            "brightness more than 3 standard deviations off",
            [f"{row['name']} ({row['deviations']:+.1f})" for row in audit.outlying],
        ),
    ]  # fmt: skip
    return [line for line in lines if line is not None] or ["nothing to object to"]


def _listed(what: str, names: Sequence[str]) -> str | None:
    if not names:
        return None
    return f"{what}: {len(names)}\n" + "\n".join(f"    {name}" for name in names[:SHOWN]) + _rest(names)


def _groups(what: str, groups: Sequence[Sequence[str]]) -> str | None:
    if not groups:
        return None
    lines = [", ".join(group[:SHOWN_IN_GROUP]) + _more(group, SHOWN_IN_GROUP) for group in groups[:SHOWN]]
    images = sum(map(len, groups))
    word = "group" if len(groups) == 1 else "groups"
    return (
        f"{what}: {len(groups)} {word} of {images} in all\n"
        + "\n".join(f"    {line}" for line in lines)
        + _rest(groups)
    )


def _more(items: Sequence[Any], shown: int) -> str:
    return f" and {len(items) - shown} more" if len(items) > shown else ""


def _rest(items: Sequence[Any]) -> str:
    return f"\n    and {len(items) - SHOWN} more (--json lists all)" if len(items) > SHOWN else ""


def _overview(audit: Audit) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, value in overview_rows(audit):
        table.add_row(label, Text(value))
    return table


def _classes(audit: Audit) -> Table:
    table = Table("class", box=None, pad_edge=False)
    for split in ("train", "validation"):
        for column in ("share", "images"):
            table.add_column(f"{split} {column}", justify="right")
    for row in audit.classes:
        cells = [
            "–" if value is None else f"{value:.2%}" if isinstance(value, float) else str(value)
            for split in ("train", "validation")
            for value in (row[f"{split} share"], row[f"{split} images"])
        ]
        table.add_row(Text(row["class"]), *cells)
    return table
