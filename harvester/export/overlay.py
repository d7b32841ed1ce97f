"""Where something is drawn over the tissue, judged from the pixels: letters, scale bars, arrows, lines, label boxes.

What is found: connected patches of neutral black or of neutral, saturated white or of one pure colour, that are thin or
compact, much smaller than the picture, and set off from what surrounds them by a step no stain makes. What is not:
marks in tissue-like colours, half-transparent ones, and marks larger than a quarter of the picture's side across.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import BoxPx, RgbImage

Mask = NDArray[np.bool_]

MARGIN_PX = 3
"""Kept clear round a mark: the blur of its edge belongs to neither."""
MANY_MARKS = 60
"""A picture with more patches of one kind is full of such tissue (black nuclei, white fat), not of letters."""
_LEAST_PATCH_PX = 12
_BLACK_STEP, _WHITE_STEP = 50.0, 60.0
"""Grey levels between a patch and nearly all of the ring round it; between a lumen and pale stroma they are fewer."""


def find_overlay(pixels: RgbImage) -> list[BoxPx]:
    """Return boxes of what seems drawn over a picture (H, W, 3) uint8, with their margin, in its pixels."""
    height, width = pixels.shape[:2]
    lowest, highest = pixels.min(axis=2), pixels.max(axis=2)
    chroma = highest - lowest
    inks: tuple[Mask, ...] = (
        (highest <= 48) & (chroma <= 24),
        (lowest >= 250),
        (chroma >= 215) & (lowest <= 30),
    )
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found: list[BoxPx] = []
    # a pure colour is none of tissue's, whatever is round it
    for ink, step in zip(inks, (_BLACK_STEP, _WHITE_STEP, 0.0), strict=True):
        boxes = [
            box
            for box, patch in _patches(ink, max(width, height))
            if step == 0.0 or _stands_out(grey, ink, box, patch, step)
        ]
        if len(boxes) <= MANY_MARKS:
            found += boxes
    return [box.grown(MARGIN_PX, width_px=width, height_px=height) for box in found]


def _patches(ink: Mask, longer_side: int) -> list[tuple[BoxPx, Mask]]:
    """Return compact or thin connected patches with their own pixels inside the box."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    kept = []
    for label in range(1, n):
        x, y, w, h, area = (int(v) for v in stats[label])
        is_line = max(w, h) >= 12 and max(w, h) >= 5 * min(w, h)
        if area < _LEAST_PATCH_PX or (max(w, h) > longer_side / 4 and not is_line):
            continue
        # glyphs, arrows and bars fill their box; a lumen or a crack winds through it
        if area / (w * h) < 0.2:
            continue
        kept.append((BoxPx(x, y, x + w, y + h), labels[y : y + h, x : x + w] == label))
    return kept


def _stands_out(grey: NDArray[np.float32], ink: Mask, box: BoxPx, patch: Mask, step: float) -> bool:
    """Say whether a patch differs from the ring round it by more than tissue does, on nearly all of its edge."""
    wide = box.grown(4, width_px=grey.shape[1], height_px=grey.shape[0])
    inside = np.zeros((wide.height, wide.width), np.uint8)
    inside[box.y0 - wide.y0 : box.y1 - wide.y0, box.x0 - wide.x0 : box.x1 - wide.x0] = patch
    near = cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0
    # the next letter is no background
    ring = (cv2.dilate(inside, np.ones((9, 9), np.uint8)) > 0) & ~near & ~ink[wide.y0 : wide.y1, wide.x0 : wide.x1]
    view = grey[wide.y0 : wide.y1, wide.x0 : wide.x1]
    if not ring.any():
        return False
    own = float(view[inside > 0].mean())
    return float((np.abs(view[ring] - own) >= step).mean()) >= 0.85


def largest_clean_box(width_px: int, height_px: int, marks: list[BoxPx]) -> BoxPx | None:
    """Return the largest rectangle of a picture that touches no mark; None when they cover it.

    Rows and columns are cut at the edges of the marks, so the answer is exact.
    """
    xs = sorted({0, width_px, *(v for m in marks for v in (m.x0, m.x1))})
    ys = sorted({0, height_px, *(v for m in marks for v in (m.y0, m.y1))})
    best: tuple[int, BoxPx] | None = None
    for top_index, top in enumerate(ys[:-1]):
        # columns that are free from `top` down to the row under study
        free = [True] * (len(xs) - 1)
        for low, bottom in zip(ys[top_index:], ys[top_index + 1 :], strict=False):
            for mark in marks:
                if mark.y0 < bottom and mark.y1 > low:
                    for i in range(len(free)):
                        free[i] = free[i] and not (mark.x0 < xs[i + 1] and mark.x1 > xs[i])
            start = None
            for i, is_free in enumerate([*free, False]):
                if is_free and start is None:
                    start = i
                elif not is_free and start is not None:
                    area = (xs[i] - xs[start]) * (bottom - top)
                    if best is None or area > best[0]:
                        best = (area, BoxPx(xs[start], top, xs[i], bottom))
                    start = None
    return best[1] if best else None
