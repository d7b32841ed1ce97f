"""Straight lines and thin filled rectangles of a page: what a scale bar, an axis or a rule is drawn with."""

from __future__ import annotations

import math
from typing import Any

from pymupdf import mupdf

from harvester.geometry import BoxPt
from harvester.records import DrawnMark

MIN_LENGTH_PT = 2.0
MAX_LENGTH_PT = 400.0
MAX_THICK_PT = 12.0
"""A thicker rectangle is an area; in a taller path only its straight pieces count."""
MAX_REACH_PT = 30.0
"""Shorter side of the bounds of a path that is looked into (a bar with its end ticks)."""
MAX_POINTS = 16
"""A path with more corners is a curve of a plot or an outlined letter."""
MAX_LOOKS = 6000
"""Paths of one page that are looked into; at about 30 µs each a page costs less than 0.2 s."""
NEAR_PT = 30.0
MAX_MARKS_OF_FIGURE = 400
HAIR_PT = 0.1
"""How far the ends of an upright line may differ across it."""

_SQUARE_CAP = 2


class _Pieces(mupdf.FzPathWalker2):  # type: ignore[misc]
    """Collects the straight pieces of a path; `is_bent` as soon as it holds anything else."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("moveto", "lineto", "curveto", "closepath"):
            getattr(self, f"use_virtual_{name}")()
        self.pieces: list[tuple[float, float, float, float]] = []
        self.at = self.start = (0.0, 0.0)
        self.is_bent = False

    def moveto(self, _ctx: Any, x: float, y: float) -> None:
        self.at = self.start = (x, y)

    def lineto(self, _ctx: Any, x: float, y: float) -> None:
        if len(self.pieces) >= MAX_POINTS:
            self.is_bent = True
        else:
            self.pieces.append((*self.at, x, y))
        self.at = (x, y)

    def curveto(self, _ctx: Any, *_points: float) -> None:
        self.is_bent = True

    def closepath(self, _ctx: Any) -> None:
        self.lineto(_ctx, *self.start)


def is_worth_a_look(x0: float, y0: float, x1: float, y1: float) -> bool:
    """Say whether bounds in points may be those of a bar, with or without ticks."""
    short, long = sorted((x1 - x0, y1 - y0))
    return MIN_LENGTH_PT <= long <= MAX_LENGTH_PT and short <= min(MAX_REACH_PT, max(2.0, 0.8 * long))


def drawn_rectangle(rect: Any, rgb: tuple[int, int, int]) -> DrawnMark | None:
    """Return a filled path that is one upright rectangle, thin enough for a bar."""
    x0, y0, x1, y1 = rect.x0, rect.y0, rect.x1, rect.y1
    if not (x0 < x1 and y0 < y1) or min(x1 - x0, y1 - y0) > MAX_THICK_PT:
        return None
    return DrawnMark(BoxPt(x0, y0, x1, y1), y1 - y0 > x1 - x0, rgb)


def straight_lines(path: Any, ctm: Any, stroke: Any, rgb: tuple[int, int, int]) -> list[DrawnMark]:
    """Return the upright pieces of a stroked path with the length they are painted with; none of a bent path.

    MuPDF's own bounds of a stroke reach half a line width beyond butt ends, which would lengthen a short bar by several
    per cent.
    """
    walker = _Pieces()
    mupdf.fz_walk_path(mupdf.FzPath(mupdf.ll_fz_keep_path(path)), walker, walker.m_internal)
    if walker.is_bent:
        return []
    scale = math.sqrt(abs(ctm.a * ctm.d - ctm.b * ctm.c))
    width = max(0.05, float(stroke.linewidth) * scale)
    cap = width / 2 if stroke.start_cap == _SQUARE_CAP else 0.0
    marks = []
    for ax, ay, bx, by in walker.pieces:
        px, py = ctm.a * ax + ctm.c * ay + ctm.e, ctm.b * ax + ctm.d * ay + ctm.f
        qx, qy = ctm.a * bx + ctm.c * by + ctm.e, ctm.b * bx + ctm.d * by + ctm.f
        dx, dy = abs(qx - px), abs(qy - py)
        if not math.isfinite(dx + dy) or max(dx, dy) < MIN_LENGTH_PT or min(dx, dy) > HAIR_PT + 0.01 * max(dx, dy):
            continue
        along, across = (cap, width / 2) if dx > dy else (width / 2, cap)
        box = BoxPt(min(px, qx) - along, min(py, qy) - across, max(px, qx) + along, max(py, qy) + across)
        marks.append(DrawnMark(box, dy > dx, rgb))
    return marks


def marks_near(marks: list[DrawnMark], box: BoxPt) -> tuple[DrawnMark, ...]:
    """Return the marks on or near a figure, at most `MAX_MARKS_OF_FIGURE` (a figure with more is a plot)."""
    near = tuple(mark for mark in marks if mark.box.gap(box) <= NEAR_PT)
    return near[:MAX_MARKS_OF_FIGURE]
