"""What is counted of a data set: sizes, labels, classes, unlabelled pixels, brightness."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from studies.audit.reading import Listed, Seen
from trainables.data.cleaning import outlying
from trainables.data.splits import Split

BINS = 10
OUTLYING = 3.0  # standard deviations of mean brightness that are worth a look


def class_names(listed: Listed, seen: Iterable[Seen]) -> tuple[str, ...]:
    """The data set's names; without any, numbered ones up to the largest label that was read."""
    if not listed.unnamed:
        return listed.dataset.class_names
    largest = max((label for one in seen for label in classes_of(one, listed)), default=-1)
    return listed.dataset.class_names[: largest + 1]


def classes_of(one: Seen, listed: Listed) -> set[int]:
    """Labels of the mask that are not ignored."""
    return set(one.pixels) - listed.dataset.ignored


def label_name(label: int, names: Sequence[str]) -> str:
    """The class of a label, or that it has none."""
    return names[label] if 0 <= label < len(names) else f"label {label}, no class"


def sizes(seen: Iterable[Seen]) -> list[dict[str, int]]:
    """Sizes of images in pixels, the commonest first."""
    counts = Counter(one.shape for one in seen if one.shape is not None)
    return [
        {"height": height, "width": width, "channels": channels, "images": count}
        for (height, width, channels), count in counts.most_common()
    ]


def label_rows(listed: Listed, seen: Iterable[Seen], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every label value of the masks with its class, the images that have it and its pixels."""
    pixels, images = Counter[int](), Counter[int]()
    for one in seen:
        pixels.update(one.pixels)
        images.update(one.pixels.keys())
    return [
        {
            "label": label,
            "class": "ignored" if label in listed.dataset.ignored else label_name(label, names),
            "known": label in listed.dataset.ignored or 0 <= label < len(names),
            "images": images[label],
            "pixels": pixels[label],
        }
        for label in sorted(pixels)
    ]


def class_rows(seen: Sequence[Seen], names: Sequence[str]) -> list[dict[str, Any]]:
    """Pixels, share of the labelled pixels and images of each class, in training and in validation."""
    rows: list[dict[str, Any]] = [{"id": index, "class": name} for index, name in enumerate(names)]
    for split in (Split.TRAIN, Split.VALIDATION):
        pixels_NK = np.array(
            [[one.pixels.get(k, 0) for k in range(len(names))] for one in seen if one.split is split], dtype=np.int64
        ).reshape(-1, len(names))
        total = int(pixels_NK.sum())
        for k, row in enumerate(rows):
            row[f"{split} pixels"] = int(pixels_NK[:, k].sum())
            row[f"{split} share"] = float(pixels_NK[:, k].sum() / total) if total else None
            row[f"{split} images"] = int((pixels_NK[:, k] > 0).sum())
    return rows


def unlabelled(listed: Listed, seen: Iterable[Seen]) -> dict[str, Any]:
    """Share of ignored pixels: its mean over images, and how many images have 0 to 10 %, 10 to 20 %, ... of them."""
    shares = [
        sum(count for label, count in one.pixels.items() if label in listed.dataset.ignored) / sum(one.pixels.values())
        for one in seen
        if one.pixels
    ]
    counts, _ = np.histogram(shares, bins=BINS, range=(0, 1))
    return {"mean": float(np.mean(shares)) if shares else None, "histogram": counts.tolist(), "images": len(shares)}


def outlying_rows(seen: Iterable[Seen]) -> list[dict[str, Any]]:
    """Images whose mean pixel value is more than three standard deviations off, as `clean.outliers` measures it."""
    known = [one for one in seen if one.shape is not None and not one.is_test]
    means = np.array([one.mean for one in known])
    if not len(known) or means.std() == 0:
        return []
    return [
        {
            "name": known[index].name,
            "mean": round(float(means[index]), 2),
            "deviations": round(float((means[index] - means.mean()) / means.std()), 2),
        }
        for index in np.flatnonzero(outlying(means, OUTLYING))
    ]
