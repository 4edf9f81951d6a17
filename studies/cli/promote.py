"""Commands that decide a study, promote, and that show what was ever opened for it, vault.

Torch and Ray take seconds to import: the commands that need them import them when they are called.
"""

import json
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from studies.cli.confirm import say_end, show_runs
from studies.cli.dashboard import INTERRUPTED
from studies.cli.files import AddressOption
from studies.cli.results import JsonOption
from studies.cli.run import DEFAULT_WORKSPACE, QuietOption, StudyArgument, WorkspaceOption, console_of_lines
from studies.promotion.vault import subjects_of
from studies.stored import load_settings
from studies.workspace import Workspace

vault = typer.Typer(help="What is known of every opening of a test split.", no_args_is_help=True, rich_markup_mode=None)


def promote(
    name: StudyArgument,
    trial: Annotated[
        int | None, typer.Option("--trial", metavar="N", help="this trial as it is, without replicates")
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            metavar="ROW",
            help="a named row of the study instead of a trial; given several times, all in one opening",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="SEED", help="which run of each row; the first seed if absent")
    ] = None,
    again: Annotated[
        str | None, typer.Option("--again", metavar="WHY", help="reason for another opening of this test split")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    address: AddressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Choose the winner by replicates, evaluate it once on the test split and register its model.

    The best trials (promotion.finalists) are trained again with other seeds (promotion.seeds) and compared by their
    means; the same command goes on after an interruption. --trial, --row and promotion.seeds 0 train nothing: one
    value with one seed decides then, and the record says so.

    Rows listed in promotion.rows are evaluated in the winner's opening of the test split. --json prints the record,
    a list of them where several were evaluated.
    """
    place = Workspace.open(workspace)
    console = console_of_lines(stderr=as_json)
    from studies.promotion import promote as promotion

    # A node that is taken back says SIGTERM; outside of training that is an interruption like any other.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if trial is None and not row and seed is None and promotion.has_replicates(name, place):
            settings = load_settings(name, place)
            with show_runs(console, settings, quiet) as progress:
                outcome, records = promotion.promote_winner(name, place, address, progress, again=again)
            if records is None:
                say_end(console, outcome, "the same command again: runs are missing")
                raise typer.Exit(1)
        else:
            records = promotion.promote(name, place, trial=trial, rows=row or (), seed=seed, again=again)
    except KeyboardInterrupt:
        # While runs are trained, Ctrl-C is an outcome; here it came before or after.
        console.print("interrupted; go on with the same command again", markup=False, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        print(json.dumps(records[0] if len(records) == 1 else records, indent=2))
        return
    _show(console, records)


@vault.command()
def verify(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Check the ledger of every test split: that its chain is whole, and has what studies and MLflow remember of it."""
    from studies.promotion.vault_checks import verify as checked

    found = checked(Workspace.open(workspace))
    if as_json:
        shown = [
            {"fingerprint": one.fingerprint, "entries": len(one.entries), "openings": one.openings,
             "remembered": one.mirrored}
            for one in found
        ]  # fmt: skip
        print(json.dumps(shown, indent=2))
        return
    for one in found:
        print(
            f"test split {one.fingerprint[:12]}: {len(one.entries)} entries in an unbroken chain, openings: "
            f"{one.openings}, heads remembered by studies and MLflow: {one.mirrored}, all there"
        )
    if not found:
        print("no test split was opened")


@vault.command()
def log(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """List who opened or looked at which test split, when, for what, and what came of it."""
    from studies.promotion.vault_checks import log as entries

    found = entries(Workspace.open(workspace))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for entry in found:
        print(_line(entry))
    if not found:
        print("no test split was opened")


def _line(entry: Mapping[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry["when_s"]))
    words = {
        "opening": lambda: (
            f"opening {entry['opening']} for {'; '.join(map(_subject, subjects_of(entry)))}"
            + (f', again: "{entry["again"]}"' if entry["again"] else "")
        ),
        "result": lambda: f"result of opening {entry['opening']}{_of(entry)}: mIoU {entry['result']['miou']:.4f}",
        "audit": lambda: f"looked at, not evaluated: {_subject(entry['subject'])}",
    }[entry["kind"]]()
    return f"{when}  {entry['who']}  test split {entry['fingerprint'][:12]}  {words}"


def _of(entry: Mapping[str, Any]) -> str:
    """Whose result it is; a result by an earlier version is of the opening's only subject."""
    return f" for {_subject(entry['subject'])}" if "subject" in entry else ""


def _subject(subject: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in subject.items() if key != "weights"}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _show(console: Console, records: Sequence[Mapping[str, Any]]) -> None:
    from studies.promotion.table import choice_table, opening_table, promotion_lines, promotion_table

    for record in records:
        if "choice" in record:
            console.print(choice_table(record["choice"]))
        console.print(promotion_table(record))
        for line in promotion_lines(record):
            console.print(line, markup=False, highlight=False)
    if len(records) > 1:
        console.print(opening_table(records))
    for record in records:
        registered = f"registered in MLflow: {record['model']} version {record['model_version']}, alias champion"
        console.print(registered, markup=False, highlight=False)
