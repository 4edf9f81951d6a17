"""Images and masks with any content: read, or one error that names the file."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainables.data.errors import DataError
from trainables.data.formats.decode import decode_image, decode_mask, image_shape, mask_shape

FUZZ = settings(derandomize=True, max_examples=200, deadline=None, database=None)
MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK", "YCbCr", "HSV", "LAB", "PA")
FORMATS = {"png": ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I"), "tiff": MODES, "jpeg": ("L", "RGB", "CMYK")}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures") / "00.png"


def picture(kind: str, mode: str) -> bytes:
    """A file of a 7 x 5 picture, or of none where the format does not hold the mode."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.fromarray(np.arange(35, dtype=np.uint8).reshape(7, 5) * 7).convert(mode).save(file, kind)
        except (OSError, ValueError):
            Image.new(mode, (5, 7)).save(file, "tiff") if mode in ("I;16", "F") else None
    return file.getvalue()


PICTURES = [content for kind, modes in FORMATS.items() for mode in modes if (content := picture(kind, mode))]


def read(path: Path, content: bytes) -> None:
    """Read a file every way; what comes back is a picture, what is raised names the file in one error."""
    path.write_bytes(content)
    for reader in (decode_image, decode_mask, image_shape, mask_shape):
        try:
            found = reader(path)
        except DataError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error).strip()
            continue
        if reader is decode_image:
            assert isinstance(found, np.ndarray)
            assert found.dtype == np.uint8
            assert found.ndim == 3
        if reader is decode_mask:
            assert isinstance(found, np.ndarray)
            assert found.dtype == np.int32
            assert found.ndim == 2


@FUZZ
@given(content=st.binary(max_size=200))
def test_random_bytes(path: Path, content: bytes) -> None:
    read(path, content)


@FUZZ
@given(data=st.data())
def test_pictures_of_every_mode_cut_short_or_with_changed_bytes(path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(PICTURES)))
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(path, bytes(content))


def test_every_mode_is_tried() -> None:
    assert len(PICTURES) > 15
