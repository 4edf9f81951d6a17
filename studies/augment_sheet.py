"""A sheet of training images as an augmentation set shows them, with their masks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dashboards.masks import colour_mask
from dashboards.palette import INK, MUTED, SURFACE, class_colour
from studies.files.problems import did_you_mean
from studies.stored import StudyError
from trainables.custom import is_own
from trainables.data.augment import augment, build_pipeline
from trainables.data.augment_sets import AUGMENT_SETS, CUSTOM
from trainables.data.augment_settings import AugmentSettings
from trainables.data.split_data import SplitData
from trainables.data.splits import IGNORE

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
IMAGES, VERSIONS = 4, 5
TILE_WIDTH, GAP, MARGIN, LINE = 260, 8, 24, 24
SWATCH = (15, 15)
OVERLAY = 0.45


def check_output(path: Path) -> None:
    """Raise StudyError unless a picture can be written there."""
    if path.suffix.lower() not in SUFFIXES:
        raise StudyError(f"--output {path}: expected a name that ends in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise StudyError(f"--output {path}: no folder {path.parent}")


def with_set(settings: AugmentSettings, name: str) -> AugmentSettings:
    """The settings with another named set; raises StudyError for a name that is none, as `custom` without pipeline."""
    accepted = [*AUGMENT_SETS, *([CUSTOM] if settings.pipeline is not None else [])]
    if name not in accepted and not is_own(name):
        raise StudyError(
            f"--set {name}: no such set{did_you_mean(name, accepted) or ';'} accepted: {', '.join(accepted)}"
        )
    return settings.model_copy(update={"set": name})


def write_sheet(data: SplitData, settings: AugmentSettings, seed: int, path: Path) -> None:
    """Write the sheet: a row per image, first as it is, then augmented as in the first epochs of a trial.

    Masks lie over the images in class colours; ignored pixels are hatched. Raises DataError for a custom pipeline that
    cannot be used.
    """
    height, width, channels = data.images_NHWC.shape[1:]
    pipeline = build_pipeline(settings, (height, width), channels)
    chosen = np.linspace(0, len(data.names) - 1, min(IMAGES, len(data.names))).round().astype(int)
    rows, present = [], set[int]()
    for index in chosen.tolist():
        image, mask = np.array(data.images_NHWC[index]), np.array(data.masks_NHW[index])
        pairs = [(image, mask)]
        pairs += [augment(pipeline, image, mask, (seed, epoch, index)) for epoch in range(1, VERSIONS + 1)]
        present.update(*(np.unique(shown).tolist() for _, shown in pairs))
        rows.append((data.names[index], [_tile(*pair) for pair in pairs]))
    _draw(rows, headings(pipeline, settings), _legend(present, data.class_names)).save(path)


def headings(pipeline: Iterable[object], settings: AugmentSettings) -> list[str]:
    """The set with its strength and repeats, and every transform with its probability."""
    told = [f"augment.set {settings.set}", f"strength {settings.strength:g}"]
    if settings.copies > 1:
        told.append(f"{settings.copies} copies of each image")
    if settings.oversample.classes and settings.oversample.times > 1:
        told.append(f"{settings.oversample.times} times as many with {' or '.join(settings.oversample.classes)}")
    transforms = [f"{_name(one)} {getattr(one, 'p', 0):.3g}" for one in pipeline]
    return [", ".join(told), "probabilities: " + (", ".join(transforms) or "no transform")]


def _name(transform: object) -> str:
    """The transform's class, and those of a container's transforms in brackets."""
    inner = " | ".join(_name(child) for child in getattr(transform, "transforms", ()))
    return f"{type(transform).__name__}[{inner}]" if inner else type(transform).__name__


def _tile(image_HWC: NDArray[np.uint8], mask_HW: NDArray[np.uint8]) -> Image.Image:
    """The image above, the same under its mask below."""
    colour = np.repeat(image_HWC, 3, axis=2) if image_HWC.shape[2] == 1 else image_HWC
    mixed = (colour * (1 - OVERLAY) + colour_mask(mask_HW) * OVERLAY).round().astype(np.uint8)
    size = (TILE_WIDTH, round(TILE_WIDTH * colour.shape[0] / colour.shape[1]))
    plain, overlaid = (
        np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in (colour, mixed)
    )
    ignored = np.asarray(Image.fromarray(mask_HW).resize(size, Image.Resampling.NEAREST)) == IGNORE
    return Image.fromarray(np.concatenate([plain, np.where(ignored[..., None], _hatched(size), overlaid)]))


def _hatched(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Grey with light diagonal lines, uint8 [H, W, 3] for a `size` of width and height."""
    y, x = np.indices(size[::-1])
    return np.where((x + y) % 8 < 2, 215, 105).astype(np.uint8)[..., None].repeat(3, axis=2)


def _legend(present: set[int], class_names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names and colours; ignored pixels have none, being hatched."""
    entries: list[tuple[str, str | None]] = [
        (class_names[label], class_colour(label)) for label in sorted(present - {IGNORE})
    ]
    return entries + ([("ignored", None)] if IGNORE in present else [])


def _draw(
    rows: Sequence[tuple[str, list[Image.Image]]], headings: Sequence[str], legend: Sequence[tuple[str, str | None]]
) -> Image.Image:
    font, bold = ImageFont.load_default(15), ImageFont.load_default(19)
    tiles = rows[0][1]
    row_height = tiles[0].height + LINE + GAP
    width = 2 * MARGIN + len(tiles) * (TILE_WIDTH + GAP) - GAP
    lines = _broken(headings[1], font, width - 2 * MARGIN)
    swatches = _rows_of_legend(legend, font, width - 2 * MARGIN)
    top = MARGIN + 2 * LINE + len(lines) * LINE
    sheet = Image.new("RGB", (width, top + len(rows) * row_height + len(swatches) * LINE + MARGIN), SURFACE)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), headings[0], INK, bold)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + LINE * (number + 1) + 4), line, MUTED, font)
    for number, (name, pictures) in enumerate(rows):
        y = top + number * row_height
        for column, picture in enumerate(pictures):
            x = MARGIN + column * (TILE_WIDTH + GAP)
            draw.text((x, y), f"{name}: as it is" if column == 0 else f"epoch {column}", MUTED, font)
            sheet.paste(picture, (x, y + LINE))
    for number, row in enumerate(swatches):
        y = top + len(rows) * row_height + number * LINE
        for x, label, colour in row:
            box = (MARGIN + x, y + 4)
            sheet.paste(Image.fromarray(_hatched(SWATCH)) if colour is None else Image.new("RGB", SWATCH, colour), box)
            draw.text((MARGIN + x + 20, y), label, INK, font)
    return sheet


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The text in lines no wider than `width` pixels, broken after commas."""
    lines = [""]
    for part in text.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        if font.getlength(joined) > width and lines[-1]:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = joined
    return lines


def _rows_of_legend(
    legend: Sequence[tuple[str, str | None]], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[list[tuple[int, str, str | None]]]:
    """Entries with their place from the left, in rows no wider than `width` pixels."""
    rows: list[list[tuple[int, str, str | None]]] = [[]]
    x = 0
    for label, colour in legend:
        length = round(font.getlength(label)) + 44
        if x + length > width and rows[-1]:
            rows.append([])
            x = 0
        rows[-1].append((x, label, colour))
        x += length
    return rows
