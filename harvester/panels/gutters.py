"""Cuts one raster into its panels by the gutters between them.

A gutter is a run of rows (or columns) of one colour each, right across the region, whatever the colour and however
thin. What tells it from a pale strip of glass inside a micrograph is its edge: pictures end on the same row everywhere,
tissue does not. The cuts are applied recursively (XY-cut: Nagy & Seth 1984); layouts that no straight cut can open are
taken apart by connected components, and pictures that touch without a gutter by the straight seam between them.

Everything is measured on full-size pixels at up to a few hundred sampled positions, so that no edge has to be refined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import BoxPx, RgbImage

Axis = Literal[0, 1]
AXES: tuple[Axis, Axis] = (0, 1)
"""0: separators are rows, the pieces lie above each other; 1: separators are columns."""
_Number = TypeVar("_Number", np.int16, np.uint8)
_Cuts = tuple[Axis, list[tuple[int, int]], float]
"""Axis, runs of lines of a region that are no picture, and how clear they are."""

SAMPLES = 192
"""Positions along a line that are looked at first; candidates are then checked in full."""
SAME_WHITE, SAME_COLOUR = 20, 10
"""Largest difference in any channel inside one gutter line, white or black and other; JPEG rings by as much."""
EDGE_STEP = 12
"""Difference in any channel that counts as leaving the gutter's colour."""
STRONG_EDGE, BOTH_EDGES = 0.35, 0.5
"""Share of a gutter's length along which a picture has to begin at once: on the clearer side, and on both together."""
TINTED_EDGES = 1.2
"""The same for both sides of a gutter neither white nor black."""
SEAM_EXCESS, SEAM_SHARE = 2.0, 0.5
"""Step across a seam in units of the usual step between two lines, and the share of its length with such a step."""
MIN_SHARE = 0.045
"""Shorter side of a panel, as a share of the figure's longer one; letters and headings are below."""
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of the raster that holds one panel; `score` says how clear the cuts round it are, 0 (guess) to 1."""

    box: BoxPx
    score: float


class _Lines:
    """The lines of one region along one axis, and which of them could be a gutter's.

    Attributes:
        pixels: (n lines, length, 3) uint8 view of the raster.
        middle: (n, 3) median colour of every line.
        runs: (start, stop) of every run of lines that have one colour each; pure white is kept apart from other pales.
    """

    def __init__(self, raster: RgbImage, box: BoxPx, axis: Axis) -> None:
        region = box.crop(raster)
        self.pixels: RgbImage = region if axis == 0 else region.swapaxes(0, 1)
        self.middle, uniform, self.is_white = self._measure()
        kind = np.where(uniform, np.where(self.is_white, 2, 1), 0)
        bounds = [0, *(np.flatnonzero(np.diff(kind)) + 1).tolist(), len(kind)]
        self.runs = [(a, b) for a, b in pairwise(bounds) if kind[a]]

    def __len__(self) -> int:
        return len(self.pixels)

    def _measure(self) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
        lines = self.pixels
        step = max(1, lines.shape[1] // SAMPLES)
        sampled = lines[:, step // 2 :: step].astype(np.int16)
        middle = np.median(sampled[:, :: max(1, sampled.shape[1] // 65)], axis=1).astype(np.int16)
        clipped = (middle >= 245).all(axis=1) | (middle <= 12).all(axis=1)
        allowed = np.where(clipped, SAME_WHITE, SAME_COLOUR).astype(np.int16)[:, None]
        away = _largest(np.abs(sampled - middle[:, None]))  # (n, samples)
        uniform = ((away <= allowed).mean(axis=1) >= 0.97) & (np.minimum(away, 40).mean(axis=1) <= 5)
        candidates = np.flatnonzero(uniform)
        if step > 1 and len(candidates):
            full = _largest(np.abs(lines[candidates].astype(np.int16) - middle[candidates, None]))
            uniform[candidates] = (full <= allowed[candidates]).mean(axis=1) >= 0.985
        is_white = uniform & (_smallest(sampled).mean(axis=1) >= 252.5)
        return middle, uniform, is_white

    def edge(self, at: int, direction: int) -> float:
        """Return the share of the gutter line `at` along which a picture begins on its side `direction` (1, -1).

        The picture must be there within 4 lines and still be there some lines deeper: an axis alone is a line.
        A whole line that is plain but not pure white next to a pure white one is the glass of a micrograph.
        """
        if not 0 <= at + direction < len(self):
            return 0.0
        colour = self.middle[at]
        step = max(1, self.pixels.shape[1] // (2 * SAMPLES))

        def differs(first: int, last: int) -> NDArray[np.bool_]:
            a, b = sorted((at + direction * first, at + direction * last))
            rows = slice(max(0, a), min(len(self), b + 1))
            if rows.start >= rows.stop:
                return np.zeros(0, np.bool_)
            block = self.pixels[rows, ::step].astype(np.int16)
            far = _largest(np.abs(block - colour)) > EDGE_STEP
            if self.is_white[at]:
                glass = ~self.is_white[rows] & (self.middle[rows].min(axis=1) < 252)
                far |= glass[:, None] & (_largest(np.abs(block - self.middle[rows, None])) <= SAME_COLOUR)
            return np.asarray(far.mean(axis=0) >= 0.5)

        near, deep = differs(1, 4), differs(5, 12)
        if not deep.size:
            deep = near
        own = np.abs(self.pixels[at, ::step].astype(np.int16) - colour).max(axis=1) > EDGE_STEP
        noise = float(own.mean())
        return max(0.0, (min(float(near.mean()), float(deep.mean())) - noise) / max(0.05, 1.0 - noise))


def _largest(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return the largest of three channels; numpy's own reduction is slow along so short an axis."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def _smallest(values: NDArray[_Number]) -> NDArray[_Number]:
    return np.minimum(np.minimum(values[..., 0], values[..., 1]), values[..., 2])


def split_raster(pixels: RgbImage, min_panel_px: int) -> list[Piece]:
    """Cut a raster into panels.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        min_panel_px: Shorter side of the smallest panel, in pixels.

    Returns:
        One or more pieces in reading order, inside the raster, none overlapping another. A raster without a gutter
        gives one piece, trimmed of its frame and margins.
    """
    height, width = pixels.shape[:2]
    whole = BoxPx(0, 0, width, height)
    least = max(min_panel_px, round(MIN_SHARE * max(height, width)))
    pieces = _split(pixels, whole, least, 1.0, 0)
    if not pieces:
        return [Piece(_trimmed(pixels, whole, ragged=False)[0], 1.0)]
    return sort_reading(_align(pixels, pieces) if len(pieces) > 1 else pieces)


def sort_reading(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces row by row, left to right; a row overlaps its first piece by half of the lower height."""
    left = sorted(pieces, key=lambda piece: (piece.box.y0, piece.box.x0))
    ordered: list[Piece] = []
    while left:
        first = left[0].box
        row = [
            p for p in left if min(p.box.y1, first.y1) - max(p.box.y0, first.y0) > 0.5 * min(p.box.height, first.height)
        ]
        ordered += sorted(row, key=lambda piece: piece.box.x0)
        left = [piece for piece in left if piece not in row]
    return ordered


