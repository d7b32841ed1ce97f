"""Boxes: in PDF points on a page, in pixels of one raster; two types, so that they are never mixed by mistake."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""(H, W, 3) uint8, order R, G, B, row 0 at the top."""


@dataclass(frozen=True, slots=True, order=True)
class BoxPx:
    """Half-open rectangle, x0 <= x < x1 and y0 <= y < y1, in pixels of one raster, origin top left, y downwards.

    Raises:
        ValueError: when the box is empty or starts at a negative coordinate.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 and 0 <= self.y0 < self.y1):
            raise ValueError(f"empty or negative box: {self}")

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        return self.width * self.height

    def crop(self, pixels: RgbImage) -> RgbImage:
        """Return the view of `pixels` (H, W, 3) inside the box."""
        return pixels[self.y0 : self.y1, self.x0 : self.x1]

    def intersection_area(self, other: BoxPx) -> int:
        """Return the number of pixels that both boxes hold."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0, width) * max(0, height)

    def iou(self, other: BoxPx) -> float:
        """Return intersection over union, 0 (apart) to 1 (equal)."""
        common = self.intersection_area(other)
        return common / (self.area + other.area - common)

    def shifted(self, dx: int, dy: int) -> BoxPx:
        """Return the box moved by (dx, dy) pixels."""
        return BoxPx(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def grown(self, margin_px: int, *, width_px: int, height_px: int) -> BoxPx:
        """Return the box widened by a margin on every side and cut at a raster of the given size."""
        return BoxPx(
            max(0, self.x0 - margin_px),
            max(0, self.y0 - margin_px),
            min(width_px, self.x1 + margin_px),
            min(height_px, self.y1 + margin_px),
        )


@dataclass(frozen=True, slots=True, order=True)
class BoxPt:
    """Rectangle on a PDF page as displayed (rotation applied), in points of 1/72 inch, origin top left, y downwards.

    Raises:
        ValueError: when the box is empty or not finite.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, self.as_tuple())) and self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError(f"empty box: {self}")

    def as_tuple(self) -> tuple[float, float, float, float]:
        return self.x0, self.y0, self.x1, self.y1

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return self.width * self.height

    def intersection_area(self, other: BoxPt) -> float:
        """Return the area both boxes share, in square points."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: BoxPt) -> float:
        """Return intersection over union, 0 (apart) to 1 (equal)."""
        common = self.intersection_area(other)
        return common / (self.area + other.area - common)

    def gap(self, other: BoxPt) -> float:
        """Return the larger of the horizontal and the vertical distance in points; 0 when they touch or overlap."""
        dx = max(self.x0, other.x0) - min(self.x1, other.x1)
        dy = max(self.y0, other.y0) - min(self.y1, other.y1)
        return max(0.0, dx, dy)

    def union(self, other: BoxPt) -> BoxPt:
        return BoxPt(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))


def union_pt(boxes: Iterable[BoxPt]) -> BoxPt:
    """Return the smallest box round one or more boxes.

    Raises:
        ValueError: when there is none.
    """
    items = list(boxes)
    if not items:
        raise ValueError("no boxes to join")
    result = items[0]
    for box in items[1:]:
        result = result.union(box)
    return result


def px_to_pt(box: BoxPx, *, raster_width_px: int, raster_height_px: int, page_box: BoxPt) -> BoxPt:
    """Place a box of a raster on the page that shows the raster upright in `page_box`."""
    sx = page_box.width / raster_width_px
    sy = page_box.height / raster_height_px
    return BoxPt(
        page_box.x0 + box.x0 * sx, page_box.y0 + box.y0 * sy, page_box.x0 + box.x1 * sx, page_box.y0 + box.y1 * sy
    )
