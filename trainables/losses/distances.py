"""Signed distances to the outlines of classes, for the boundary loss."""

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.splits import IGNORE


def signed_distances(labels_HW: NDArray[np.uint8], classes: int) -> NDArray[np.float32]:
    """Distance [K, H, W] of each pixel to the outline of each class, in image diagonals: below 0 within the class.

    The outline is made of the class's own pixels, as in the code of Kervadec et al. (2019): a pixel outside has the
    Euclidean distance d to the nearest pixel of the class, one within 1 - d to the nearest valid pixel of another class
    (so 0 on the outline). Ignored pixels are no boundary: no distance is taken to them, and theirs is 0. A class that
    is absent, or alone in the image, has no outline and distance 0.
    """
    maps_KHW = np.zeros((classes, *labels_HW.shape), dtype=np.float32)
    present = [label for label in np.unique(labels_HW).tolist() if label < classes]
    if len(present) < 2:
        return maps_KHW
    # To the nearest pixel of another class: the nearest of the other classes' distances, so that each class needs one
    # transform only.
    other_HW = np.full(labels_HW.shape, np.inf, dtype=np.float32)
    for k in present:
        apart_HW = labels_HW != k
        maps_KHW[k] = cv2.distanceTransform(apart_HW.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.minimum(other_HW, maps_KHW[k], out=other_HW, where=apart_HW)
    for k in present:
        np.subtract(1, other_HW, out=maps_KHW[k], where=labels_HW == k)
    maps_KHW[:, labels_HW == IGNORE] = 0
    maps_KHW /= np.hypot(*labels_HW.shape)
    return maps_KHW