def _split(pixels: RgbImage, box: BoxPx, least: int, score: float, depth: int) -> list[Piece]:
    is_drawing = _is_drawing(box.crop(pixels))
    box, both = _trimmed(pixels, box, ragged=is_drawing or depth > 0, straight=not is_drawing)
    is_drawing = _is_drawing(box.crop(pixels))
    if min(box.width, box.height) < least or depth > MAX_DEPTH:
        return [Piece(box, score)] if min(box.width, box.height) >= least else []
    region = box.crop(pixels)
    if depth > 0 and _is_text(region):
        return []
    cuts = _strong_cuts(both, is_drawing) or _weak_cuts(both, is_drawing, least) or _seam_cuts(both, least)
    if cuts:
        axis, lines, cut_score = cuts
        children: list[Piece] = []
        for part in _slices(box, axis, lines):
            children += _split(pixels, part, least, min(score, cut_score), depth + 1)
        kept = sum(child.box.area for child in children)
        # a cut that leaves crumbs (bands of a gel, lines of a table, boxes of a flow chart) cuts a single thing
        if is_drawing and children:
            is_crumbled = kept < 0.5 * box.area or min(child.box.area for child in children) < 0.05 * box.area
        else:
            is_crumbled = kept < 0.4 * box.area and len(children) > 1
        if children and not is_crumbled:
            return children
        return [Piece(box, 0.5 * score)]
    parts = _islands(pixels, box, least)
    return [Piece(part, min(score, 0.7)) for part in parts] if parts else [Piece(box, score)]


