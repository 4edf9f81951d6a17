"""Images and masks that are alike: within the data set, across its splits, and frames that are neighbours."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from studies.audit.reading import Listed, Seen
from trainables.data.similarity import (
    MaskThumbnails,
    Thumbnails,
    contaminated,
    near_across,
    near_groups,
    same_groups,
)
from trainables.data.splits import Sample, Split


def image_groups(seen: Sequence[Seen]) -> tuple[list[list[str]], list[list[str]]]:
    """Names of identical images in groups, and groups of near-identical ones that are more than those."""
    whole = readable(seen)
    identical = _named(same_groups([one.image or "" for one in whole]), whole)
    near = _named(near_groups(_thumbnails(whole), len(whole)), whole) if whole else []
    return identical, _beyond(near, identical)


def mask_groups(seen: Sequence[Seen]) -> tuple[list[list[str]], list[list[str]]]:
    """The same of masks of two classes or more."""
    masked = [one for one in seen if one.labels is not None]
    identical = _named(same_groups([one.mask or "" for one in masked]), masked)
    stacked = np.array([one.labels for one in masked])
    near = _named(near_groups(MaskThumbnails(stacked), len(masked)), masked) if masked else []
    return identical, _beyond(near, identical)


def contaminated_names(seen: Sequence[Seen]) -> list[str]:
    """Images that carry the same mask as an image unlike them."""
    whole = readable(seen)
    return (
        [whole[index].name for index in contaminated([one.mask for one in whole], _thumbnails(whole))] if whole else []
    )


def across_splits(seen: Sequence[Seen]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row for each image with a near one in an earlier split, which is named; by split, the nearest first.

    Also all names that are near to an image of a later split, with that split.
    """
    rows: list[dict[str, Any]] = []
    touched: dict[str, str] = {}
    for one, other in combinations(Split, 2):
        # The mean that they share is that of these two splits, as in the check of a launch.
        pool = [item for item in readable(seen) if item.split in (one, other)]
        first = np.flatnonzero([item.split is one for item in pool])
        second = np.flatnonzero([item.split is other for item in pool])
        if not len(first) or not len(second):
            continue
        pairs, near = near_across(_thumbnails(pool), first, second)
        touched |= {pool[index].name: other.value for index in near.tolist()}
        rows += [
            {
                "first": pool[a].name,
                "in": one.value,
                "second": pool[b].name,
                "and": other.value,
                "similarity": round(similarity, 4),
            }
            for a, b, similarity in pairs
        ]
    return rows, touched


def neighbours(listed: Listed) -> list[dict[str, Any]]:
    """Frames of one sequence that lie in two splits, less than data.gap frame numbers apart, nearest first.

    Of the split in use and of the published one where there is one; read from names alone.
    """
    samples = listed.dataset.samples
    ways = {listed.mode: listed.parts}
    if any(sample.published for sample in samples):
        ways["official"] = {split: tuple(one for one in samples if one.published is split) for split in Split}
    rows = [
        {"split": mode, "first": a.name, "in": one.value, "second": b.name, "and": other.value, "apart": apart}
        for mode, parts in ways.items()
        for one, other in combinations(Split, 2)
        for a, b, apart in _near_frames(parts[one], parts[other], listed.settings.gap)
    ]
    return sorted(rows, key=lambda row: (row["split"], row["apart"], row["first"], row["second"]))


def readable(seen: Iterable[Seen]) -> list[Seen]:
    """Those whose image could be read."""
    return [one for one in seen if one.grey is not None]


def _near_frames(first: Iterable[Sample], second: Iterable[Sample], gap: int) -> list[tuple[Sample, Sample, int]]:
    sequences: dict[str, list[Sample]] = {}
    for sample in second:
        sequences.setdefault(sample.group, []).append(sample)
    return [
        (sample, other, abs(sample.frame - other.frame))
        for sample in first
        for other in sequences.get(sample.group, ())
        if sample.frame is not None and other.frame is not None and abs(sample.frame - other.frame) < gap
    ]


def _thumbnails(seen: Sequence[Seen]) -> Thumbnails:
    return Thumbnails.of(np.array([one.grey for one in seen]))


def _named(groups: Iterable[Iterable[int]], seen: Sequence[Seen]) -> list[list[str]]:
    return [[seen[index].name for index in group] for group in groups]


def _beyond(near: Sequence[list[str]], identical: Sequence[list[str]]) -> list[list[str]]:
    """The groups of near ones that are more than one group of identical ones."""
    known = {tuple(group) for group in identical}
    return [group for group in near if tuple(group) not in known]
