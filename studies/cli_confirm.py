"""Commands about confirmatory runs: rows, table, fidelity.

Torch and Ray take seconds to import: the commands that need them import them when they are called.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studies.cli_files import DataOption, NameOption, SetOption, WorkersOption, study_options
from studies.cli_run import (
    DEFAULT_WORKSPACE,
    QuietOption,
    WorkspaceOption,
    console_of_lines,
    exit_code,
    ray_address,
    study_words,
)
from studies.live import Progress
from studies.study_settings import StudySettings
from studies.workspace import Workspace

if TYPE_CHECKING:
    from studies.launch import Outcome

RowsArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="a study file, a study of the workspace, or a shipped recipe")
]
SeedsOption = Annotated[int, typer.Option("--seeds", metavar="S", help="seeds of each row, from trial.seed on", min=1)]


def rows(
    file: RowsArgument,
    seeds: SeedsOption = 1,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data: DataOption = None,
    workers: WorkersOption = None,
    name: NameOption = None,
    set_: SetOption = None,
    accept_leak: Annotated[
        bool, typer.Option("--accept-leak", help="run although training has near copies of validation images")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Train the named rows of a study, each whole and with the same seeds; what is there is not run again."""
    place = Workspace.open(workspace)
    from studies.rows import find_study, run_rows

    settings = find_study(file, place, set_ or (), study_options(data=data, workers=workers, name=name))
    outcome = watch(
        settings,
        quiet,
        lambda watcher: run_rows(settings, seeds, place, ray_address(), watcher, accept_leak=accept_leak),
    )
    words = study_words(settings.name, place)
    _say_end(outcome, f"contourney table {words}" + (f" --seeds {seeds}" if seeds > 1 else ""))


def watch(settings: StudySettings, quiet: bool, start: "Callable[[Progress], Outcome]") -> "Outcome":
    """Run with a live table, each run called by its role, key and seed."""
    progress = Progress(console_of_lines(), settings.name, epochs=settings.trial.epochs, quiet=quiet, call=_call)
    with progress:
        return start(progress)


def _call(number: int, values: Mapping[str, Any]) -> str:
    return ", ".join(f"{role} {key}" for role, key in values.items())


def _say_end(outcome: "Outcome", following: str) -> None:
    """Say how it ended and what to do then; exits with the code of that end unless it is 0."""
    console = console_of_lines()
    if outcome.counts["FAIL"]:
        last = (outcome.error or "").strip().splitlines()[-1:]
        console.print(f"{outcome.counts['FAIL']} failed, the last: {''.join(last)}", markup=False, highlight=False)
        console.print("the same command again repeats them", markup=False, highlight=False)
    if outcome.interrupted:
        console.print("interrupted; go on with the same command again", markup=False, highlight=False)
    else:
        console.print(f"next: {following}", markup=False, highlight=False)
    if code := exit_code(outcome):
        raise typer.Exit(code)
