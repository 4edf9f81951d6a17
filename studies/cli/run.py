"""Commands that run trials: launch, resume, extend.

Torch and Ray take seconds to import: the commands that need them import them when they are called.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import optuna
import typer
from rich.console import Console

from search.storage import open_storage
from studies.cli.files import (
    AddressOption,
    DataOption,
    FileArgument,
    HoursOption,
    NameOption,
    SetOption,
    StorageOption,
    TrialsOption,
    WorkersOption,
    study_options,
)
from studies.cli.live import Progress
from studies.files.study_file import load_study
from studies.files.study_settings import StudySettings
from studies.results import best_trial
from studies.stored import counts, load_settings
from studies.workspace import Workspace

if TYPE_CHECKING:
    from studies.running.launch import Outcome

StudyArgument = Annotated[str, typer.Argument(metavar="NAME", help="name of a study in the workspace")]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", metavar="DIR", help="folder of studies, records and cache")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="print only what must be known and the outcome")]
DEFAULT_WORKSPACE = Path("workspace")


def launch(  # noqa: PLR0913 - an option each
    file: FileArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data: DataOption = None,
    trials: TrialsOption = None,
    hours: HoursOption = None,
    workers: WorkersOption = None,
    name: NameOption = None,
    set_: SetOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    accept_leak: Annotated[
        bool,
        typer.Option(
            "--accept-leak", help="launch although training has near copies of validation images; reports tell"
        ),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="run no study: train a few steps of the dearest corner of its space here, and say what memory and "
            "time it takes and what the budget costs at most",
        ),
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Check a study file or recipe and run it."""
    settings = load_study(file, set_ or (), study_options(data, trials, hours, workers, name, storage))
    place = Workspace.open(workspace)
    if probe:
        _probe(settings, place)
        return
    from studies.running.launch import launch as start

    _run(
        settings,
        place,
        quiet,
        lambda watcher: start(settings, place, address, watcher, accept_leak=accept_leak),
    )


def _probe(settings: StudySettings, place: Workspace) -> None:
    from studies.running.probe import probe, probe_lines

    console_of_lines().print("\n".join(probe_lines(probe(settings, place))), markup=False, highlight=False)


def resume(
    name: StudyArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Go on with an interrupted study.

    Its open trials go on first, under their own numbers and from their last epochs; then the rest of the budget is run.
    """
    place = Workspace.open(workspace)
    settings = load_settings(name, place)
    from studies.running.launch import resume as start

    _run(settings, place, quiet, lambda watcher: start(name, place, address, watcher))


def extend(
    name: StudyArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", help="new total of trials", min=1)] = None,
    hours: Annotated[float | None, typer.Option("--hours", metavar="H", help="new total of driver hours")] = None,
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Raise a study's budget and go on with it."""
    place = Workspace.open(workspace)
    from studies.upkeep.requesting import check_extend, request

    console = console_of_lines()
    answer = request(
        name, place, check_extend(name, place, trials, hours), lambda text: console.print(text, markup=False)
    )
    if answer.driver:
        told = answer.outcome or "it has not answered yet, and takes up the new budget when it does"
        console.print(f"asked the driver that is running study {name!r}: {told}", markup=False, highlight=False)
        return
    resume(name, workspace, address, quiet)


def _run(settings: StudySettings, place: Workspace, quiet: bool, start: "Callable[[Progress], Outcome]") -> None:
    console = console_of_lines()
    progress = Progress(console, settings.name, epochs=settings.trial.epochs, quiet=quiet)
    with progress:
        outcome = start(progress)
    _say_outcome(console, settings.name, place, outcome)
    raise typer.Exit(exit_code(outcome))


def _say_outcome(console: Console, name: str, place: Workspace, outcome: "Outcome") -> None:
    study = optuna.load_study(study_name=name, storage=open_storage(place.storage))
    states = ", ".join(f"{count} {state.lower()}" for state, count in counts(study).items() if count)
    console.print(f"study {name!r}: {states}", markup=False, highlight=False)
    best = best_trial(study)
    if best is not None:
        console.print(
            f"best: validation mIoU {best.value:.4f}, trial {best.number}, epoch {best.user_attrs['best_epoch']}",
            markup=False,
            highlight=False,
        )
    words = study_words(name, place)
    if outcome.counts["FAIL"] and not outcome.hopeless:
        console.print(f"some failed; the tracebacks: contourney status {words} --json", markup=False, highlight=False)
    if outcome.hopeless:
        console.print("given up: no trial of this run gave a result; the last words of it:", style="red")
        console.print((outcome.error or "no reason").strip().splitlines()[-1], markup=False, highlight=False)
        console.print(f"each trial's end: contourney status {words} --json", markup=False, highlight=False)
        console.print(f"once it is mended: contourney resume {words}", markup=False, highlight=False)
    elif outcome.interrupted:
        console.print(f"interrupted; go on with: contourney resume {words}", markup=False, highlight=False)
    elif outcome.deadline:
        console.print(
            f"the hours are over; go on with: contourney extend {words} --hours H", markup=False, highlight=False
        )
    else:
        console.print(f"next: contourney report {words}", markup=False, highlight=False)
        console.print(f"then: contourney promote {words}", markup=False, highlight=False)


def study_words(name: str, place: Workspace) -> str:
    """How this study is named on the command line from here."""
    shown = name if name.replace("-", "").replace("_", "").isalnum() else repr(name)
    return shown if place.root == DEFAULT_WORKSPACE.absolute() else f"{shown} --workspace {place.root}"


def exit_code(outcome: "Outcome") -> int:
    """130 where a signal ended a run, 1 where all of it failed, else 0."""
    return 130 if outcome.interrupted else 1 if outcome.hopeless else 0


def console_of_lines(*, stderr: bool = False) -> Console:
    """Standard output (or error), lines never wrapped."""
    return Console(soft_wrap=True, stderr=stderr)
