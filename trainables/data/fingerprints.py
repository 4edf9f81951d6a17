"""Fingerprints of one split: exact over its bytes, and a quick stamp that tells whether the bytes may have changed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainables.data.formats.protocol import Dataset
from trainables.data.splits import Sample


def digest(value: Any) -> str:
    """SHA-256 in hexadecimal of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def split_fingerprint(dataset: Dataset, samples: Sequence[Sample], parameters: Mapping[str, Any]) -> str:
    """SHA-256 over names, bytes of images and masks, and the split's parameters; opens these samples' files alone."""
    total = hashlib.sha256(digest(dict(parameters)).encode())
    for sample in samples:
        parts = [hashlib.sha256(content).hexdigest() for content in dataset.content(sample)]
        total.update(digest([sample.name, *parts]).encode())
    return total.hexdigest()


def split_stamp(dataset: Dataset, samples: Sequence[Sample], parameters: Mapping[str, Any]) -> str:
    """SHA-256 over names, file sizes and times, and the split's parameters; opens no file."""
    return digest([dict(parameters), [[sample.name, *dataset.stamp(sample)] for sample in samples]])
