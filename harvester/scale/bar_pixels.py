"""Bars burned into a picture: a straight strip of one colour whose two long edges begin and end together.

Tissue has no edge that keeps to one row of pixels for long; rules, frames, axes and scale bars do. So long straight
edges are looked for first, in every colour channel, then paired across the thickness of a bar, and each pair is
measured on the picture itself: how even its colour is, how far it stands out, where it ends to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage
from harvester.scale.bar_chained import CHAINED_SHAPE, chained_strips
from harvester.scale.bar_shapes import MIN_ASPECT, Candidate, Spot

MAX_SIDE_PX = 1800
"""A larger picture is looked through at this size; the bar found is measured in the picture's own pixels."""
MIN_RUN_PX = 9
MIN_RUN_SHARE = 0.022
"""Shortest straight edge, as a share of the picture's longer side."""
MIN_STEP = 16
"""Grey levels by which a channel must change across the edge of a bar, over two rows."""
MIN_COLOUR_STEP = 60
"""The same for blue against red, where a coloured bar goes from dark nuclei to pale ground without a break."""
MAX_THICK_SHARE = 0.05
MAX_LENGTH_SHARE = 0.7
DRAWN_ASPECT, DRAWN_SHAPE = 40.0, 0.5
"""Nothing in tissue is straight and forty times as long as thick, however its colour changes with its ground."""
MAX_RUNS = 900
MAX_FOUND = 20
MAX_CUT = 3
"""How many edges below are tried for one above that goes on beyond them."""
GAP_PX = 2
"""Columns of an edge that may be missing: a speck of noise, the foot of a letter."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Run:
    """A straight horizontal edge: columns x0 <= x < x1 at row y, the picture darker (-1) or lighter (1) below it."""

    x0: int
    x1: int
    y: float
    sign: int
    channel: int


def pixel_candidates(pixels: RgbImage) -> list[Candidate]:
    """Return what may be a bar in a picture (H, W, 3) uint8 RGB, the likeliest first, at most `MAX_FOUND`."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(height, width))
    small = pixels if scale == 1.0 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found: list[Candidate] = []
    for is_vertical in (False, True):
        image = np.ascontiguousarray(small.transpose(1, 0, 2)) if is_vertical else small
        native = pixels.transpose(1, 0, 2) if is_vertical else pixels
        seen: set[tuple[int, ...]] = set()
        for x0, y0, x1, y1 in _strips(image):
            key = (round(x0 / 4), round(y0), round(x1 / 4), round(y1))  # one strip shows in several channels
            if key in seen:
                continue
            seen.add(key)
            measured = _measure(native, x0 / scale, y0 / scale, x1 / scale, y1 / scale, 1 / scale)
            if measured is None:
                continue
            spot, shape, rgb = measured
            found.append(Candidate(_upright(spot, is_vertical), is_vertical, "pixels", shape, rgb))
        found += [
            Candidate(_upright(spot, is_vertical), is_vertical, "pixels", CHAINED_SHAPE, (0, 0, 0))
            for spot in chained_strips(native)
        ]
    return _best(found)


def _upright(spot: Spot, is_vertical: bool) -> Spot:
    return Spot(spot.y0, spot.x0, spot.y1, spot.x1) if is_vertical else spot


