"""The table of formats: a new one is a module beside this and a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainables.custom import PartError, is_own, load_part
from trainables.data.formats.camvid import open_camvid
from trainables.data.formats.folder import open_folder
from trainables.data.formats.npz import open_npz
from trainables.data.formats.nyuv2 import open_nyuv2
from trainables.data.formats.sunrgbd import open_sunrgbd
from trainables.data.formats.terrain import open_terrain
from trainables.data.formats.voc2012 import open_voc2012

if TYPE_CHECKING:
    from trainables.data.formats.protocol import Dataset
    from trainables.data.settings import DataSettings

FORMATS: dict[str, Callable[[DataSettings], Dataset]] = {
    "folder": open_folder,
    "camvid": open_camvid,
    "voc2012": open_voc2012,
    "sunrgbd": open_sunrgbd,
    "nyuv2": open_nyuv2,
    "npz": open_npz,
    "terrain": open_terrain,
}

PROTOCOL = (
    "samples",
    "class_names",
    "ignored",
    "default_split",
    "lists",
    "unpublished",
    "missing",
    "stamp",
    "content",
    "shapes",
    "image",
    "mask",
)


def open_dataset(settings: DataSettings) -> Dataset:
    """List the data set of the settings; DataError if it is not there, PartError for a class that is no format."""
    if not is_own(settings.format):
        return FORMATS[settings.format](settings)
    dataset: Dataset = load_part(settings.format, "data.format", ("settings",))(settings)
    if missing := [name for name in PROTOCOL if not hasattr(dataset, name)]:
        raise PartError(
            f"data.format: {settings.format} gives {type(dataset).__name__}, which lacks {', '.join(missing)}; see "
            "trainables.data.formats.protocol.Dataset"
        )
    return dataset
