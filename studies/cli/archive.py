"""Commands that carry a study as one file: archive, restore.

What they need is imported when they are called.
"""

from pathlib import Path
from typing import Annotated

import typer

from studies.cli.run import DEFAULT_WORKSPACE, StudyArgument, WorkspaceOption, console_of_lines, study_words
from studies.workspace import Workspace


def archive(
    name: StudyArgument,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="a new file; one in the current folder if absent")
    ] = None,
    without_weights: Annotated[
        bool, typer.Option("--without-weights", help="leave out the weights of trials that have ended")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write a study into one file, for a backup or for another machine.

    It holds trials, rows and repetitions as Optuna has them, trial folders, reports and the ledger of the test split,
    with the size and SHA-256 of each file; `contourney restore` brings it back. Refused while a driver runs the study.
    Data, the cache and MLflow's records are not in it: MLflow is written again from the rest.
    """
    from studies.upkeep.archiving import archive as write
    from studies.upkeep.archiving import default_output

    place = Workspace.open(workspace)
    done = write(name, place, output or default_output(name, place), weights=not without_weights)
    console_of_lines().print(
        f"{done.path}: study {name!r}, {done.trials} trials, {done.files} files, {done.bytes:,} bytes",
        markup=False,
        highlight=False,
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a file that `contourney archive` wrote")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NEW", help="another name for the study; its own if absent")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Bring back a study that was archived.

    It goes into the workspace and the storage in use here, a journal or OPTUNA_STORAGE; then status, report, resume,
    promote and table work as before, where the data lie at the same path. Openings of the test split are taken over
    into the ledger here. Nothing is left of a file that is damaged; after a crash the same command goes on.
    """
    from search.records.mlflow_store import TrackingError
    from studies.upkeep.reconcile import reconcile
    from studies.upkeep.restoring import restore as bring_back

    place, console = Workspace.open(workspace), console_of_lines()
    done = bring_back(file, place, name)
    words = study_words(done.name, place)
    opened = f", {done.ledger_entries} entries of the test ledger" if done.ledger_entries else ""
    told = f"study {done.name!r} is restored: {done.trials} trials, {done.files} files{opened}"
    console.print(told, markup=False, highlight=False)
    try:
        reconcile(done.name, place)
    except TrackingError as error:
        console.print(f"MLflow lacks it: {error}", markup=False, highlight=False)
        console.print(f"once it answers: contourney reconcile {words}", markup=False, highlight=False)
    console.print(f"next: contourney status {words}", markup=False, highlight=False)
