"""The table of formats: a new one is a module beside this and a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainables.data.formats.camvid import open_camvid
from trainables.data.formats.folder import open_folder
from trainables.data.formats.terrain import open_terrain

if TYPE_CHECKING:
    from trainables.data.formats.protocol import Dataset
    from trainables.data.settings import DataSettings

FORMATS: dict[str, Callable[[DataSettings], Dataset]] = {
    "folder": open_folder,
    "camvid": open_camvid,
    "terrain": open_terrain,
}


def open_dataset(settings: DataSettings) -> Dataset:
    """List the data set of the settings; DataError if it is not there."""
    return FORMATS[settings.format](settings)
