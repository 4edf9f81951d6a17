"""Commands about data sets: audit, init, pseudo-label.

What reads images or trains is imported when a command needs it.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from studies.workspace import Workspace

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="folder or file of the data set, or `terrain` for the generated one")
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", metavar="F", help="layout of the data set; guessed from what is there if absent"),
]
DataSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="override any key of the data, such as data.split=official; repeatable"
    ),
]


def audit(
    data: DataArgument,
    format_: FormatOption = None,
    set_: DataSetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="PAGE.html", help="write a page with pictures too")
    ] = None,
    include_test: Annotated[
        bool, typer.Option("--include-test", help="read the test images too; logged, and no classes are counted")
    ] = False,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", metavar="DIR", help="whose ledger notes that test was read")
    ] = None,
) -> None:
    """Say what a data set holds and what is wrong with it."""
    from studies.audit.run import run_audit
    from studies.audit.tables import print_audit
    from studies.audit.target import data_settings

    settings, guessed = data_settings(data, format_, set_ or ())
    place = None if workspace is None else Workspace.open(workspace)
    found = run_audit(settings, guessed, include_test=include_test, workspace=place)
    if output is not None:
        from studies.audit.page import write_page

        write_page(found, output)
    if as_json:
        print(json.dumps(found.audit.as_json() | {"test_log": found.log}, indent=2))
        return
    print_audit(Console(), found.audit)
    if found.log:
        Console(stderr=True, soft_wrap=True).print(found.log, highlight=False, markup=False)
    if output is not None:
        print(output)
