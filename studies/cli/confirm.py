"""Commands about confirmatory runs: rows, table, fidelity.

Torch and Ray take seconds to import: the commands that need them import them when they are called.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from studies.cli.files import (
    AddressOption,
    DataOption,
    NameOption,
    SetOption,
    StorageOption,
    WorkersOption,
    study_options,
)
from studies.cli.live import Progress
from studies.cli.results import JsonOption
from studies.cli.run import (
    DEFAULT_WORKSPACE,
    QuietOption,
    StudyArgument,
    WorkspaceOption,
    console_of_lines,
    exit_code,
    study_words,
)
from studies.files.study_settings import StudySettings
from studies.workspace import Workspace

if TYPE_CHECKING:
    from studies.running.launch import Outcome


class TableFormat(StrEnum):
    """What a table can be written as."""

    MD = "md"
    CSV = "csv"
    LATEX = "latex"
    HTML = "html"


RowsArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="a study file, a study of the workspace, or a shipped recipe")
]
LeakOption = Annotated[
    bool, typer.Option("--accept-leak", help="run although training has near copies of validation images")
]
SeedsOption = Annotated[int, typer.Option("--seeds", metavar="S", help="seeds of each row, from trial.seed on", min=1)]


def rows(  # noqa: PLR0913 - an option each
    file: RowsArgument,
    seeds: SeedsOption = 1,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data: DataOption = None,
    workers: WorkersOption = None,
    name: NameOption = None,
    set_: SetOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    accept_leak: LeakOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the named rows of a study, each whole and with the same seeds; what is there is not run again."""
    place = Workspace.open(workspace)
    from studies.confirmatory.rows import find_study, run_rows

    settings = find_study(
        file, place, set_ or (), study_options(data=data, workers=workers, name=name, storage=storage)
    )
    console = console_of_lines()
    with show_runs(console, settings, quiet) as progress:
        outcome = run_rows(settings, seeds, place, address, progress, accept_leak=accept_leak)
    words = study_words(settings.name, place)
    say_end(console, outcome, f"contourney table {words}" + (f" --seeds {seeds}" if seeds > 1 else ""))


def table(
    name: StudyArgument,
    seeds: Annotated[
        int | None, typer.Option("--seeds", metavar="S", help="only the first S seeds; all if absent", min=1)
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="how the table is written")] = TableFormat.MD,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="where to write it")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show the named rows: mean and spread over seeds, differences to the base row, published figures and cost."""
    from studies.confirmatory.table import row_table
    from studies.confirmatory.table_formats import FORMATS

    text = FORMATS[format_.value](row_table(name, Workspace.open(workspace), seeds))
    if output is None:
        print(text, end="")
        return
    output.write_text(text, encoding="utf-8")
    print(output)


def fidelity(  # noqa: PLR0913 - an option each
    file: RowsArgument,
    trials: Annotated[int, typer.Option("--trials", metavar="N", help="random configurations", min=12)] = 12,
    seeds: Annotated[int, typer.Option("--seeds", metavar="S", help="seeds of each", min=2)] = 2,
    fraction: Annotated[
        float | None,
        typer.Option("--fraction", metavar="F", help="small share of the training images; data.fraction if absent"),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data: DataOption = None,
    name: NameOption = None,
    set_: SetOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    accept_leak: LeakOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what a small share of the training images is worth for choosing between configurations."""
    place = Workspace.open(workspace)
    from studies.confirmatory.fidelity import fidelity_lines, plan_fidelity, run_fidelity
    from studies.confirmatory.rows import find_study

    settings = find_study(file, place, set_ or (), study_options(data=data, name=name, storage=storage))
    plan = plan_fidelity(settings, trials, seeds, fraction)
    console = console_of_lines(stderr=as_json)
    with show_runs(console, settings, quiet) as progress:
        outcome, result = run_fidelity(settings, plan, place, address, progress, accept_leak=accept_leak)
    if result is not None and as_json:
        print(json.dumps(asdict(result), indent=2))
    elif result is not None:
        console.print("\n".join(fidelity_lines(result)), markup=False, highlight=False)
    say_end(console, outcome, None if result is not None else "the same command again: runs are missing")


def show_runs(console: Console, settings: StudySettings, quiet: bool) -> Progress:
    """A live table in which each run is called by its role, key and seed."""
    return Progress(console, settings.name, epochs=settings.trial.epochs, quiet=quiet, call=_call)


def _call(number: int, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{role} {key}" for role, key in values.items())


def say_end(console: Console, outcome: "Outcome", following: str | None) -> None:
    """Say how it ended and what to do then; exits with the code of that end unless it is 0."""
    if outcome.counts["FAIL"]:
        last = (outcome.error or "").strip().splitlines()[-1:]
        console.print(f"{outcome.counts['FAIL']} failed, the last: {''.join(last)}", markup=False, highlight=False)
        console.print("the same command again repeats them", markup=False, highlight=False)
    if outcome.interrupted:
        console.print("interrupted; go on with the same command again", markup=False, highlight=False)
    elif following:
        console.print(f"next: {following}", markup=False, highlight=False)
    if code := exit_code(outcome):
        raise typer.Exit(code)
