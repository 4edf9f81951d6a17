"""Commands about study files: validate, recipes, show, schema."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.storage import StorageError
from studies.files.recipe_files import recipe_names, recipe_summary, recipe_text
from studies.files.rows_settings import shown_sets
from studies.files.space_checks import study_space
from studies.files.study_file import load_study
from studies.files.study_schema import study_schema
from studies.files.study_settings import StudySettings
from studies.workspace import Workspace
from trainables.custom import is_own

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="a study file, or the name of a shipped recipe")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="override any key, such as trial.optimizer.lr=1e-4; repeatable"),
]
DataOption = Annotated[str | None, typer.Option("--data", metavar="ROOT", help="folder of the data set")]
TrialsOption = Annotated[int | None, typer.Option("--trials", metavar="N", help="total number of trials")]
HoursOption = Annotated[float | None, typer.Option("--hours", metavar="H", help="hours after which the search ends")]
WorkersOption = Annotated[int | None, typer.Option("--workers", metavar="N", help="trials that run at once")]
StorageOption = Annotated[
    str | None,
    typer.Option("--storage", metavar="URI", help="where trials' files are kept: a shared path, file://, s3://, gs://"),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDR",
        envvar="RAY_ADDRESS",
        help="Ray cluster to run on, such as 10.0.0.5:6379 or auto; a Ray of this machine's own if absent",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="name of the study")]


def study_options(
    data: str | None = None,
    trials: int | None = None,
    hours: float | None = None,
    workers: int | None = None,
    name: str | None = None,
    storage: str | None = None,
) -> dict[str, tuple[str, Any]]:
    """The options that stand for a key of the study file, for `load_study`; those not given are left out."""
    options = {
        "--data": ("trial.data.root", data),
        "--trials": ("search.trials", trials),
        "--hours": ("search.hours", hours),
        "--workers": ("resources.workers", workers),
        "--name": ("name", name),
        "--storage": ("resources.storage", storage),
    }
    return {option: (path, value) for option, (path, value) in options.items() if value is not None}


def validate(
    file: FileArgument,
    set_: SetOption = None,
    data: DataOption = None,
    trials: TrialsOption = None,
    hours: HoursOption = None,
    workers: WorkersOption = None,
    name: NameOption = None,
    workspace: Annotated[
        Path, typer.Option("--workspace", metavar="DIR", help="where the study of search.warm_start is looked up")
    ] = Path("workspace"),
) -> None:
    """Check a study file and show what it would search."""
    study = load_study(file, set_ or (), study_options(data, trials, hours, workers, name))
    begins = _first_trials(study, workspace)
    console = Console()
    console.print("valid:", study.name, style="bold", markup=False, highlight=False)
    console.print(_summary(study), highlight=False, markup=False)
    if study.space:
        console.print(_space_table(study))
    if study.rows:
        console.print(_rows_table(study))
    for line in begins:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    dead = sorted(set(study.space) - set(study_space(study).distributions))
    if dead:
        console.print("never searched with these settings:", ", ".join(dead), highlight=False, markup=False)
    if study.trial.data.root is None and study.trial.data.format != "terrain" and not is_own(study.trial.data.format):
        console.print("no data set yet: launch with --data ROOT", highlight=False)


def recipes() -> None:
    """List the shipped recipes."""
    table = Table("recipe", "what it does", box=None, pad_edge=False)
    for name in recipe_names():
        table.add_row(name, recipe_summary(name))
    console = Console()
    console.print(table)
    console.print("contourney show RECIPE prints one, contourney launch RECIPE runs it", highlight=False)


def show(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="name of a shipped recipe")],
) -> None:
    """Print a recipe, ready to be saved and changed."""
    # Bytes of the file as they are: a console would wrap lines and colour numbers.
    print(recipe_text(recipe), end="")


def schema() -> None:
    """Print the JSON Schema of study files."""
    print(json.dumps(study_schema(), indent=2))


def _first_trials(study: StudySettings, workspace: Path) -> list[str]:
    """What the study begins with; raises StudyError where another study was to give trials and gives none."""
    from studies.running.warm_start import first_trials

    own = len(study.search.enqueue)
    lines = [f"search.enqueue: first trials of your own: {own}"] if own else []
    if study.search.warm_start is None:
        return lines
    try:
        return [*lines, *first_trials(study, Workspace.open(workspace)).lines]
    except StorageError as error:
        return [*lines, f"search.warm_start: not checked, since its study cannot be reached: {error}"]


def _summary(study: StudySettings) -> str:
    trial, search = study.trial, study.search
    budget = [f"{search.trials} trials"] if search.trials is not None else []
    budget += [f"{search.hours:g} hours"] if search.hours is not None else []
    budget = budget if study.space else [f"{len(study.rows)} rows"]
    return (
        f"{' or '.join(budget)} of up to {trial.epochs} epochs, {trial.model.name} on {trial.data.format}; "
        f"sampler {search.sampler.name}, pruner {search.pruner.name}"
    )


def _space_table(study: StudySettings) -> Table:
    table = Table("searched", "values", "only when", box=None, pad_edge=False)
    for parameter in study_space(study):
        conditions = [f"{path} is {' or '.join(map(str, values))}" for path, values in parameter.conditions.items()]
        table.add_row(parameter.path, _values(parameter.distribution), " and ".join(conditions))
    return table


def _rows_table(study: StudySettings) -> Table:
    table = Table("row", "sets", "published", box=None, pad_edge=False)
    for name, row in study.rows.items():
        figures = ", ".join(f"{figure} {value:g}" for figure, value in row.published.given().items())
        table.add_row(Text(name), Text(shown_sets(row.set)), figures)
    return table


def _values(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(json.dumps(value) if not isinstance(value, str) else value for value in distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)  # the only kinds of a space
    steps = f" in steps of {distribution.step:g}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low:g} to {distribution.high:g}{steps}{', logarithmic' if distribution.log else ''}"
