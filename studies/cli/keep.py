"""Commands that look after a workspace: clean, doctor."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from studies.cli.files import AddressOption
from studies.cli.results import JsonOption
from studies.cli.run import DEFAULT_WORKSPACE, WorkspaceOption, console_of_lines
from studies.stored import StudyError
from studies.workspace import Workspace

NEVER = "never touched: rows, settings, pictures, the records, the test ledger, promoted weights, trials that wait"
STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def clean(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="a study; or give --all")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    everything: Annotated[
        bool, typer.Option("--all", help="every study of the workspace, its cache, and folders of no study")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="free it; without, nothing is changed")] = False,
    orphans: Annotated[
        bool,
        typer.Option("--orphans", help="with --all --yes, also delete folders that belong to no study of this storage"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what can be freed, in bytes of each kind; with --yes, free it.

    A study frees by itself what its trials need no more once they have ended; this is for what earlier versions, a
    smaller retention.weights or a deleted study left. Rows (epochs.jsonl), settings in force, pictures, Optuna's and
    MLflow's records, the ledger of the test split, weights of promoted trials and of rows are never touched.
    """
    from studies.upkeep.clean import clean as find
    from trainables.data.cache import readable

    if (name is None) != everything:
        raise StudyError("expected the name of a study, or --all for the whole workspace")
    if orphans and not (everything and yes):
        raise StudyError("--orphans deletes folders of no study: it goes with --all --yes")
    place = Workspace.open(workspace)
    found = find(place, name, yes=yes, orphans=orphans)
    if as_json:
        print(json.dumps({"freed": [asdict(one) for one in found.freed], "busy": list(found.busy)}, indent=2))
        return
    console = console_of_lines()
    for one in found.freed:
        done = "freed" if one.done else "left, --orphans deletes them" if yes else "can be freed"
        files = f"{one.files} files, {one.bytes:,} bytes ({readable(one.bytes)})"
        console.print(f"{one.kind}: {one.where}: {files}, {done}", markup=False, highlight=False)
    for line in found.busy:
        console.print(f"left alone: {line}", markup=False, highlight=False)
    freed = sum(one.bytes for one in found.freed if one.done)
    told = f"freed {freed:,} bytes" if yes else f"{found.bytes:,} bytes can be freed: the same again with --yes"
    console.print(f"{told}; {NEVER}", markup=False, highlight=False)


def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything a study needs here, and say what to do about what is wrong.

    Versions, devices, Ray, storage, tracking, disk and clocks, with OPTUNA_STORAGE, MLFLOW_TRACKING_URI and RAY_ADDRESS
    as a study would use them. Changes nothing. Exit code 1 if there is a problem.
    """
    from studies.doctor.run import examine

    findings = examine(Workspace.open(workspace), address)
    levels = [one.level.value for one in findings]
    if as_json:
        print(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        table = Table("check", "", "found", "what to do", box=None, pad_edge=False)
        for one in findings:
            table.add_row(one.check, Text(one.level, style=STYLES[one.level]), Text(one.found), Text(one.advice))
        Console().print(table)
        problems, warnings = levels.count("problem"), levels.count("warning")
        told = "ready" if not problems else "not ready"
        console_of_lines().print(f"{told}: {problems} problems, {warnings} warnings", markup=False, highlight=False)
    raise typer.Exit(1 if "problem" in levels else 0)
