"""Commands that use a promoted model: predict.

Torch takes seconds to import: the commands import it when they are called.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from studies.cli.run import DEFAULT_WORKSPACE, WorkspaceOption
from studies.workspace import Workspace

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
    console.print(f"wrote {output}: masks of {written} pictures{passed}", markup=False, highlight=False)
    console.print(f"classes: {legend}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(1)
