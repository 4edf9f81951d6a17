"""Pictures that are too large for one pass: overlapping tiles whose logits are blended, a band of rows at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


class TilingError(ValueError):
    """Tiles that cannot cover a picture as asked."""


@dataclass(frozen=True)
class Tiling:
    """Square tiles of `tile` pixels, each over at least `overlap` pixels of the next.

    Tiles begin at multiples of `stride`, so that a network which halves its features does so where it would in the
    whole picture.
    """

    tile: int
    overlap: int
    stride: int = 1

    def __post_init__(self) -> None:
        """Raise TilingError where no next tile could begin."""
        if self.overlap < 0 or self.tile - self.overlap < self.stride:
            least = f"--tile must be at least --overlap + {self.stride}, the step of the model's features"
            raise TilingError(f"expected overlapping tiles that advance: {least}; got {self.tile} and {self.overlap}")

    def spans(self, side: int) -> list[tuple[int, int]]:
        """First pixel and the one after the last of each tile along a side; the last is up to `stride` - 1 shorter."""
        if side <= self.tile:
            return [(0, side)]
        step = (self.tile - self.overlap) // self.stride * self.stride
        last = -(-(side - self.tile) // self.stride) * self.stride
        starts = [*range(0, last, step), last]
        return [(start, min(start + self.tile, side)) for start in starts]


def blended_bands(
    logits_of: Callable[[NDArray[np.uint8]], torch.Tensor], image_HWC: NDArray[np.uint8], tiling: Tiling
) -> Iterator[tuple[int, torch.Tensor]]:
    """Bands of blended logits [K, h, W] with their first row, from above; `logits_of` gives [K, h, w] of a tile.

    Only one row of tiles is held: a picture's logits of all classes may not fit into memory.
    """
    height, width = image_HWC.shape[:2]
    rows, columns = tiling.spans(height), tiling.spans(width)
    carried: tuple[torch.Tensor, torch.Tensor] | None = None
    for index, (top, bottom) in enumerate(rows):
        sum_KHW, weight_HW = _row_of_tiles(logits_of, image_HWC, (top, bottom), columns, tiling.overlap)
        if carried is not None:
            below = carried[1].shape[0]
            sum_KHW[:, :below] += carried[0]
            weight_HW[:below] += carried[1]
        # Rows that the next tiles share are not complete yet.
        done = (rows[index + 1][0] if index + 1 < len(rows) else bottom) - top
        yield top, sum_KHW[:, :done] / weight_HW[:done]
        carried = sum_KHW[:, done:], weight_HW[done:]


def _row_of_tiles(
    logits_of: Callable[[NDArray[np.uint8]], torch.Tensor],
    image_HWC: NDArray[np.uint8],
    row: tuple[int, int],
    columns: list[tuple[int, int]],
    overlap: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sum of logits [K, h, W] of the tiles of one row, and the weights' sum [h, W]."""
    (top, bottom), (height, width) = row, image_HWC.shape[:2]
    down_H = _weights(top, bottom, height, overlap)
    sum_KHW = weight_HW = None
    for left, right in columns:
        logits_KHW = logits_of(image_HWC[top:bottom, left:right])
        if sum_KHW is None or weight_HW is None:
            sum_KHW = logits_KHW.new_zeros((len(logits_KHW), bottom - top, width))
            weight_HW = logits_KHW.new_zeros((bottom - top, width))
        tile_HW = (down_H[:, None] * _weights(left, right, width, overlap)).to(logits_KHW)
        sum_KHW[:, :, left:right] += logits_KHW * tile_HW
        weight_HW[:, left:right] += tile_HW
    assert sum_KHW is not None and weight_HW is not None  # there is a column
    return sum_KHW, weight_HW


def _weights(start: int, end: int, side: int, overlap: int) -> torch.Tensor:
    """Weight of each pixel of a tile along a side: 1 inside, falling to 0 over the middle half of an overlap.

    The outermost quarter, whose surroundings the tile does not show, counts nothing; the picture's own border does.
    """
    pixels = torch.arange(start, end, dtype=torch.float64) + 0.5
    weights = torch.ones_like(pixels)
    if overlap:
        if start > 0:
            weights = torch.minimum(weights, ((pixels - start) / overlap - 0.25).clamp(0, 0.5) * 2)
        if end < side:
            weights = torch.minimum(weights, ((end - pixels) / overlap - 0.25).clamp(0, 0.5) * 2)
    return weights
