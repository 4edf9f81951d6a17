"""Commands that change a study under way: enqueue, stop, change, delete.

What they need is imported when they are called.
"""

import sys
from typing import Annotated, Any

import typer

from studies.cli.run import DEFAULT_WORKSPACE, StudyArgument, WorkspaceOption, console_of_lines, study_words
from studies.files.yaml_source import read_yaml
from studies.stored import StudyError, open_study, trials_left
from studies.workspace import Workspace

YesOption = Annotated[bool, typer.Option("--yes", help="do not ask")]


def enqueue(
    name: StudyArgument,
    values: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE...", help="searched settings, such as optimizer.lr=3e-4; others are sampled"),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Run a trial with settings of your own next.

    It becomes one of the next trials of the driver that runs the study, else the first of `contourney resume`, and
    counts in the budget. Keys are paths that the study searches, values lie in its space.
    """
    from studies.upkeep.requesting import check_enqueue, request

    place, console = Workspace.open(workspace), console_of_lines()
    wanted = check_enqueue(name, place, _values(values))
    answer = request(name, place, wanted, lambda text: console.print(text, markup=False))
    told = answer.outcome or "the driver has not answered yet; it adds the trial when it does"
    console.print(told, markup=False, highlight=False)
    _refused(answer.outcome)
    if not answer.driver:
        console.print(f"no driver is running; go on with: contourney resume {study_words(name, place)}", markup=False)


def stop(
    name: StudyArgument,
    trial: Annotated[
        int | None, typer.Option("--trial", metavar="N", help="end this trial alone, as pruned; it may still wait")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """End the driver of a study in order, or one trial of it.

    The driver ends as on Ctrl-C: open trials wait and go on with `contourney resume`. A single trial ends for good, as
    PRUNED with the reason `stopped`; its worker takes up the next one when its epoch is over. Works from any machine
    that reaches the storage.
    """
    from studies.upkeep.requesting import check_stop, request

    place, console = Workspace.open(workspace), console_of_lines()
    answer = request(name, place, check_stop(name, place, trial), lambda text: console.print(text, markup=False))
    told = answer.outcome or "the driver has not answered yet; it does so when it next looks"
    console.print(told, markup=False, highlight=False)


def change(
    name: StudyArgument,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="a key of the space, such as space.optimizer.lr.high=0.1 or "
            "space.optimizer.name.choices=[adamw,sgd,adam]; repeatable",
        ),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Widen a range, add a choice or a parameter: the space of a study under way.

    Past trials are kept, with their numbers, and count for the sampler in the new space, which must hold all of them. A
    new parameter has in them the fixed value that they ran with. Refused while a driver runs the study, and for the
    samplers grid, qmc and cmaes, which are bound to the space they began with.
    """
    from studies.upkeep.changing import change_space

    place, console = Workspace.open(workspace), console_of_lines()
    done = change_space(name, place, set_, lambda text: console.print(text, markup=False))
    for line in done.lines:
        console.print(line, markup=False, highlight=False)
    console.print(
        f"the space of study {name!r} is changed; its {done.trials} trials are kept and count in it",
        markup=False,
        highlight=False,
    )
    words = study_words(name, place)
    if trials_left(open_study(name, place)):
        console.print(f"next: contourney resume {words}", markup=False, highlight=False)
    else:
        console.print(f"its budget is spent; next: contourney extend {words} --trials N", markup=False, highlight=False)


def delete(
    name: StudyArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    yes: YesOption = False,
) -> None:
    """Delete a study: trials, files, reports, MLflow's runs, its rows and repetitions.

    Says what goes and asks; --yes answers. Refused while a driver runs it. The ledger of the test split, registered
    models and the cache of images stay. After a crash the same command deletes the rest.
    """
    from studies.upkeep.deleting import delete as delete_study
    from studies.upkeep.deleting import removal

    place, console = Workspace.open(workspace), console_of_lines()
    for line in removal(name, place).lines:
        console.print(line, markup=False, highlight=False)
    if not yes:
        if not sys.stdin.isatty():
            raise StudyError(f"nothing was deleted: to delete study {name!r} for good, say --yes")
        typer.confirm(f"delete study {name!r} for good?", abort=True)
    delete_study(name, place)
    console.print(f"study {name!r} is deleted", markup=False, highlight=False)


def _values(assignments: list[str]) -> dict[str, Any]:
    """Values by path, read as a study file's are."""
    found: dict[str, Any] = {}
    for text in assignments:
        path, equals, written = text.partition("=")
        source = read_yaml(written)
        if not equals or not path.strip() or source.problems:
            raise StudyError(f"{text!r}: expected KEY=VALUE, such as optimizer.lr=3e-4")
        found[path.strip()] = source.value
    return found


def _refused(outcome: str | None) -> None:
    if outcome is not None and outcome.startswith("refused"):
        raise typer.Exit(2)
