"""Commands that read a study: status, list, report.

Plotly takes seconds to import: the command that needs it imports it when it is called.
"""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from search.states import COUNTED
from studies.cli.live import show_seconds, show_values
from studies.cli.run import DEFAULT_WORKSPACE, StudyArgument, WorkspaceOption
from studies.results import all_status, study_status
from studies.workspace import Workspace

JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
FOLLOW_S = 2.0


def status(
    name: StudyArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
    follow: Annotated[bool, typer.Option("--follow", help="print again as it changes, while a driver runs it")] = False,
) -> None:
    """Show trials by state, the best trial and the time left."""
    place = Workspace.open(workspace)
    while True:
        found = study_status(name, place)
        _show_status(found, as_json)
        if not follow or found["state"] != "running":
            return
        while study_status(name, place) == found:
            time.sleep(FOLLOW_S)


def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """List the studies of the workspace."""
    found = all_status(Workspace.open(workspace))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found:
        print("no studies yet; contourney recipes lists what can be launched")
        return
    table = Table("study", "state", "best mIoU", "best trial", "driver time", "confirmatory", box=None, pad_edge=False)
    for one in found:
        best = one["best"]
        table.add_row(
            one["name"], f"{one['state']}: {_trials(one)}",
            f"{best['value']:.4f}" if best else "", str(best["trial"]) if best else "",
            show_seconds(one["driver_s"]), _ended_runs(one["confirmatory"]),
        )  # fmt: skip
    Console().print(table)


class FigureFormat(StrEnum):
    """Vector formats that a paper takes."""

    SVG = "svg"
    PDF = "pdf"


def report(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="studies in the workspace; several are compared")
    ],
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="where to write the page")] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="write every figure as a file there too; needs Chromium"),
    ] = None,
    kind: Annotated[FigureFormat, typer.Option("--format", help="format of --figures")] = FigureFormat.SVG,
    worst_images: Annotated[
        bool,
        typer.Option(
            "--worst-images",
            help="first predict the worst and best validation image of each class with the three best trials, for the "
            "page to show; needs the data and takes a few passes over the validation images",
        ),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write one self-contained HTML page that opens offline, of one study or of several compared."""
    from studies.reporting import add_worst_images, read_studies, write_all_figures, write_page

    place = Workspace.open(workspace)
    studies = read_studies(names, place)
    if worst_images:
        for name, trials in add_worst_images(studies, place).items():
            print(f"{name}: worst and best images of each class with trials {', '.join(map(str, trials))}")
    print(write_page(studies, place, output))
    if figures is not None:
        written = write_all_figures(studies, place, figures, kind)
        print(f"{len(written)} figures in {figures}")


def _ended_runs(confirmatory: dict[str, dict[str, int]]) -> str:
    """Confirmatory runs that ended, by role."""
    ended = {role: sum(states.get(state.name, 0) for state in COUNTED) for role, states in confirmatory.items()}
    return ", ".join(f"{count} {role}" for role, count in ended.items())


def _states(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in counts.items() if count) or "none"


def _trials(found: dict[str, Any]) -> str:
    counts = _states(found["counts"])
    total = found["budget"]["trials"]
    return f"{counts}" + (f" (of {total})" if total is not None else "")


def _show_status(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
        return
    runs = ", ".join(f"{role} {_states(states)}" for role, states in found["confirmatory"].items())
    alone = not any(found["counts"].values()) and runs
    print(f"{found['name']}: {'no search' if alone else _trials(found)}")
    print(found["state_words"])
    if runs:
        shown = f"; contourney table {found['name']} shows rows" if "row" in found["confirmatory"] else ""
        print(f"confirmatory runs: {runs}{shown}")
    best = found["best"]
    if best:
        print(f"best: {found['metric']} {best['value']:.4f}, trial {best['trial']}, epoch {best['best_epoch']}")
        print(f"  {show_values(best['params'])}")
    for one in found["running"]:
        print(f"running: trial {one['trial']}, epoch {one['epoch'] or 0}  {show_values(one['params'])}")
    left = f", about {show_seconds(found['left_s'])} left" if found["left_s"] else ""
    print(f"driver time {show_seconds(found['driver_s'])}{left}; records in {found['storage']}")
    if found["errors"]:
        print(f"{len(found['errors'])} failed: contourney status {found['name']} --json shows the tracebacks")
