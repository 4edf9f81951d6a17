"""A promoted model written for other programs, and the picture that it is checked on."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dashboards.masks import read_pictures
from studies.promotion.promoted import weights_of
from studies.stored import StudyError
from studies.workspace import Workspace
from trainables.data.formats.decode import decode_image
from trainables.export import Exported, export_model
from trainables.predictor import Predictor


def export(
    model: str,
    kind: Literal["onnx", "pt2"],
    output: Path,
    workspace: Workspace,
    *,
    picture: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model (see weights_of) to `output`, checked on `picture` or on one that its trial kept.

    Raises ValueError for whatever the user can mend, with nothing written.
    """
    if output.exists() and not overwrite:
        raise StudyError(f"{output} is there already: choose another --output or give --overwrite")
    if not output.absolute().parent.is_dir():
        raise StudyError(f"{output.absolute().parent} is no folder: make it, or choose another --output")
    given = None if picture is None else decode_image(picture)
    with weights_of(model, workspace) as best:
        predictor = Predictor.load(best, torch.device("cpu"))
        image_HWC = _kept(best) if given is None else given
    if image_HWC.shape[2] < predictor.channels:
        image_HWC = np.repeat(image_HWC, predictor.channels, axis=2)
    return export_model(predictor, image_HWC, kind, output)


def _kept(best: Path) -> NDArray[np.uint8]:
    pictures = read_pictures(best.with_name("pictures.npz"))
    if not pictures:
        raise StudyError("there is no picture beside the weights to check the export on: give one with --picture FILE")
    return pictures[0].image_HWC
