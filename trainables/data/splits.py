"""What a sample is, and the ways to divide samples into train, validation and test."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from trainables.data.errors import DataError

IGNORE = 255  # the label of every ignored pixel once data are in the cache

FRAME_NAME = re.compile(r"(?P<sequence>[^_]+)_f?(?P<frame>\d+)")


class Split(StrEnum):
    """The three parts of a data set; search sees the first two only."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Sample:
    """One image and its mask, not yet read; a path is None where the file is missing or the sample is generated."""

    name: str
    group: str
    frame: int | None = None
    published: Split | None = None
    image: Path | None = None
    mask: Path | None = None


Parts = dict[Split, tuple[Sample, ...]]
Shares = tuple[float, float, float]


def sequence_and_frame(name: str) -> tuple[str, int] | None:
    """The sequence and frame number of a name like `0016E5_08640` or `Seq05VD_f05100`; None for any other name."""
    match = FRAME_NAME.fullmatch(name)
    return (match["sequence"], int(match["frame"])) if match else None


def official_split(samples: Sequence[Sample]) -> Parts:
    """The published split, where the format has one."""
    if not any(sample.published for sample in samples):
        raise DataError("data.split is `official`, but this format has no published split: use lists, blocks or random")
    return {split: tuple(sample for sample in samples if sample.published is split) for split in Split}


def with_validation(samples: Sequence[Sample], shares: Shares, seed: int) -> tuple[Sample, ...]:
    """Samples of a published split that has no validation part: whole groups of its training part become one.

    Validation gets its share of train and validation in `shares`; the published test part stays as it is.
    """
    train = [sample for sample in samples if sample.published is Split.TRAIN]
    searched = shares[0] + shares[1]
    chosen = {
        sample.name
        for sample in random_split(train, (shares[0] / searched, shares[1] / searched, 0.0), seed)[Split.VALIDATION]
    }
    return tuple(replace(sample, published=Split.VALIDATION) if sample.name in chosen else sample for sample in samples)


def list_split(samples: Sequence[Sample], lists: Mapping[Split, Sequence[str]]) -> Parts:
    """The split given by lists of names; a listed name without files becomes a sample without files."""
    if not lists:
        raise DataError("data.split is `lists`, but no train.txt, validation.txt (or val.txt) or test.txt was found")
    by_name = {sample.name: sample for sample in samples}
    owner: dict[str, Split] = {}
    for split, names in lists.items():
        for name in names:
            if name in owner:
                raise DataError(f"{name!r} is listed twice, in {owner[name]} and {split}: keep it in one split")
            owner[name] = split
    return {
        split: tuple(by_name.get(name, Sample(name=name, group=name)) for name in lists.get(split, ()))
        for split in Split
    }


def random_split(samples: Sequence[Sample], shares: Shares, seed: int) -> Parts:
    """Whole groups at random: each goes to the split that is, relative to its share, the emptiest."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    names = sorted(groups)
    wanted = {split: share for split, share in zip(Split, shares, strict=True) if share > 0}
    held = dict.fromkeys(wanted, 0)
    owner: dict[str, Split] = {}
    for position in np.random.default_rng(seed).permutation(len(names)):
        name = names[position]
        emptiest = min(wanted, key=lambda split: held[split] / wanted[split])
        held[emptiest] += len(groups[name])
        owner[name] = emptiest
    return {split: tuple(sample for sample in samples if owner[sample.group] is split) for split in Split}


def block_split(samples: Sequence[Sample], shares: Shares, gap: int) -> Parts:
    """Each sequence cut into contiguous blocks in the order of its frames, with `gap` frame numbers between blocks.

    The gap is taken from the end of the earlier block, so that no frames of two splits are nearer than `gap`.
    """
    sequences: dict[str, list[tuple[int, Sample]]] = defaultdict(list)
    for sample in samples:
        if sample.frame is None:
            raise DataError(
                f"data.split is `blocks`, but {sample.name!r} tells no frame number: "
                "expected names like SEQUENCE_000123; use lists or random"
            )
        sequences[sample.group].append((sample.frame, sample))
    owner: dict[str, Split] = {}
    for sequence in sequences.values():
        frames = sorted(sequence, key=lambda item: item[0])
        cuts = [round(len(frames) * sum(shares[:n])) for n in range(len(shares) + 1)]
        limit = frames[-1][0]
        for split, start, stop in reversed(list(zip(Split, cuts[:-1], cuts[1:], strict=True))):
            kept = [(frame, sample) for frame, sample in frames[start:stop] if frame <= limit]
            owner.update({sample.name: split for _, sample in kept})
            # An empty block leaves the limit where it is, so that its two neighbours are apart as well.
            limit = kept[0][0] - gap if kept else limit
    return {split: tuple(sample for sample in samples if owner.get(sample.name) is split) for split in Split}
