"""From a slide of any size to a few fields of tissue; the slide is never held.

Where the tissue lies is read off the coarsest level when that is small, else from a sample of spots of the finest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from hagnifinder.preprocess import MIN_TISSUE_SHARE, RgbImage, tissue_mask

if TYPE_CHECKING:
    from hagnifinder.wholeslide.reader import Slide

FIELD_PX = 672
"""Side of a field: nine windows lie in it, and it can be halved twice."""
MAX_FIELDS = 9
_GRID = 24
"""Fields are sought in so many rows and columns."""
_OVERVIEW_PX = 4_000_000
_SPOT_PX = 64


def read_fields(slide: Slide) -> list[RgbImage]:
    """Read the fields with the most tissue, spread over the slide.

    Returns:
        1 to MAX_FIELDS squares of the finest level, (FIELD_PX, FIELD_PX, 3) uint8, the one with the most tissue first;
        smaller where the slide is.

    Raises:
        DataError: when this part of the file cannot be decoded.
    """
    width, height = slide.levels[0]
    field_w, field_h = min(FIELD_PX, width), min(FIELD_PX, height)
    columns, rows = min(_GRID, -(-width // FIELD_PX)), min(_GRID, -(-height // FIELD_PX))
    share = _tissue(slide, rows, columns)
    full = np.argwhere(share >= MIN_TISSUE_SHARE)
    if len(full) > MAX_FIELDS:
        # in reading order: spread over the tissue instead of crowding where it is densest
        chosen = full[np.linspace(0, len(full) - 1, MAX_FIELDS).round().astype(int)]
    else:
        order = np.argsort(-share, axis=None, kind="stable")[:MAX_FIELDS]
        chosen = np.stack(np.unravel_index(order, share.shape), axis=1)
        chosen = chosen[share[tuple(chosen.T)] > 0.0] if share.any() else chosen[:1]
    best_first = sorted(map(tuple, chosen), key=lambda at: -share[at])
    return [
        slide.read(
            0,
            min(width - field_w, round((column + 0.5) * width / columns - field_w / 2)),
            min(height - field_h, round((row + 0.5) * height / rows - field_h / 2)),
            field_w,
            field_h,
        )
        for row, column in best_first
    ]


def _tissue(slide: Slide, rows: int, columns: int) -> NDArray[np.float32]:
    """Share of stained area in the middle of each cell of a grid, (rows, columns) float32."""
    width, height = slide.levels[-1]
    if width * height <= _OVERVIEW_PX:
        mask = tissue_mask(slide.read(len(slide.levels) - 1, 0, 0, width, height), cell_px=2)
        shares: NDArray[np.float32] = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
        return shares
    width, height = slide.levels[0]
    found = np.zeros((rows, columns), dtype=np.float32)
    for row in range(rows):
        for column in range(columns):
            x, y = int((column + 0.5) * width / columns), int((row + 0.5) * height / rows)
            side = min(_SPOT_PX * 2, width - x, height - y)
            found[row, column] = tissue_mask(slide.read(0, x, y, side, side)).mean()
    return found
