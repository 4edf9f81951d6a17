"""`data.fraction`: a share of the training images in whole groups, stratified by class presence."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainables.data.derived import derive, row_of
from trainables.data.errors import DataError
from trainables.data.split_data import SplitData


def fraction_of(data: SplitData, fraction: float, seed: int, cache: Path) -> SplitData:
    """The share of the split, in a cache folder of its own; `data` itself for 1."""
    if fraction == 1:
        return data
    chosen = chosen_images(data.groups, data.presence_NK, fraction, seed)
    return derive(data, {"images": chosen}, lambda: (row_of(data, index) for index in chosen), len(chosen), cache)


def chosen_images(groups: Sequence[str], presence_NK: np.ndarray, fraction: float, seed: int) -> list[int]:
    """Indices, ascending, of the images of whole groups that come nearest to the fraction of all images.

    The groups are the first of one order that depends on the seed alone, so that a larger fraction contains a smaller
    one. DataError if nothing is nearer to the fraction than the first group.
    """
    wanted = fraction * len(groups)
    chosen: list[int] = []
    for members in stratified_order(groups, presence_NK, seed):
        # Without this group the number of images is as near or nearer.
        if len(chosen) + len(members) - wanted >= wanted - len(chosen):
            if not chosen:
                raise DataError(
                    f"data.fraction {fraction:g} of {len(groups)} training images is {wanted:.1f} images, but the "
                    f"first whole group has {len(members)}: set data.fraction to {len(members) / len(groups):.2g} "
                    "or more"
                )
            break
        chosen += members
    return sorted(chosen)


def stratified_order(groups: Sequence[str], presence_NK: np.ndarray, seed: int) -> Iterator[list[int]]:
    """The images of each group, groups ordered so that every beginning holds each class in proportion.

    Greedily, the next group is the one that minimises the sum over classes of (share of the class's images so far -
    share of all images so far) squared; among equals the seed decides. A greedy form of iterative stratification
    (Sechidis et al. 2011). A class in fewer than about 1/(2 fraction) images may be missing from the fraction.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    names = sorted(members)
    names = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    images_GK = np.array([presence_NK[members[name]].sum(axis=0) for name in names], dtype=np.float64)
    present_K = images_GK.sum(axis=0) > 0
    share_GK = images_GK[:, present_K] / images_GK[:, present_K].sum(axis=0)
    share_G = np.array([len(members[name]) for name in names]) / len(groups)
    # What each group brings to (share of the class - share of all), for every class.
    change_GK = share_GK - share_G[:, None]
    squares_G = (change_GK**2).sum(axis=1)
    left_G = np.ones(len(names), dtype=bool)
    off_K = np.zeros(change_GK.shape[1])
    for _ in names:
        cost_G = np.where(left_G, squares_G + 2 * change_GK @ off_K, np.inf)
        # Rounded, so that equals are equal on every machine and the seeded order decides between them.
        best = int(cost_G.round(12).argmin())
        left_G[best] = False
        off_K += change_GK[best]
        yield members[names[best]]
