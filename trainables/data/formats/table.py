"""The table of formats: a new one is a module beside this and a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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


def open_dataset(settings: DataSettings) -> Dataset:
    """List the data set of the settings; DataError if it is not there."""
    return FORMATS[settings.format](settings)
