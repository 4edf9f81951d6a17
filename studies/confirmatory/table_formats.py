"""A row table as Markdown, CSV, LaTeX or a page of HTML."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from html import escape

from studies.confirmatory.row_runs import BESIDE, Spread
from studies.confirmatory.table import RowTable, TableRow
from studies.files.rows_settings import shown_sets

_PUBLISHED = {
    "val_miou": "validation mIoU",
    "test_miou": "test mIoU",
    "val_loss": "validation loss",
    "pixel_accuracy": "pixel accuracy",
    "best_epoch": "epoch",
    "trainable_parameters": "parameters",
}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "×": r"$\times$", "−": "$-$",
}  # fmt: skip
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#1b1f24}table{border-collapse:collapse}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #d5d9de;text-align:left;vertical-align:top}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}tr.base{background:#f2f5f8}p{max-width:60rem}"
)

Format = Callable[[RowTable], str]


def markdown(table: RowTable) -> str:
    """A table in Markdown; the best mean is bold."""
    columns = _columns(table)
    dashes = ["---:" if title in _RIGHT else "---" for title in columns]
    lines = [f"**{_md(_title(table))}**", "", _pipes(columns), _pipes(dashes)]
    for row in table.rows:
        cells = {title: _md(cell(row)) for title, cell in columns.items()}
        cells["row"] += "".join(f"<sup>{number}</sup>" for number in row.footnotes)
        if row.name == table.best:
            cells["validation mIoU"] = f"**{cells['validation mIoU']}**"
        lines.append(_pipes(cells.values()))
    return "\n".join([*lines, "", *(f"{_md(note)}  " for note in _notes(table))]).rstrip() + "\n"


def latex(table: RowTable) -> str:
    """A `table` environment for booktabs; the best mean is bold."""
    columns = _columns(table)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{_tex(_title(table))}}}",
        rf"\begin{{tabular}}{{{''.join('r' if title in _RIGHT else 'l' for title in columns)}}}",
        r"\toprule",
        " & ".join(map(_tex, columns)) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = {title: _tex(cell(row)) for title, cell in columns.items()}
        if row.footnotes:
            cells["row"] += rf"\textsuperscript{{{','.join(map(str, row.footnotes))}}}"
        if row.name == table.best:
            cells["validation mIoU"] = rf"\textbf{{{cells['validation mIoU']}}}"
        lines.append(" & ".join(cells.values()) + r" \\")
    notes = [rf"\par\footnotesize {_tex(note)}" for note in _notes(table)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}", ""])


def html(table: RowTable) -> str:
    """A page that stands alone."""
    columns = _columns(table)
    right = {title: ' class="n"' if title in _RIGHT else "" for title in columns}
    head = "".join(f"<th{right[title]}>{escape(title)}</th>" for title in columns)
    body = []
    for row in table.rows:
        cells = {title: escape(cell(row)) for title, cell in columns.items()}
        cells["row"] += "".join(f"<sup>{number}</sup>" for number in row.footnotes)
        if row.name == table.best:
            cells["validation mIoU"] = f"<strong>{cells['validation mIoU']}</strong>"
        style = ' class="base"' if row.name == table.base else ""
        body.append(f"<tr{style}>{''.join(f'<td{right[title]}>{text}</td>' for title, text in cells.items())}</tr>")
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in _notes(table))
    title = escape(_title(table))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body>\n<h1>{title}</h1>\n<table><thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(body)}\n"
        f"</tbody></table>\n{notes}\n</body></html>\n"
    )


def comma_separated(table: RowTable) -> str:
    """Every number in full precision, one row a line; published figures in columns of their own."""
    published = [name for name in _PUBLISHED if any(name in row.published for row in table.rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spreads: tuple[tuple[str, Callable[[TableRow], Spread | None]], ...] = (
        ("val_miou", lambda row: row.miou),
        ("difference", table.difference),
        ("final_miou", lambda row: row.final),
        ("test_miou", lambda row: row.test_miou),
        *((name, partial(TableRow.figure, name=name)) for name in _beside(table)),
    )
    heads = [f"{name}_{part}" for name, _ in spreads for part in ("mean", "sd", "n")]
    costs = ["last_epochs_sd", "device_s_mean", "device_s_ratio", "parameters_ratio"]
    figures = [f"published_{name}" for name in published]
    writer.writerow(
        ["row", "sets", "trainable_parameters", "best_epoch_mean", *heads, *costs, "worth", "notes", *figures]
    )
    for row in table.rows:
        parts = [part for _, spread in spreads for part in _parts(spread(row))]
        cells = [row.name, shown_sets(row.sets), row.parameters, _parts(row.best_epoch)[0], *parts]
        cells += [row.last_sd, row.device_s]
        notes = "; ".join(table.footnotes[number - 1] for number in row.footnotes)
        cells += [table.cost_ratio(row), table.parameter_ratio(row), table.worth(row), notes]
        cells += [row.published.get(name) for name in published]
        writer.writerow(["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in cells])
    return text.getvalue()


FORMATS: dict[str, Format] = {"md": markdown, "csv": comma_separated, "latex": latex, "html": html}

_RIGHT = frozenset(
    {"parameters", "best epoch", "validation mIoU", "difference to base", "final epoch", "SD of last 3", "test mIoU"}
    | {_PUBLISHED[name] for name in BESIDE}
    | {"device-seconds", "× device", "× parameters"}
)


def _columns(table: RowTable) -> dict[str, Callable[[TableRow], str]]:
    columns: dict[str, Callable[[TableRow], str]] = {
        "row": lambda row: row.name,
        "sets": lambda row: shown_sets(row.sets),
        "parameters": lambda row: "" if row.parameters is None else f"{row.parameters:,}",
        "best epoch": lambda row: "" if row.best_epoch is None else f"{row.best_epoch.mean:.1f}",
        "validation mIoU": lambda row: _spread(row.miou),
        "difference to base": lambda row: _spread(table.difference(row), sign=True),
    }
    if any(row.final for row in table.rows):
        columns["final epoch"] = lambda row: _spread(row.final)
        columns["SD of last 3"] = lambda row: "" if row.last_sd is None else f"{row.last_sd:.4f}"
    for name in _beside(table):
        columns[_PUBLISHED[name]] = partial(_figure, name)
    if any(row.test_miou for row in table.rows):
        columns["test mIoU"] = lambda row: _spread(row.test_miou)
    if any(row.published for row in table.rows):
        columns["published"] = lambda row: _published(row.published)
    columns["device-seconds"] = lambda row: "" if row.device_s is None else f"{row.device_s:.1f}"
    columns["× device"] = lambda row: _ratio(table.cost_ratio(row))
    columns["× parameters"] = lambda row: _ratio(table.parameter_ratio(row))
    columns["worth its cost?"] = table.worth
    return columns


def _figure(name: str, row: TableRow) -> str:
    return _spread(row.figure(name))


def _beside(table: RowTable) -> list[str]:
    """Figures beside mIoU that some row was published with and that we have too."""
    return [name for name in BESIDE if any(name in row.published for row in table.rows)]


def _title(table: RowTable) -> str:
    return f"{table.study}: {table.metric} of the best epoch, mean ± SD over n seeds; base {table.base}"


def _notes(table: RowTable) -> list[str]:
    notes = [f"{number}: {note}" for number, note in enumerate(table.footnotes, start=1)]
    if table.missing:
        notes.append("not run yet: " + ", ".join(f"{name} with seed {seed}" for name, seed in table.missing))
    notes.append(
        "The best of many epochs is optimistic: the final epoch, and the standard deviation of the last three epochs "
        "(mean over seeds), stand beside it."
    )
    notes.append(
        "Differences are paired by seed; one counts as shown where Student's 95 % interval of them leaves 0 out. Cost "
        "is device-seconds of all epochs, in terms of base's."
    )
    if any(row.published for row in table.rows):
        notes.append("Published figures are of other data splits or runs, and beside ours for orientation only.")
    return notes


def _spread(spread: Spread | None, *, sign: bool = False) -> str:
    if spread is None:
        return ""
    mean = f"{spread.mean:+.4f}".replace("-", "−") if sign else f"{spread.mean:.4f}"
    return f"{mean} ± {spread.sd:.4f} ({spread.n})" if spread.sd is not None else f"{mean} ({spread.n})"


def _published(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{_PUBLISHED[name]} {value:,}" for name, value in figures.items())


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _parts(spread: Spread | None) -> tuple[float | None, float | None, int]:
    return (None, None, 0) if spread is None else (spread.mean, spread.sd, spread.n)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    for mark in "\\|*_<`":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
