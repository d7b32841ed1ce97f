"""Rows of letters in the ink of a bar: the place to read its label, or the sign that there is none to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import BoxPx, RgbImage
from harvester.scale.bar_shapes import Candidate, Spot, label_distance

MAX_ROWS = 4
REACH = 1.9
"""How far a row may stand from its bar, as `label_distance` counts."""
LEVELS = (0.75, 0.45, 0.25)
"""Shares of the ink from which a pixel belongs to a letter: bold ones over dark tissue, plain ones, faint ones."""
JPEG_NOISE = 12.0
"""Grey levels by which colours of one ink differ in a saved picture."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A row of letters: its box in the crop, the common height of its letters, and how unlikely it is a bar's label."""

    box: BoxPx
    em: float
    rank: float


def ink_map(crop: RgbImage, rgb: tuple[int, int, int]) -> Floats:
    """Return how much of an ink each pixel of a crop (H, W, 3) uint8 RGB has: (H, W) float32, 0 none, 1 pure.

    Along the direction in colour that parts the ink best from what lies under it (Fisher's discriminant), so that a
    blue letter shows over purple nuclei; and no more than the plain distance to the ink allows.
    """
    colour = np.asarray(rgb, np.float32)
    pixels = crop.reshape(-1, 3).astype(np.float32)
    off = np.sqrt(((pixels - colour) ** 2).sum(1))
    ground = pixels[off > 0.5 * float(np.median(off))]
    middle = ground.mean(0) if len(ground) else pixels.mean(0)
    spread = np.cov(ground.T) if len(ground) > 8 else np.zeros((3, 3))
    weights = np.linalg.solve(spread + JPEG_NOISE**2 * np.eye(3), colour - middle)
    whole = float((colour - middle) @ weights)
    if whole <= 1e-6:
        return np.zeros(crop.shape[:2], np.float32)
    share = ((pixels - middle) @ weights / whole).astype(np.float32)
    near = 1.0 - (off / max(40.0, float(np.median(off))) - 0.2) / 0.8
    return np.asarray(np.clip(np.minimum(share, near), 0.0, 1.0), np.float32).reshape(crop.shape[:2])


def letter_rows(inked: Floats, candidate: Candidate, bar: Spot) -> list[LetterRow]:
    """Return rows of letter-like specks where a bar's label can stand, the likeliest first.

    Args:
        inked: (H, W) as `ink_map` gives it, enlarged so that letters are about 10 to 80 pixels high.
        bar: The bar in the pixels of `inked`.
    """
    there = Candidate(bar, candidate.is_vertical, candidate.found_in, candidate.shape, candidate.rgb)
    rows: dict[tuple[int, int, int, int], LetterRow] = {}
    for level in LEVELS:
        specks = _specks(inked > level, bar)
        for seed in specks:
            box, heights = _grown(seed, [speck for speck in specks if _same_side(seed, speck, bar)])
            em = float(np.median(heights))
            width, height = box[2] - box[0], box[3] - box[1]
            if not (1.2 * em <= width <= 13 * em and height <= 1.9 * em) or (len(heights) == 1 and width < 2.0 * em):
                continue
            distance = label_distance(there, Spot(*map(float, box)))
            if distance <= REACH:
                uneven = float(np.std(heights)) / em
                rank = distance + uneven - 0.1 * min(6, len(heights)) - 1.5 * _purity(inked, box)
                rows.setdefault(box, LetterRow(BoxPx(*box), em, rank))
    kept: list[LetterRow] = []
    for row in sorted(rows.values(), key=lambda row: row.rank):
        if all(_shared(row.box, other.box) < 0.7 or not 0.8 < row.em / other.em < 1.25 for other in kept):
            kept.append(row)
    return kept[:MAX_ROWS]


def _purity(inked: Floats, box: tuple[int, int, int, int]) -> float:
    """Return which share of what is inked at all in a box is inked fully: letters are, nuclei are not."""
    part = inked[box[1] : box[3], box[0] : box[2]]
    return float((part > 0.75).sum() / max(1, (part > 0.2).sum()))


def _specks(mask: NDArray[np.bool_], bar: Spot) -> list[tuple[int, int, int, int]]:
    """Return boxes of what is as high as letters, the bar itself left out."""
    inked = mask.astype(np.uint8)
    inked[max(0, int(bar.y0) - 1) : int(bar.y1) + 2, max(0, int(bar.x0) - 1) : int(bar.x1) + 2] = 0
    n, _, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8)
    return [
        (int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, filled in stats[1 : min(n, 1500)]
        if 9 <= h <= 80 and w <= 9.0 * h and filled > 0.12 * w * h
    ]


def _same_side(a: tuple[int, int, int, int], b: tuple[int, int, int, int], bar: Spot) -> bool:
    """Whether two specks stand on one side of a bar that lies in their row; no label goes through its bar."""
    if a[3] <= bar.y0 or a[1] >= bar.y1:
        return True
    middle = bar.x0 + bar.x1
    return (a[0] + a[2] > middle) == (b[0] + b[2] > middle)


def _grown(
    seed: tuple[int, int, int, int], specks: Sequence[tuple[int, int, int, int]]
) -> tuple[tuple[int, int, int, int], list[int]]:
    """Return the box of the row that a speck stands in, and the heights of its letters."""
    x0, y0, x1, y1 = seed
    em = y1 - y0
    level = [s for s in specks if abs(s[1] + s[3] - y0 - y1) < 1.1 * em and 0.5 * em <= s[3] - s[1] <= 1.7 * em]
    heights: list[int] = []
    left, right = x0, x1
    for speck in sorted((s for s in level if s[0] >= x0), key=lambda s: s[0]):
        if speck[0] > right + 1.4 * em:
            break
        right = max(right, speck[2])
        heights.append(speck[3] - speck[1])
        y0, y1 = min(y0, speck[1]), max(y1, speck[3])
    for speck in sorted((s for s in level if s[0] < x0), key=lambda s: -s[2]):
        if speck[2] < left - 1.4 * em:
            break
        left = min(left, speck[0])
        heights.append(speck[3] - speck[1])
        y0, y1 = min(y0, speck[1]), max(y1, speck[3])
    return (left, y0, right, y1), heights


def _shared(a: BoxPx, b: BoxPx) -> float:
    """Return the share of the smaller box that lies in the other."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a.width * a.height, b.width * b.height)
