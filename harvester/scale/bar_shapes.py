"""What a scale bar looks like before anything is known of its label; and bars among the lines a PDF page draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harvester.geometry import BoxPt
from harvester.records import DrawnMark, Figure, Panel

MIN_ASPECT = 2.5
"""Length over thickness from which a mark can be a bar."""
MAX_SHARE = 0.75
"""A longer mark, as a share of the panel's side, is a frame or an axis."""
BESIDE_PT = 20.0
"""How far outside its panel a drawn bar may stand."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A box in native pixels of a panel, to fractions of a pixel; it may lie outside of the panel."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    def overlap_x(self, other: Spot) -> float:
        return min(self.x1, other.x1) - max(self.x0, other.x0)

    def overlap_y(self, other: Spot) -> float:
        return min(self.y1, other.y1) - max(self.y0, other.y0)

    def gap(self, other: Spot) -> float:
        """Return the larger of the horizontal and the vertical distance, 0 when they touch or overlap."""
        return max(0.0, -self.overlap_x(other), -self.overlap_y(other))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may be a scale bar.

    Attributes:
        spot: From end to end, in native pixels of the panel.
        shape: How much it looks like a bar, 0 to 1.
        rgb: Its colour, 0 to 255.
    """

    spot: Spot
    is_vertical: bool
    found_in: Literal["vector", "pixels"]
    shape: float
    rgb: tuple[int, int, int]

    @property
    def length(self) -> float:
        return self.spot.height if self.is_vertical else self.spot.width

    @property
    def thickness(self) -> float:
        return self.spot.width if self.is_vertical else self.spot.height


def to_native(box: BoxPt, panel: Panel) -> Spot | None:
    """Return a box of the page in native pixels of the panel; None for a panel without a page."""
    if panel.page_box is None:
        return None
    height, width = panel.pixels.shape[:2]
    sx, sy = width / panel.page_box.width, height / panel.page_box.height
    x, y = panel.page_box.x0, panel.page_box.y0
    return Spot((box.x0 - x) * sx, (box.y0 - y) * sy, (box.x1 - x) * sx, (box.y1 - y) * sy)


def drawn_candidates(panel: Panel, figure: Figure) -> list[Candidate]:
    """Return the lines and rectangles drawn on or right beside a panel that have the shape of a bar.

    Lines that cross others along their length (axes with ticks, grids) are none; end ticks are no crossing.
    """
    if panel.page_box is None:
        return []
    near = [mark for mark in figure.marks if _stands_at(mark.box, panel.page_box)]
    found: list[Candidate] = []
    for mark in near:
        along, across = (mark.box.height, mark.box.width) if mark.is_vertical else (mark.box.width, mark.box.height)
        side = panel.page_box.height if mark.is_vertical else panel.page_box.width
        if (
            along < MIN_ASPECT * across
            or along > MAX_SHARE * side
            or _n_crossings(mark, near) > 2
            or _is_tick(mark, near)
        ):
            continue
        spot = to_native(mark.box, panel)
        if spot is None or any(_is_same(spot, c.spot, mark.is_vertical) for c in found):
            continue
        found.append(Candidate(spot, mark.is_vertical, "vector", 0.8, mark.rgb))
    return found


def _stands_at(box: BoxPt, panel: BoxPt) -> bool:
    """Whether a mark lies in a panel, or outside of it within its width or its height."""
    x, y = 0.5 * (box.x0 + box.x1), 0.5 * (box.y0 + box.y1)
    if not (panel.x0 - BESIDE_PT <= x <= panel.x1 + BESIDE_PT and panel.y0 - BESIDE_PT <= y <= panel.y1 + BESIDE_PT):
        return False
    return panel.x0 <= x <= panel.x1 or panel.y0 <= y <= panel.y1


def _n_crossings(mark: DrawnMark, others: Sequence[DrawnMark]) -> int:
    """Count the lines across a line, end ticks left out."""
    box, n = mark.box, 0
    length = max(box.width, box.height)
    for other in others:
        if other.is_vertical == mark.is_vertical or other.box.gap(box) > 0.5:
            continue
        at = (
            (other.box.y0 + other.box.y1 - 2 * box.y0)
            if mark.is_vertical
            else (other.box.x0 + other.box.x1 - 2 * box.x0)
        )
        n += 0.06 * length < at / 2 < 0.94 * length
    return n


