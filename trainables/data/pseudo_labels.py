"""Pseudo-labels: predictions of a promoted trial for images without masks, in one .npz file without pickled objects."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.data.errors import DataError

VERSION = 1
ORIGIN = ("names", "class_names", "fingerprint", "study", "trial", "digest")
ARRAYS = ("names", "images", "labels", "confidence")


@dataclass(frozen=True)
class Origin:
    """Where pseudo-labels come from: classes, fingerprint of the training split, study and trial that predicted them.

    `images` is their number, `digest` SHA-256 of names, images, labels and confidences.
    """

    images: int
    class_names: tuple[str, ...]
    fingerprint: str
    study: str
    trial: int
    digest: str


@dataclass(frozen=True)
class PseudoLabels:
    """Images uint8 [N, H, W, C], the labels predicted for them uint8 [N, H, W], their probabilities float16."""

    names: tuple[str, ...]
    images_NHWC: np.ndarray
    labels_NHW: np.ndarray
    confidence_NHW: np.ndarray


def write_pseudo_labels(
    path: Path, found: PseudoLabels, class_names: tuple[str, ...], fingerprint: str, study: str, trial: int
) -> None:
    """Write the file in one step; raises DataError if it cannot be written."""
    arrays = {
        "names": np.array(found.names, dtype=np.str_),
        "images": found.images_NHWC,
        "labels": found.labels_NHW,
        "confidence": found.confidence_NHW,
    }
    total = hashlib.sha256(str(VERSION).encode())
    for name, array in arrays.items():
        total.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    texts = {
        "class_names": np.array(class_names, dtype=np.str_),
        "fingerprint": np.array(fingerprint),
        "study": np.array(study),
        "trial": np.array(trial),
        "digest": np.array(total.hexdigest()),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays, **texts)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another place with --output") from error


def read_origin(path: Path) -> Origin:
    """Where a file's pseudo-labels come from, without reading its images; DataError for another file."""
    content = _read(path, ORIGIN)
    return Origin(
        images=len(content["names"]),
        class_names=tuple(str(name) for name in content["class_names"]),
        fingerprint=str(content["fingerprint"]),
        study=str(content["study"]),
        trial=int(content["trial"]),
        digest=str(content["digest"]),
    )


def read_pseudo_labels(path: Path) -> PseudoLabels:
    """The images and their labels; DataError for another file."""
    content = _read(path, ARRAYS)
    return PseudoLabels(
        tuple(str(name) for name in content["names"]), content["images"], content["labels"], content["confidence"]
    )


def _read(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: expected a file that `contourney pseudo-label` wrote") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no file that `contourney pseudo-label` wrote ({error})") from error
