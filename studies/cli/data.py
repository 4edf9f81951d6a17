"""Commands about data sets: audit, init, augment, pseudo-label.

What reads images or trains is imported when a command needs it.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from studies.cli.files import DataOption, FileArgument, study_options
from studies.cli.run import DEFAULT_WORKSPACE, StudyArgument, WorkspaceOption
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

MODEL_LEFT_OUT = (
    "trial.model.weights=null",
    "trial.model.unfreeze=all",
    "space.model.unfreeze=null",
    "rows={}",
    "base=null",
)


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


def init(
    data: DataArgument,
    format_: FormatOption = None,
    set_: DataSetOption = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="the study file to write")] = Path(
        "study.yaml"
    ),
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="W", help="pretrained weights of the encoder: a file, or `download`"),
    ] = None,
    encoder: Annotated[
        str, typer.Option("--encoder", metavar="NAME", help="timm name of the encoder that --weights are of")
    ] = "mobilenetv2_100",
) -> None:
    """Audit a data set and write a first study file for it."""
    from studies.audit.init_file import write_init
    from studies.audit.tables import headline
    from studies.audit.target import data_settings

    settings, guessed = data_settings(data, format_, set_ or ())
    found = write_init(settings, guessed, output, weights=weights, encoder=encoder)
    console = Console(soft_wrap=True)
    console.print(headline(found), highlight=False, markup=False)
    if found.drop:
        console.print(f"{len(found.drop)} images are left out; `contourney audit` says why", highlight=False)
    console.print(f"wrote {output}; next: contourney launch {output}", highlight=False, markup=False)


def augment(
    file: FileArgument,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="the picture to write (.png, .jpg, .webp)")],
    set_: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help="augmentation set; the file's own if absent")
    ] = None,
    data: DataOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Draw training images as an augmentation set shows them, with their masks."""
    from studies.augment_sheet import check_output, with_set, write_sheet
    from studies.files.study_file import load_study
    from trainables.data.dataset import prepare
    from trainables.data.splits import Split

    check_output(output)
    # A sheet needs no model: weights that are not there yet are no obstacle.
    trial = load_study(file, MODEL_LEFT_OUT, study_options(data=data)).trial
    settings = trial.augment if set_ is None else with_set(trial.augment, set_)
    place = Workspace.open(workspace)
    place.check_writable()
    write_sheet(prepare(trial.data, Split.TRAIN, place.cache), settings, trial.seed, output)
    print(output)


def pseudo_label(
    name: StudyArgument,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="the .npz file to write")],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", metavar="DIR", help="folder of images without masks; else the study's unlabelled array"
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="ROOT", help="where the study's data lie now")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Predict unlabelled images with a study's promoted trial, to be added to training."""
    from studies.pseudo_label import pseudo_label as label

    count = label(name, Workspace.open(workspace), output, data=data, images=images)
    console = Console(soft_wrap=True)
    console.print(f"wrote {output}: {count} images with labels and confidences", highlight=False, markup=False)
    console.print(f"use it: --set trial.data.clean.pseudo_labels.file={output}", highlight=False, markup=False)