def _is_tick(mark: DrawnMark, others: Sequence[DrawnMark]) -> bool:
    """Whether a longer line touches a line crosswise: a tick of an axis, or of a bar."""
    length = max(mark.box.width, mark.box.height)
    return any(
        other.is_vertical != mark.is_vertical
        and max(other.box.width, other.box.height) > 2 * length
        and other.box.gap(mark.box) <= 0.5
        for other in others
    )


def _is_same(a: Spot, b: Spot, is_vertical: bool) -> bool:
    """Whether two marks are one bar drawn twice, such as a bar and its shadow."""
    length = a.height if is_vertical else a.width
    off = max(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(a.y0 - b.y0), abs(a.y1 - b.y1))
    return off < 0.06 * length


def pair_up(candidates: Sequence[Candidate], labels: Sequence[Spot], *, reach: float = 1.6) -> list[tuple[int, int]]:
    """Tie labels to bars one to one, the closest first; (candidate, label) positions.

    Args:
        reach: How far a label may stand from its bar, in heights of its letters.
    """
    pairs = []
    for i, candidate in enumerate(candidates):
        for j, label in enumerate(labels):
            distance = label_distance(candidate, label)
            if distance <= reach:
                pairs.append((distance, i, j))
    taken: list[tuple[int, int]] = []
    for _, i, j in sorted(pairs):
        if all(i != a and j != b for a, b in taken):
            taken.append((i, j))
    return taken


def label_distance(candidate: Candidate, label: Spot) -> float:
    """Return how far a label stands from a bar in heights of its letters; the middles count a little."""
    bar = candidate.spot
    x, y = 0.5 * (label.x0 + label.x1), 0.5 * (label.y0 + label.y1)
    if candidate.thickness > 0.9 * label.height and bar.x0 < x < bar.x1 and bar.y0 < y < bar.y1:
        return math.inf  # the ground that a label is printed on
    em = max(4.0, min(label.width, label.height))
    gap = bar.gap(label) / em
    if candidate.is_vertical:
        off = abs(bar.y0 + bar.y1 - label.y0 - label.y1) / 2 / max(bar.height, label.height)
    else:
        off = abs(bar.x0 + bar.x1 - label.x0 - label.x1) / 2 / max(bar.width, label.width)
    return gap + 0.5 * off


def bar_of(candidate: Candidate, candidates: Sequence[Candidate]) -> Candidate:
    """Return the bar that a candidate is a piece of, an end tick of or a side of the outline of; else itself."""
    for other in candidates:
        if _is_piece(candidate, other) or _is_end_of(candidate, other):
            return other
        if other.is_vertical != candidate.is_vertical or other.shape < 0.5:
            continue
        a, b = candidate.spot, other.spot
        ends = (b.y0 - a.y0, a.y1 - b.y1) if candidate.is_vertical else (b.x0 - a.x0, a.x1 - b.x1)
        is_inside = min(ends) > 0.5 and max(ends) < max(6.0, 0.1 * candidate.length) and abs(ends[0] - ends[1]) < 2.5
        contrast = max(abs(p - q) for p, q in zip(candidate.rgb, other.rgb, strict=True))
        if is_inside and a.gap(b) < 1.5 and contrast > 120:
            return other
    return candidate


def _is_piece(candidate: Candidate, whole: Candidate) -> bool:
    """Whether a candidate is a part of another one of its colour: JPEG blocks of one bar differ a little."""
    a, b = candidate.spot, whole.spot
    if whole.is_vertical != candidate.is_vertical or whole.shape < 0.45 or whole.length < 1.3 * candidate.length:
        return False
    along, across = (a.overlap_y(b), a.overlap_x(b)) if whole.is_vertical else (a.overlap_x(b), a.overlap_y(b))
    colour = max(abs(p - q) for p, q in zip(candidate.rgb, whole.rgb, strict=True))
    thick = 1.6 * max(candidate.thickness, 2.0)
    return along > 0.9 * candidate.length and across > -1.0 and colour < 50 and whole.thickness < thick


def _is_end_of(tick: Candidate, bar: Candidate) -> bool:
    """Whether a candidate is the tick across one end of another one."""
    if tick.is_vertical == bar.is_vertical or bar.length < 1.5 * tick.length or bar.shape < 0.3:
        return False
    t, b = tick.spot, bar.spot
    at = (t.y0 + t.y1 - b.y0 - b.y1) / bar.length if bar.is_vertical else (t.x0 + t.x1 - b.x0 - b.x1) / bar.length
    return t.gap(b) < 1.0 and 0.85 < abs(at) < 1.15