def _strips(image: RgbImage) -> list[tuple[float, float, float, float]]:
    """Return boxes between a falling and a rising edge (or the reverse) that share most of their columns."""
    height, width = image.shape[:2]
    thickest = max(6.0, MAX_THICK_SHARE * max(height, width))
    strips: list[tuple[float, float, float, float]] = []
    runs = _runs(image)
    by_key: dict[tuple[int, int], list[_Run]] = {}
    for run in runs:
        by_key.setdefault((run.channel, run.sign), []).append(run)
    by_key = {key: group + _joined(group) for key, group in by_key.items()}
    for (channel, sign), tops in by_key.items():
        bottoms = by_key.get((channel, -sign), [])
        if not bottoms:
            continue
        ys = np.array([b.y for b in bottoms])
        x0s, x1s = np.array([b.x0 for b in bottoms]), np.array([b.x1 for b in bottoms])
        for top in tops:
            thick = ys - top.y
            shared = np.minimum(x1s, top.x1) - np.maximum(x0s, top.x0)
            longest = np.maximum(x1s, top.x1) - np.minimum(x0s, top.x0)
            is_near = (thick >= 0.8) & (thick <= thickest)
            fits = is_near & (shared >= 0.6 * longest) & (longest >= MIN_ASPECT * thick)
            fits &= longest <= MAX_LENGTH_SHARE * max(width, 0.6 * height)
            if fits.any():
                bottom = bottoms[int(np.argmin(np.where(fits, thick, np.inf)))]
                strips.append((min(top.x0, bottom.x0), top.y, max(top.x1, bottom.x1), bottom.y))
            # an edge of the tissue may go on where that of the bar ends
            fits = is_near & (shared < 0.6 * longest) & (shared >= np.maximum(MIN_RUN_PX, 3.0 * thick))
            fits &= shared >= 0.6 * np.minimum(x1s - x0s, top.x1 - top.x0)
            for k in sorted(np.flatnonzero(fits).tolist(), key=thick.__getitem__)[:MAX_CUT]:
                strips.append((max(top.x0, bottoms[k].x0), top.y, min(top.x1, bottoms[k].x1), bottoms[k].y))
    return strips


def _joined(runs: list[_Run]) -> list[_Run]:
    """Return the edges that go on behind a gap (dark nuclei under a dark bar, a letter that touches it)."""
    runs = sorted(runs, key=lambda run: run.x0)
    longer = []
    for k, first in enumerate(runs):
        x1, covered, y = first.x1, first.x1 - first.x0, first.y
        for other in runs[k + 1 :]:
            gap = other.x0 - x1
            if abs(other.y - y) < 0.7 and gap >= -2 and gap <= 0.35 * (covered + other.x1 - other.x0):
                x1, covered = other.x1, covered + other.x1 - other.x0
        if x1 > first.x1:
            longer.append(_Run(first.x0, x1, first.y, first.sign, first.channel))
    return longer


