"""Label masks for pictures: found, checked, predicted one after the other, written with a palette."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboards.masks import colour_mask, mask_palette
from studies.promotion.promoted import weights_of
from studies.stored import StudyError
from studies.workspace import Workspace
from trainables.data.errors import DataError, raise_findings
from trainables.data.formats.decode import decode_image, image_shape
from trainables.data.formats.files import SUFFIXES
from trainables.device import choose_device
from trainables.predictor import Predictor
from trainables.tiling import Tiling

OVERLAY = "-overlay"
# How much of an overlay is the mask.
OPACITY = 0.5


@dataclass(frozen=True)
class Options:
    """How pictures are predicted (see Predictor.mask) and what is written of them."""

    tile: int | None = None
    overlap: int | None = None
    flip: bool = False
    overlay: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Predicted:
    """A picture and its mask's file, or why it has none."""

    picture: Path
    mask: Path | None
    problem: str | None = None


def predict(
    model: str, pictures: Sequence[Path], output: Path, workspace: Workspace, options: Options
) -> tuple[tuple[str, ...], Iterator[Predicted]]:
    """The names of a model's classes, and the pictures' masks as they are written to the folder `output`.

    `pictures` are files, or folders of which every picture is taken. A damaged picture is told and passed over.
    Whatever else can be refused is refused here, before anything is written: raises ValueError.
    """
    files = _files(pictures)
    targets = _targets(files, output, options)
    with weights_of(model, workspace) as best:
        predictor = Predictor.load(best, choose_device())
    tiling = predictor.tiling(options.tile, options.overlap)
    for file in files:
        # A damaged header is told with the other damaged pictures.
        with suppress(DataError):
            _check_channels(file, image_shape(file)[2], predictor)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"cannot write {output}: {error.strerror}; choose another folder with --output") from error
    return predictor.class_names, (_write(file, targets[file], predictor, tiling, options) for file in files)


def _files(pictures: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in pictures:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.name[0] != ".")
            if not inside:
                raise StudyError(f"{path} holds no picture: expected {', '.join(SUFFIXES)} files")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise StudyError(f"{path} is missing: expected a picture or a folder of pictures")
    return list(dict.fromkeys(found))


def _targets(files: Sequence[Path], output: Path, options: Options) -> dict[Path, list[Path]]:
    """The mask's file of each picture, then its overlay's; raises for a name that is taken, and by what."""
    suffixes = [".png", f"{OVERLAY}.png"] if options.overlay else [".png"]
    targets = {file: [output / f"{file.stem}{suffix}" for suffix in suffixes] for file in files}
    own = {file.resolve() for file in files}
    writer: dict[Path, Path] = {}
    findings = []
    for file, made in targets.items():
        for target in made:
            if target in writer:
                findings.append(f"{writer[target]} and {file} would both be written to {target.name}: rename one")
            elif target.resolve() in own:
                findings.append(f"{target} is a picture itself: choose another folder")
            elif target.exists() and not options.overwrite:
                findings.append(f"{target} is there already: choose another folder or give --overwrite")
            writer.setdefault(target, file)
    raise_findings(findings, "--output")
    return targets


def _check_channels(file: Path, channels: int, predictor: Predictor) -> None:
    # A grey picture is a colour picture whose channels are equal.
    if channels not in (1, predictor.channels):
        raise StudyError(f"{file} is a colour picture and the model knows grey ones alone: convert it, or leave it out")


def _write(file: Path, targets: list[Path], predictor: Predictor, tiling: Tiling | None, options: Options) -> Predicted:
    try:
        image_HWC = decode_image(file)
        _check_channels(file, image_HWC.shape[2], predictor)
    except (DataError, StudyError) as error:
        # What the decoder said; what to do about it in a data set does not concern a picture that is predicted.
        return Predicted(file, None, " ".join(f"{file}: {error.__cause__ or error}".split()))
    if image_HWC.shape[2] < predictor.channels:
        image_HWC = np.repeat(image_HWC, predictor.channels, axis=2)
    mask_HW = predictor.mask(image_HWC, flip=options.flip, tiling=tiling)
    picture = Image.fromarray(mask_HW)
    picture.putpalette(mask_palette().tobytes())
    _save(picture, targets[0])
    if options.overlay:
        _save(Image.fromarray(_blended(image_HWC, mask_HW)), targets[1])
    return Predicted(file, targets[0])


def _blended(image_HWC: NDArray[np.uint8], mask_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mixed = image_HWC * (1 - OPACITY) + colour_mask(mask_HW) * OPACITY
    return np.asarray(mixed.round(), dtype=np.uint8)


def _save(picture: Image.Image, target: Path) -> None:
    """Write a PNG in one step; raises StudyError."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        try:
            picture.save(temporary, format="PNG")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StudyError(f"cannot write {target}: {error.strerror or error}") from error
