"""The command that repairs records: reconcile."""

from studies.cli.run import DEFAULT_WORKSPACE, StudyArgument, WorkspaceOption, console_of_lines
from studies.workspace import Workspace


def reconcile(name: StudyArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Rebuild what MLflow has of a study from Optuna and the trial folders.

    For a study that ran while MLflow was away, or an MLflow that lost its database. Compares every run, those of NAME's
    confirmatory runs too: states, reasons, parameters, each metric at each epoch, files, best values. Writes what is
    missing or wrong and nothing else; run twice, it changes nothing.
    """
    from studies.upkeep.reconcile import reconcile as rebuild

    console = console_of_lines()
    for one in rebuild(name, Workspace.open(workspace)):
        said = str(one.changes) or "nothing to change"
        console.print(f"study {one.name!r}, {one.trials} runs compared: {said}", markup=False, highlight=False)
        if one.unknown:
            numbers = ", ".join(map(str, one.unknown))
            console.print(
                f"left alone: runs of trials that Optuna does not know, numbers {numbers}; delete them in MLflow if "
                "they are of a study that is gone",
                markup=False,
                highlight=False,
            )