def _runs(image: RgbImage) -> list[_Run]:
    height, width = image.shape[:2]
    shortest = max(MIN_RUN_PX, round(MIN_RUN_SHARE * max(height, width)))
    if height < 5 or width < shortest + 2:
        return []
    along = cv2.getStructuringElement(cv2.MORPH_RECT, (shortest, 1))
    bridge = cv2.getStructuringElement(cv2.MORPH_RECT, (GAP_PX + 1, 1))
    planes = [plane.astype(np.int16) for plane in cv2.split(image)]
    runs: list[_Run] = []
    for channel, value in enumerate([*planes, planes[2] - planes[0]]):
        least = MIN_STEP if channel < len(planes) else MIN_COLOUR_STEP
        step = np.zeros_like(value)
        step[1:-1] = value[2:] - value[:-2]
        for sign in (-1, 1):
            rising = np.clip(step * sign, 0, 255).astype(np.uint8)
            # the crest of the edge only: both neighbours' rows lower or equal
            mask = (rising >= least).astype(np.uint8)
            mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, bridge)
            mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, along)
            _n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            order: list[int] = (np.argsort(-stats[1:, cv2.CC_STAT_WIDTH])[: MAX_RUNS // 6] + 1).tolist()
            for k in order:
                x, y, w, h, _ = stats[k]
                rows = rising[y : y + h, x : x + w].astype(np.float32)
                rows = np.where(labels[y : y + h, x : x + w] == k, rows, 0)
                for crest, x0, x1 in _straight(rows, shortest):
                    runs.append(_Run(int(x + x0), int(x + x1), float(y + crest), sign, channel))
    return runs


def _straight(rows: Floats, shortest: int) -> list[tuple[float, int, int]]:
    """Return (row, first column, end) of the straight edges in a patch of edge strength."""
    if rows.shape[0] > 40:
        return []
    weight = rows.sum(1)
    found = []
    for _ in range(3 if rows.shape[0] > 4 else 1):
        crest = int(np.argmax(weight))
        if weight[crest] <= 0:
            break
        lo, hi = max(0, crest - 1), min(rows.shape[0], crest + 2)
        band = rows[lo:hi]
        strong = np.flatnonzero(band.max(0) > 0)
        if len(strong) >= shortest:
            total = band.sum()
            centre = float((band.sum(1) * np.arange(lo, hi)).sum() / total)
            found.append((centre, int(strong[0]), int(strong[-1]) + 1))
        weight[lo:hi] = 0
    return found


def _measure(
    image: RgbImage, x0: float, y0: float, x1: float, y1: float, unit: float
) -> tuple[Spot, float, tuple[int, int, int]] | None:
    """Measure a strip in the picture's own pixels; None when it is no even strip with two ends.

    Args:
        x0, y0, x1, y1: About where the strip is; rows are those of its edges.
        unit: Own pixels per pixel of the picture it was found in.
    """
    height, width = image.shape[:2]
    top, bottom = y0 + 0.5, y1 + 0.5  # an edge found at row y lies in the middle of rows y-1 and y+1
    core0, core1 = (
        int(np.ceil(top + 0.2 * (bottom - top) - 0.5)),
        int(np.floor(bottom - 0.2 * (bottom - top) - 0.5)) + 1,
    )
    if core1 <= core0:
        middle = round(0.5 * (top + bottom) - 0.5)
        core0, core1 = middle, middle + 1
    core0, core1 = max(0, core0), min(height, core1)
    a, b = max(0, round(x0)), min(width, round(x1))
    if core1 <= core0 or b - a < 6:
        return None
    reach = max(8, int(0.25 * (b - a)))
    left, right = max(0, a - reach), min(width, b + reach)
    line = image[core0:core1, left:right].astype(np.float32).mean(0)  # (columns, 3)
    inner = line[a - left + (b - a) // 8 : b - left - (b - a) // 8]
    colour = np.median(inner, 0)
    away = max(2, int(np.ceil(unit)) + 1)
    above0, above1 = max(0, int(top) - 2 * away), max(0, int(np.floor(top - 0.5)) - away + 1)
    below0, below1 = min(height, int(np.ceil(bottom + 0.5)) + away - 1), min(height, int(bottom) + 2 * away + 1)
    if above1 <= above0 or below1 <= below0:
        return None
    above = image[above0:above1, left:right].astype(np.float32).mean(0)
    below = image[below0:below1, left:right].astype(np.float32).mean(0)
    ground = 0.5 * float(np.median(np.linalg.norm(above - colour, axis=1) + np.linalg.norm(below - colour, axis=1)))
    if float(np.median(np.abs(inner - colour).sum(1))) > 12.0 + 0.4 * ground:
        return None  # far from even: no need to look for its ends
    ends = _ends(line, colour, 0.5 * (above + below), a - left, b - left)
    if ends is None:
        return None
    begin, end = ends
    length, thick = end - begin, bottom - top
    lo, hi = int(np.ceil(begin + 0.5)), int(np.floor(end - 0.5))
    if length < MIN_ASPECT * thick or hi - lo < 5:
        return None
    inside = line[lo:hi]
    spread = float(np.sqrt(((inside - np.median(inside, 0)) ** 2).sum(1).mean()))
    off_above = np.linalg.norm(above[lo:hi] - colour, axis=1)
    off_below = np.linalg.norm(below[lo:hi] - colour, axis=1)
    far = np.minimum(off_above, off_below)
    contrast = float(np.median(far))
    seen = float((far > max(18.0, 0.25 * contrast, 2.0 * spread)).mean())
    around = float(np.sqrt(np.concatenate([above[lo:hi], below[lo:hi]]).var(0).sum()))
    evenness = 1.0 / (1.0 + (spread / max(6.0, 0.12 * contrast)) ** 2)
    purity = _purity(colour)
    shape = evenness * min(1.0, contrast / 90.0) * min(1.0, seen / 0.8) ** 2
    shape *= 0.55 + 0.45 * max(purity, min(1.0, around / 60.0) * 0.5)
    if length >= DRAWN_ASPECT * thick and seen >= 0.6 and contrast >= 30.0:
        shape = max(shape, DRAWN_SHAPE)
    spot = Spot(left + begin, top, left + end, bottom)
    red, green, blue = (round(float(v)) for v in colour)
    return spot, float(shape), (red, green, blue)


def _purity(colour: Floats) -> float:
    """Return how much a colour is an ink rather than a stain: black, white or strong, 0 to 1."""
    lo, hi = float(colour.min()), float(colour.max())
    black = 1.0 - hi / 90.0
    white = (lo - 200.0) / 50.0
    strong = (hi - lo - 110.0) / 80.0
    return float(np.clip(max(black, white, strong), 0.0, 1.0))


def _ends(line: Floats, colour: Floats, ground: Floats, a: int, b: int) -> tuple[float, float] | None:
    """Return where a strip begins and ends, to a fraction of a pixel, or None when it does not end.

    From the middle outwards, until the colour has gone halfway to the ground for more than `GAP_PX` pixels.
    """
    off = np.linalg.norm(line - colour, axis=1)
    contrast = float(np.median(np.linalg.norm(ground - colour, axis=1)[a:b]))
    loose = max(14.0, 0.5 * contrast)
    wide = _walk_out(off, loose, (a + b) // 2)
    # White glass beside a white bar differs from it by little, but by more than the bar does from itself. Where what
    # goes on is plainly of another colour, the stricter end is the bar's; specks inside a bar come back to its own.
    inside = float(np.median(off[a + (b - a) // 8 : b - (b - a) // 8]))
    narrow = _walk_out(off, float(np.clip(4.0 * inside + 8.0, 14.0, loose)), (a + b) // 2)
    if wide is None or narrow is None:
        return wide or narrow
    other = max(18.0, 5.0 * inside, 0.1 * contrast)
    standing = np.linalg.norm(line - ground, axis=1)

    def goes_on(first: float, end: float) -> bool:
        """Whether a piece is of the strip: it stands out from above and below as the rest does, or has its colour."""
        piece = slice(max(0, round(first)), max(1, round(first) + 1, round(end)))
        return bool(np.median(standing[piece]) > 0.5 * contrast or np.median(off[piece]) <= other)

    # colour is saved at half the pixels, which blurs its ends by three; white has none
    slack = max(2.0 if float(colour.min()) > 225 else 4.0, 0.015 * (b - a))
    begin, end = wide
    if narrow[0] - begin > slack and not goes_on(begin, narrow[0]):
        begin = narrow[0]
    if end - narrow[1] > slack and not goes_on(narrow[1], end):
        end = narrow[1]
    return begin, end


def _walk_out(off: Floats, half: float, middle: int) -> tuple[float, float] | None:
    """Walk both ways from the middle until more than `GAP_PX` pixels are off by more than `half`."""

    def walk(step: int) -> float | None:
        x, last = middle, middle
        while 0 <= x < len(off):
            if off[x] <= half:
                last = x
            elif abs(x - last) > GAP_PX:
                break
            x += step
        else:
            return None
        out = last + step
        beyond = [float(off[i]) for i in (out, out + step, out + 2 * step) if 0 <= i < len(off)]
        # the share of the pixel on the edge that is still bar
        level = 0.5 * max(beyond)
        inner, outer = float(off[last]), float(off[out])
        if outer <= inner:
            return float(last)
        return last + step * float(np.clip((level - inner) / (outer - inner), -0.5, 1.0))

    first, final = walk(-1), walk(1)
    if first is None or final is None or final - first < 5:
        return None
    # centres of pixels to edges between pixels
    return first + 0.5, final + 0.5


def _best(found: list[Candidate]) -> list[Candidate]:
    """Keep one of those that are the same strip seen in several channels."""
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: -c.shape):
        s = candidate.spot
        if any(
            c.is_vertical == candidate.is_vertical
            and c.spot.overlap_x(s) > 0.6 * min(c.spot.width, s.width)
            and c.spot.overlap_y(s) > 0.4 * min(c.spot.height, s.height)
            for c in kept
        ):
            continue
        kept.append(candidate)
        if len(kept) == MAX_FOUND:
            break
    return kept
