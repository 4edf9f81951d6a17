"""The command line: `contourney`, or `python -m studies.cli`."""

import os
import sys
import warnings

import optuna
import typer
from rich.console import Console

from studies.cli import (
    archive,
    change,
    confirm,
    dashboard,
    data,
    files,
    keep,
    promote,
    records,
    results,
    run,
    use,
)

app = typer.Typer(
    name="contourney",
    help="Hyperparameter-search studies for semantic segmentation: launch, prune, record, report, promote.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(run.launch)
app.command()(run.resume)
app.command()(run.extend)
app.command()(change.enqueue)
app.command()(change.stop)
app.command()(change.change)
app.command()(results.status)
app.command("list")(results.list_)
app.command()(results.report)
app.command()(dashboard.dashboard)
app.command()(promote.promote)
app.add_typer(promote.vault, name="vault")
app.command()(use.predict)
app.command()(use.export)
app.command()(records.reconcile)
app.command()(change.delete)
app.command()(archive.archive)
app.command()(archive.restore)
app.command()(keep.clean)
app.command()(keep.doctor)
app.command()(confirm.rows)
app.command()(confirm.table)
app.command()(confirm.fidelity)
app.command()(files.validate)
app.command()(files.recipes)
app.command()(files.show)
app.command()(files.schema)
app.command()(data.audit)
app.command()(data.init)
app.command()(data.augment)
app.command("pseudo-label")(data.pseudo_label)


def main() -> None:
    """Run a command; exit 0 done, 1 failed while running, 2 refused input, 130 interrupted."""
    _quiet_libraries()
    # Parts of the user's own in the current folder (see trainables.custom); last, so that they hide nothing installed.
    sys.path.append(os.getcwd())
    # Optuna would print a line for each trial and study.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    traceback = bool(os.environ.get("CONTOURNEY_TRACEBACK"))
    try:
        app()
    except ValueError as error:
        # What the user can mend; a programming error shows itself with its traceback instead.
        if traceback or not _is_ours(error):
            raise
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except RuntimeError as error:
        # What is there is at fault: Ray, a storage, a place, a probe that did not fit.
        if traceback or not _is_ours(error):
            raise
        Console(stderr=True).print(f"failed: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


def _is_ours(error: Exception) -> bool:
    """Whether the error is one that this project words for its users, rather than a stray one of a library."""
    return type(error).__module__.split(".")[0] in ("studies", "search", "trainables", "dashboards")


def _quiet_libraries() -> None:
    # Set before the libraries are imported by the commands: no telemetry, no update check, no chatter.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # A server that is away is told within seconds; the recorder tries again by itself.
    # A request that MLflow's client repeats by itself after a lost answer would create a second run.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow prints a link to each run that ends, with user and password where the tracking URI has them.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    if not os.environ.get("CONTOURNEY_TRACEBACK"):
        warnings.filterwarnings("ignore")