def _slices(box: BoxPx, axis: Axis, runs: list[tuple[int, int]]) -> list[BoxPx]:
    """Return what is left of a box between runs of lines given in its own coordinates."""
    end = box.height if axis == 0 else box.width
    starts = [0, *(stop for _, stop in runs)]
    stops = [*(start for start, _ in runs), end]
    spans = [(a, b) for a, b in zip(starts, stops, strict=True) if b > a]
    if axis == 0:
        return [BoxPx(box.x0, box.y0 + a, box.x1, box.y0 + b) for a, b in spans]
    return [BoxPx(box.x0 + a, box.y0, box.x0 + b, box.y1) for a, b in spans]


def _strong_cuts(both: tuple[_Lines, _Lines], is_drawing: bool) -> _Cuts | None:
    """Return the clearest gutters along the better axis; the others show better when these are cut."""
    if is_drawing:
        return None  # bars and axes of a plot are as straight as pictures
    best: tuple[float, Axis, list[tuple[float, float, int, int]]] | None = None
    for axis, lines in zip(AXES, both, strict=True):
        found = []
        for start, stop in lines.runs:
            if start == 0 or stop == len(lines):
                continue
            before, after = lines.edge(start, -1), lines.edge(stop - 1, 1)
            colour = lines.middle[start]
            least_both = BOTH_EDGES if colour.min() >= 245 or colour.max() <= 12 else TINTED_EDGES
            if max(before, after) >= STRONG_EDGE and before + after >= least_both:
                found.append((max(before, after), 0.5 * (before + after), start, stop))
        if found and (best is None or max(found)[0] > best[0] + 0.02):
            best = max(found)[0], axis, found
    if best is None:
        return None
    clear, axis, found = best
    chosen = [gutter for gutter in found if gutter[0] >= clear - 0.15]
    return (
        axis,
        [(start, stop) for *_, start, stop in chosen],
        min(1.0, 0.5 + 0.6 * min(both for _, both, *_ in chosen)),
    )


def _weak_cuts(both: tuple[_Lines, _Lines], is_drawing: bool, least: int) -> _Cuts | None:
    """Return the widest white gap between drawings, which have no straight edge to go by."""
    if not is_drawing:
        return None
    gap = max(8, round(0.02 * max(len(lines) for lines in both)))
    found: list[tuple[int, Axis, tuple[int, int]]] = []
    for axis, lines in zip(AXES, both, strict=True):
        for start, stop in lines.runs:
            sides = min(start, len(lines) - stop)
            if lines.is_white[start] and stop - start >= gap and sides >= max(least, 0.2 * len(lines)):
                found.append((stop - start, axis, (start, stop)))
    if not found:
        return None
    _, axis, run = max(found)
    return axis, [run], 0.4


