"""An audit as one HTML page that opens offline, made like a study's report."""

from collections import Counter
from pathlib import Path
from typing import Any

from dashboards.palette import IGNORED_PIXELS, class_colour
from dashboards.panel import panel, render_page, replace_file
from studies.audit.figures import class_table, draw_classes, draw_unlabelled, unlabelled_table
from studies.audit.findings import Audit
from studies.audit.galleries import Pictures
from studies.audit.run import Audited
from studies.audit.tables import drop_yaml, overview_rows

SHOWN_ROWS = 20


def write_page(found: Audited, output: Path) -> None:
    """Write the page, replacing what is there in one step; raises ReportError if it cannot be written."""
    replace_file(output, render(found))


def render(found: Audited) -> str:
    """The page as HTML."""
    audit = found.audit
    pictures = Pictures(found)
    name = Path(audit.root).resolve().name if audit.root else audit.format
    present = {row["label"] for row in audit.labels}
    legend = [(label, class_colour(k)) for k, label in enumerate(audit.class_names) if k in present]
    if any(row["class"] == "ignored" for row in audit.labels):
        legend.append(("ignored", IGNORED_PIXELS))
    return render_page(
        "audit.html.j2",
        {
            "name": name,
            "audit": audit,
            "log": found.log,
            "headline": _headline(audit),
            "overview": overview_rows(audit),
            "drop": drop_yaml(audit.drop) if audit.drop else "",
            "reasons": [{"reason": reason, "images": count} for reason, count in Counter(audit.drop.values()).items()],
            "problems": _problems(audit),
            "examples": pictures.examples(),
            "legend": legend,
            "galleries": pictures.galleries(),
            "panels": [
                panel("classes", draw_classes(audit), class_table(audit)),
                panel("unlabelled", draw_unlabelled(audit), unlabelled_table(audit)),
            ],
            "neighbours": audit.neighbours[:SHOWN_ROWS],
            "neighbours_left": max(0, len(audit.neighbours) - SHOWN_ROWS),
        },
        [Path(__file__).parent],
    )


def _headline(audit: Audit) -> list[dict[str, str]]:
    """The few numbers a reader looks for first: label, value, and a line of detail each."""
    between = Counter(f"{row['in']} and {row['and']}" for row in audit.across)
    sizes = len(audit.sizes)
    return [
        {
            "label": "images",
            "value": str(sum(audit.images.values())),
            "detail": ", ".join(f"{count} {split}" for split, count in audit.images.items()),
        },
        {
            "label": "classes",
            "value": str(len(audit.class_names)),
            "detail": f"{'numbered: no names given' if audit.unnamed else 'named'}, {sizes} size{'s' * (sizes != 1)}",
        },
        {
            "label": "to leave out",
            "value": str(len(audit.drop)),
            "detail": "list below" if audit.drop else "no image has to go",
        },
        {
            "label": "copies across splits",
            "value": str(len(audit.across)),
            "detail": ", ".join(f"{count} of {pair}" for pair, count in between.items()) or f"split {audit.split}",
        },
    ]


def _problems(audit: Audit) -> list[dict[str, Any]]:
    """What could not be used, one dict each."""
    return [*audit.unpaired, *audit.unreadable][:SHOWN_ROWS] + [
        {"name": row["name"], "problem": f"label {', '.join(map(str, row['labels']))} is no class"}
        for row in audit.unknown_labels[:SHOWN_ROWS]
    ]
