"""Commands that use a promoted model: predict, export.

Torch takes seconds to import: the commands import it when they are called.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from studies.cli.run import DEFAULT_WORKSPACE, WorkspaceOption
from studies.workspace import Workspace


class Format(StrEnum):
    """Formats that other programs run."""

    ONNX = "onnx"
    PT2 = "pt2"


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="a promoted study, a registered model (models:/NAME@champion), or a path to a best.pt"
    ),
]


def predict(
    model: ModelArgument,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="pictures of any size, or folders of them")],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="folder for the masks, STEM.png each")],
    overlay: Annotated[
        bool, typer.Option("--overlay", help="write STEM-overlay.png too: the mask half over its picture")
    ] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="average the logits of the picture and its mirror image: twice the time")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            metavar="PIXELS",
            min=1,
            help="predict pictures with a longer side in overlapping tiles, each as a picture of its own; if absent, "
            "1024, or never for a model that resizes its pictures (data.size)",
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option("--overlap", metavar="PIXELS", min=0, help="of two tiles, at least; if absent, a quarter tile"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace masks that are there")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Predict label masks of pictures with a model, as PNG files whose palette shows the classes.

    Pixels are class ids. A damaged picture is told on one line and passed over; the exit code is 1 then.
    """
    from studies.predicting import Options
    from studies.predicting import predict as predicted

    options = Options(tile=tile, overlap=overlap, flip=flip, overlay=overlay, overwrite=overwrite)
    class_names, found = predicted(model, images, output, Workspace.open(workspace), options)
    console, complaints = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    written = failed = 0
    for one in found:
        if one.problem is None:
            written += 1
        else:
            failed += 1
            complaints.print(f"passed over: {one.problem}", markup=False, highlight=False)
    legend = ", ".join(f"{index} {name}" for index, name in enumerate(class_names))
    passed = f"; passed over: {failed}" if failed else ""
    console.print(f"wrote {output}: {written} mask{'' if written == 1 else 's'}{passed}", markup=False, highlight=False)
    console.print(f"classes: {legend}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(1)


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="the file to write")],
    format_: Annotated[
        Format,
        typer.Option("--format", help="onnx (ONNX Runtime and others; needs contourney[onnx]) or pt2 (torch.export)"),
    ],
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="FILE", help="picture to check it on; if absent, one that the trial kept of validation"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a file that is there")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write a model for other programs, after its results were compared with the model's own.

    It takes images uint8 [N, H, W, C], normalises them itself and gives logits fp32 [N, classes, H, W]. It is refused
    if a pixel of a real picture gets another class.
    """
    from studies.exporting import export as exported

    found = exported(model, format_.value, output, Workspace.open(workspace), picture=picture, overwrite=overwrite)
    shape = ", ".join(["N", *map(str, found.size), str(found.channels)])
    console = Console(soft_wrap=True)
    console.print(f"wrote {output}: images uint8 [{shape}] to logits fp32", markup=False, highlight=False)
    console.print(
        f"checked on {found.pixels} pixels: every class is the same, largest difference of logits "
        f"{found.difference:.2g}",
        markup=False,
        highlight=False,
    )
    for note in found.notes:
        console.print(note, markup=False, highlight=False)
