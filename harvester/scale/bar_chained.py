"""Bars of alternating black and white pieces of one length, as maps have them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage
from harvester.scale.bar_shapes import Spot

BLACK_BELOW, WHITE_ABOVE = 100, 195
"""Grey levels, the largest and the smallest of a pixel's channels, from which it is black or white."""
TRUE_BLACK, TRUE_WHITE = 65, 225
MIN_PIECE_PX = 5
MIN_PIECES = 3
MIN_ROWS = 2
SLACK_PX = 1.6
"""Pieces are drawn in whole pixels: their lengths differ by one; long ones may blur by half a pixel more."""
MAX_PIECES = 20
CHAINED_SHAPE = 1.01
"""How much such a bar looks like one: more than any strip, for its pieces are strips, too."""

Classes = NDArray[np.int8]
_Found = tuple[int, float, float, float, int]
"""Row, start, end, length of a piece, colour of the first piece."""


def chained_strips(image: RgbImage) -> list[Spot]:
    """Return horizontal bars of at least three pieces in a picture (H, W, 3) uint8 RGB, in its pixels."""
    ink = np.where(image.max(2) < BLACK_BELOW, 1, np.where(image.min(2) > WHITE_ABOVE, 2, 0)).astype(np.int8)
    found: list[_Found] = []
    rows = np.flatnonzero(((ink == 1).sum(1) >= MIN_PIECE_PX) & ((ink == 2).sum(1) >= MIN_PIECE_PX))
    for y in rows.tolist():
        found += [(y, *chain) for chain in _chains(ink[y])]
    strips: list[Spot] = []
    while found:
        first = found[0]
        alike = [c for c in found if _are_one(first, c)]
        found = [c for c in found if c not in alike]
        ys = [c[0] for c in alike]
        piece = float(np.median([c[3] for c in alike]))
        if (
            len(ys) >= MIN_ROWS
            and len(ys) >= 0.7 * (max(ys) - min(ys) + 1)
            and piece >= (0.9 * len(ys) if len(ys) > 2 else 7.0)
        ):
            most = max(round((c[2] - c[1]) / c[3]) for c in alike)
            whole = [c for c in alike if round((c[2] - c[1]) / c[3]) == most]
            begin, end = float(np.median([c[1] for c in whole])), float(np.median([c[2] for c in whole]))
            strip = _whole(image, ink, Spot(begin, min(ys), end, max(ys) + 1), piece, whole[0][4])
            middle = ink[(min(ys) + max(ys)) // 2, int(strip.x0) : int(strip.x1)]
            n_black = int((middle == 1).sum() / piece + 0.5)
            # one black piece between white ones is a strip across glass
            if strip.width > 3.5 * piece and n_black > 1 and _is_printed(image, ink, strip):
                strips.append(strip)
    return strips


def _are_one(a: _Found, b: _Found) -> bool:
    """Whether chains of two rows are of one bar; the last piece may run into ground of its colour in one of them."""
    starts, ends = abs(a[1] - b[1]) <= 2.5 and a[4] == b[4], abs(a[2] - b[2]) <= 2.5
    return b[0] - a[0] < 40 and abs(a[3] - b[3]) <= 1.0 and (starts or ends)


def _chains(row: Classes) -> list[tuple[float, float, float, int]]:
    """Return (start, end, piece, colour of the first) of neighbouring black and white runs of one length."""
    steps = np.flatnonzero(np.diff(row)) + 1
    bounds = [0, *steps.tolist(), len(row)]
    runs = [(int(row[a]), float(a), float(b)) for a, b in pairwise(bounds)]
    # what is neither is the blurred edge between two pieces: it is shared
    joined: list[tuple[int, float, float]] = []
    for k, (colour, a, b) in enumerate(runs):
        if colour == 0:
            between = 0 < k < len(runs) - 1 and b - a <= 4 and {runs[k - 1][0], runs[k + 1][0]} == {1, 2}
            if between and joined:
                middle = 0.5 * (a + b)
                joined[-1] = (joined[-1][0], joined[-1][1], middle)
                runs[k + 1] = (runs[k + 1][0], middle, runs[k + 1][2])
            else:
                joined.append((0, a, b))
        else:
            joined.append((colour, a, b))
    chains = []
    k = 0
    while k < len(joined):
        colour, a, b = joined[k]
        n = 1
        if colour and b - a >= MIN_PIECE_PX:
            while (
                k + n < len(joined)
                and n < MAX_PIECES
                and joined[k + n][0] == (2 if joined[k + n - 1][0] == 1 else 1)
                and abs((joined[k + n][2] - joined[k + n][1]) - (b - a))
                <= max(SLACK_PX, min(2.2, 0.12 * (b - a)), 0.08 * (b - a))
            ):
                n += 1
            if n >= MIN_PIECES:
                end = joined[k + n - 1][2]
                chains.append((a, end, (end - a) / n, colour))
        k += n if n >= MIN_PIECES else 1
    return chains


def _whole(image: RgbImage, ink: Classes, spot: Spot, piece: float, first: int) -> Spot:
    """Add the pieces at the ends that run into ground of their own colour, and find the ends in the black frame."""
    top, bottom = int(spot.y0), int(spot.y1)
    height, width = ink.shape
    light = image.max(2).astype(np.float32)
    n = max(MIN_PIECES, round(spot.width / piece))
    last = first if n % 2 else 3 - first
    begin, end = spot.x0, spot.x1
    for step in (-1, 1):
        colour = 3 - (first if step < 0 else last)
        while True:
            edge = begin if step < 0 else end
            a, b = round(edge - piece if step < 0 else edge), round(edge if step < 0 else edge + piece)
            if a < 0 or b > width:
                break
            core = ink[top + 1 : max(top + 2, bottom - 1), a + 1 : b - 1]
            if core.size == 0 or (core == colour).mean() < 0.8 or not _is_piece(light, colour, (a, top, b, bottom)):
                break
            begin, end = (begin - piece, end) if step < 0 else (begin, end + piece)
            colour = 3 - colour
    return Spot(begin, max(0.0, top - 1.0), end, min(float(height), bottom + 1.0))


def _is_printed(image: RgbImage, ink: Classes, strip: Spot) -> bool:
    """Whether the black is black and the white is white: nuclei beside glass are neither."""
    rows, columns = slice(int(strip.y0) + 1, int(strip.y1) - 1), slice(int(strip.x0), int(strip.x1))
    part, kind = image[rows, columns], ink[rows, columns]
    black, white = part[kind == 1], part[kind == 2]
    if not len(black) or not len(white) or (kind == 0).mean() > 0.3:
        return False
    return bool(np.median(black.max(1)) < TRUE_BLACK and np.median(white.min(1)) > TRUE_WHITE)


def _is_piece(light: NDArray[np.float32], colour: int, box: tuple[int, int, int, int]) -> bool:
    """Whether a piece differs from what lies above and below: by its ground, or a white one by its frame."""
    a, top, b, bottom = box
    inside = float(np.median(light[top + 1 : max(top + 2, bottom - 1), a + 1 : b - 1]))
    if colour == 1:
        outside = [light[max(0, top - 5) : max(0, top - 3), a:b], light[bottom + 3 : bottom + 5, a:b]]
        return all(rows.size == 0 or float(np.median(rows)) > inside + 15 for rows in outside)
    frames = [light[max(0, top - 2) : top + 2, a + 1 : b - 1], light[max(0, bottom - 2) : bottom + 2, a + 1 : b - 1]]
    return all(frame.size and float(np.median(frame.min(0))) < inside - 40 for frame in frames)