def _seam_cuts(both: tuple[_Lines, _Lines], least: int) -> _Cuts | None:
    """Return the straight seams between pictures that touch: one step in brightness along the whole of the region."""
    for axis, lines in zip(AXES, both, strict=True):
        step = max(1, lines.pixels.shape[1] // 256)
        sampled = lines.pixels[:, ::step].astype(np.int16)
        grey = sampled[..., 0] + sampled[..., 1] + sampled[..., 2]
        if len(grey) < 2 * least or grey.shape[1] < 64:
            continue
        jump = np.abs(np.diff(grey, axis=0))  # (n - 1, length)
        usual = cv2.blur(jump.mean(axis=1, dtype=np.float32)[:, None], (1, 41)).reshape(-1, 1) + 3.0
        is_step = (jump > SEAM_EXCESS * usual).astype(np.float32)
        share = np.sort([part.mean(axis=1) for part in np.array_split(is_step, 8, axis=1)], axis=0)  # (8, n - 1)
        clear = np.where(share[1] >= 0.3, is_step.mean(axis=1), 0.0)  # all along, with an eighth to spare
        clear[:least] = 0.0
        clear[len(clear) - least :] = 0.0
        cuts = [int(k) + 1 for k in np.flatnonzero(clear >= SEAM_SHARE) if clear[k] == clear[k - 3 : k + 4].max()]
        if cuts:
            return axis, [(k, k) for k in cuts], 0.5
    return None


def _islands(pixels: RgbImage, box: BoxPx, least: int) -> list[BoxPx]:
    """Return rectangular pictures on a plain ground that no straight cut can part, or nothing."""
    region = box.crop(pixels)
    scale = min(1.0, 800 / max(box.width, box.height))
    small = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else region
    for ground in (255, 0):
        far = _largest(small if ground == 0 else 255 - small) > SAME_COLOUR
        if not 0.01 < 1 - far.mean() < 0.6:
            continue
        content = cv2.morphologyEx(far.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, _, stats, _ = cv2.connectedComponentsWithStats(content, connectivity=4)
        boxes = []
        for x, y, w, h, area in stats[1:].tolist():
            if min(w, h) < least * scale:
                continue
            if area < 0.7 * w * h or not _has_straight_sides(far, x, y, w, h):
                continue
            boxes.append(BoxPx(x, y, x + w, y + h))
        boxes = [a for a in boxes if not any(a is not b and a.intersection_area(b) for b in boxes)]
        if len(boxes) > 1 and sum(b.area for b in boxes) >= 0.6 * content.sum():
            return [_scaled(b, 1 / scale, box) for b in boxes]
    return []


def _has_straight_sides(content: NDArray[np.bool_], x: int, y: int, w: int, h: int) -> bool:
    inside = content[y : y + h, x : x + w]
    k = 3
    sides = (inside[:k].any(0), inside[-k:].any(0), inside[:, :k].any(1), inside[:, -k:].any(1))
    return sum(float(side.mean()) > 0.6 for side in sides) >= 3


def _scaled(box: BoxPx, factor: float, inside: BoxPx) -> BoxPx:
    x0, y0 = inside.x0 + round(box.x0 * factor), inside.y0 + round(box.y0 * factor)
    x1, y1 = inside.x0 + round(box.x1 * factor), inside.y0 + round(box.y1 * factor)
    return BoxPx(x0, y0, min(inside.x1, x1), min(inside.y1, y1))


def _trimmed(
    pixels: RgbImage, box: BoxPx, *, ragged: bool, straight: bool = True
) -> tuple[BoxPx, tuple[_Lines, _Lines]]:
    """Return the box without the plain margins and frames at its sides, and its lines.

    `ragged` takes off pure white that ends on no straight edge, which may be the glass of a micrograph; `straight` what
    a straight edge ends.
    """
    both = _Lines(pixels, box, 0), _Lines(pixels, box, 1)
    for _ in range(4):
        rows, columns = (_inner(lines, ragged, straight) for lines in both)
        inner = BoxPx(box.x0 + columns[0], box.y0 + rows[0], box.x0 + columns[1], box.y0 + rows[1])
        if inner == box:
            break
        box, both = inner, (_Lines(pixels, inner, 0), _Lines(pixels, inner, 1))
    return box, both


def _inner(lines: _Lines, ragged: bool, straight: bool) -> tuple[int, int]:
    """Return the first and one past the last line that belong to the picture."""
    start, stop = 0, len(lines)
    for a, b in lines.runs:
        is_margin = (
            (ragged and lines.is_white[a]) or (straight and lines.edge(b - 1, 1) >= STRONG_EDGE)
            if a == start
            else False
        )
        if is_margin and b < stop:
            start = b
    for a, b in reversed(lines.runs):
        is_margin = (
            (ragged and lines.is_white[a]) or (straight and lines.edge(a, -1) >= STRONG_EDGE) if b == stop else False
        )
        if is_margin and a > start:
            stop = a
    return (start, stop) if stop - start >= 8 else (0, len(lines))


def _ground_share(region: RgbImage) -> tuple[NDArray[np.bool_], float]:
    step = max(1, max(region.shape[:2]) // 400)
    content = (_smallest(region[::step, ::step]) < 236).astype(np.bool_)
    return content, 1.0 - float(content.mean())


def _is_text(region: RgbImage) -> bool:
    """Return whether a region holds only small marks on white: a heading, a legend, a letter."""
    content, ground = _ground_share(region)
    if ground < 0.6:
        return False
    _, _, stats, _ = cv2.connectedComponentsWithStats(content.astype(np.uint8), connectivity=8)
    spans = [max(w / content.shape[1], h / content.shape[0]) for _, _, w, h, _ in stats[1:].tolist()]
    return max(spans, default=0.0) < 0.3


def _is_drawing(region: RgbImage) -> bool:
    """Return whether a region is drawn on white, in lines and flat colours like a plot, rather than photographed."""
    content, ground = _ground_share(region)
    if ground < 0.3 or not content.any():
        return ground >= 0.3
    step = max(1, max(region.shape[:2]) // 400)
    rows = region[::step].astype(np.int16)
    flat = _largest(np.abs(rows[:, 1:] - rows[:, :-1])) <= 2
    inside = _smallest(rows[:, 1:]) < 236
    if int(flat[inside].sum()) < 0.6 * int(inside.sum()) and ground < 0.9:
        return False
    colours = (region[::step, ::step][content] >> 5).astype(np.int32)
    counts = np.sort(np.bincount(colours[:, 0] * 64 + colours[:, 1] * 8 + colours[:, 2], minlength=512))[::-1]
    return bool(counts[:6].sum() >= 0.6 * counts.sum())


def _align(pixels: RgbImage, pieces: list[Piece]) -> list[Piece]:
    """Give a panel that ends in its own white ground the edge of its neighbours in the row or the column."""
    boxes = [piece.box for piece in pieces]
    for k in range(len(boxes)):
        for side in ("y0", "y1", "x0", "x1"):
            along = ("y0", "y1") if side[0] == "y" else ("x0", "x1")
            outward = min if side[1] == "0" else max
            box = boxes[k]
            mates = [b for b in boxes if b is not box and _overlap(b, box, along) > 0.5]
            if not mates:
                continue
            goal = outward(getattr(box, side), outward(getattr(b, side) for b in mates))
            if goal == getattr(box, side) or _ends_clearly(pixels, box, side):
                continue
            grown = replace(box, **{side: goal})
            if any(b is not box and b.intersection_area(grown) for b in boxes) or not _is_white_between(
                pixels, box, grown
            ):
                continue
            if _is_drawing(box.crop(pixels)):
                continue
            boxes[k] = grown
    return [Piece(box, piece.score) for box, piece in zip(boxes, pieces, strict=True)]


def _overlap(a: BoxPx, b: BoxPx, along: tuple[str, str]) -> float:
    low, high = along
    shared = min(getattr(a, high), getattr(b, high)) - max(getattr(a, low), getattr(b, low))
    return float(shared / min(getattr(a, high) - getattr(a, low), getattr(b, high) - getattr(b, low)))


def _ends_clearly(pixels: RgbImage, box: BoxPx, side: str) -> bool:
    line = {
        "y0": pixels[box.y0, box.x0 : box.x1],
        "y1": pixels[box.y1 - 1, box.x0 : box.x1],
        "x0": pixels[box.y0 : box.y1, box.x0],
        "x1": pixels[box.y0 : box.y1, box.x1 - 1],
    }[side]
    return float((_smallest(line) < 245).mean()) > STRONG_EDGE


def _is_white_between(pixels: RgbImage, box: BoxPx, grown: BoxPx) -> bool:
    outer = _smallest(grown.crop(pixels)[::2, ::2]) < 245
    inner = _smallest(box.crop(pixels)[::2, ::2]) < 245
    ring = outer.size - inner.size
    return bool(ring > 0 and (int(outer.sum()) - int(inner.sum())) <= 0.02 * ring)
