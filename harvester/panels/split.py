"""Figures cut into panels, each with its letter, its part of the caption and the finest pixels there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harvester.geometry import BoxPt, BoxPx, RgbImage, px_to_pt
from harvester.letters import split_caption
from harvester.panels.gutters import MIN_SHARE, Piece, sort_reading, split_raster
from harvester.panels.labels import label_panels
from harvester.records import Figure, Panel, Raster
from harvester.settings import PanelSettings

TOUCH_PT = 1.0
"""Parts closer than this abut: they may be strips of one picture."""
INSIDE_SHARE = 0.85
"""A part that lies in another by this share is an inset or a drawn mark: it stays with the panel it lies in."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A panel without its words: where it is in the figure's raster and on the page, and its pixels."""

    box: BoxPx
    page_box: BoxPt | None
    pixels: RgbImage
    score: float


def split_figure(figure: Figure, settings: PanelSettings) -> list[Panel]:
    """Cut a figure into its panels.

    Pictures stored apart are apart; each is then cut along its own gutters. What is drawn between them (plots) is cut
    from the figure's raster. Insets stay in the panel they lie in.

    Args:
        figure: With pixels (H, W, 3) uint8 RGB, its parts and the short texts near it.

    Returns:
        At least one panel, in reading order, inside the figure's raster and none overlapping another. `pixels` is a
        view of the picture's own raster where the panel lies in one picture, otherwise of the figure's.
    """
    cells = _cells(figure, settings.min_panel_px)
    caption = split_caption(figure.caption)
    named = label_panels([cell.box for cell in cells], _letters_px(figure), caption)
    panels = []
    labels = [label for label, _ in named]
    for k, (cell, (label, certainty)) in enumerate(zip(cells, named, strict=True)):
        key = label.lower() if label and labels.count(label) == 1 else f"p{k + 1}"
        side = _side(k, cells) if caption.by_side else label
        panels.append(
            Panel(
                panel_id=f"{figure.figure_id}/{key}",
                figure_id=figure.figure_id,
                label=label,
                caption=caption.text_for(side),
                box=cell.box,
                page_box=cell.page_box,
                pixels=cell.pixels,
                split_score=round(cell.score * certainty, 3),
            )
        )
    return panels


def _cells(figure: Figure, min_panel_px: int) -> list[_Cell]:
    height, width = figure.pixels.shape[:2]
    placed = _placed(figure, min_panel_px)
    if not placed:
        whole = Raster(figure.pixels, figure.page_box, figure.pixels_from)
        return _cut(whole, BoxPx(0, 0, width, height), min_panel_px)
    cells = []
    for raster, place in placed:
        # `min_panel_px` counts in the figure's raster
        scale = raster.pixels.shape[1] / place.width
        cells += _cut(raster, place, max(8, round(min_panel_px * scale)))
    cells += _drawn_between(figure, [place for _, place in placed], min_panel_px)
    order = sort_reading([Piece(cell.box, 0.0) for cell in cells])
    by_box = {cell.box: cell for cell in cells}
    return [by_box[piece.box] for piece in order]


def _placed(figure: Figure, min_panel_px: int) -> list[tuple[Raster, BoxPx]]:
    """Return the pictures the figure is made of, each with its place in the figure's raster; nothing when unknown."""
    if figure.page_box is None or any(part.page_box is None for part in figure.parts):
        return []
    height, width = figure.pixels.shape[:2]
    least = max(min_panel_px, MIN_SHARE * max(height, width))
    found: list[tuple[Raster, BoxPx]] = []
    for part in _joined(figure):
        assert part.page_box is not None
        place = _pt_to_px(part.page_box, figure.page_box, width, height)
        if place is None or min(place.width, place.height) < least:
            continue
        found.append((part, place))
    found.sort(key=lambda item: -item[1].area)
    kept: list[tuple[Raster, BoxPx]] = []
    for part, place in found:
        shared = max((place.intersection_area(other) for _, other in kept), default=0)
        if shared >= INSIDE_SHARE * place.area:
            continue
        if shared > 0.02 * place.area:
            return []
        for _, other in kept:
            place = _cut_back(place, other)
        kept.append((part, place))
    return kept


def _joined(figure: Figure) -> list[Raster]:
    """Return the parts, with strips that continue one picture put together as a crop of the figure's raster."""
    groups = [[part] for part in figure.parts]
    joined = True
    while joined:
        joined = False
        for a in range(len(groups)):
            for b in range(a + 1, len(groups)):
                if any(_continues(first, second) for first in groups[a] for second in groups[b]):
                    groups[a] += groups.pop(b)
                    joined = True
                    break
            if joined:
                break
    return [group[0] if len(group) == 1 else _crop_of(figure, group) for group in groups]


def _crop_of(figure: Figure, group: list[Raster]) -> Raster:
    boxes = [part.page_box for part in group if part.page_box is not None]
    union = boxes[0]
    for box in boxes[1:]:
        union = union.union(box)
    assert figure.page_box is not None
    height, width = figure.pixels.shape[:2]
    place = _pt_to_px(union, figure.page_box, width, height) or BoxPx(0, 0, width, height)
    return Raster(place.crop(figure.pixels), union, figure.pixels_from)


def _continues(first: Raster, second: Raster) -> bool:
    """Return whether two parts abut along a whole side and the picture goes on across it."""
    a, b = first.page_box, second.page_box
    if a is None or b is None or a.gap(b) > TOUCH_PT:
        return False
    if abs(a.x0 - b.x0) < TOUCH_PT and abs(a.x1 - b.x1) < TOUCH_PT and abs(a.y1 - b.y0) < TOUCH_PT:
        upper, lower = first.pixels, second.pixels
    elif abs(a.x0 - b.x0) < TOUCH_PT and abs(a.x1 - b.x1) < TOUCH_PT and abs(b.y1 - a.y0) < TOUCH_PT:
        upper, lower = second.pixels, first.pixels
    elif abs(a.y0 - b.y0) < TOUCH_PT and abs(a.y1 - b.y1) < TOUCH_PT and abs(a.x1 - b.x0) < TOUCH_PT:
        upper, lower = first.pixels.swapaxes(0, 1), second.pixels.swapaxes(0, 1)
    elif abs(a.y0 - b.y0) < TOUCH_PT and abs(a.y1 - b.y1) < TOUCH_PT and abs(b.x1 - a.x0) < TOUCH_PT:
        upper, lower = second.pixels.swapaxes(0, 1), first.pixels.swapaxes(0, 1)
    else:
        return False
    if min(len(upper), len(lower)) < 4:
        return True
    n = min(upper.shape[1], lower.shape[1])
    columns_upper = np.linspace(0, upper.shape[1] - 1, n).astype(int)
    columns_lower = np.linspace(0, lower.shape[1] - 1, n).astype(int)
    above = upper[-3:, columns_upper].astype(np.int16)
    below = lower[:3, columns_lower].astype(np.int16)
    across = float(np.abs(above[-1] - below[0]).mean())
    within = 0.5 * float(np.abs(np.diff(above, axis=0)).mean() + np.abs(np.diff(below, axis=0)).mean())
    return across <= 2.0 * within + 3.0


def _cut(raster: Raster, place: BoxPx, least_px: int) -> list[_Cell]:
    """Split one raster and put its pieces into the figure's raster, where the raster covers `place`."""
    height, width = raster.pixels.shape[:2]
    sx, sy = place.width / width, place.height / height
    cells = []
    for piece in split_raster(raster.pixels, least_px):
        box = piece.box
        x0, y0 = place.x0 + round(box.x0 * sx), place.y0 + round(box.y0 * sy)
        x1, y1 = place.x0 + round(box.x1 * sx), place.y0 + round(box.y1 * sy)
        page_box = None
        if raster.page_box is not None:
            page_box = px_to_pt(box, raster_width_px=width, raster_height_px=height, page_box=raster.page_box)
        in_figure = BoxPx(x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))
        cells.append(_Cell(in_figure, page_box, box.crop(raster.pixels), piece.score))
    return cells


def _drawn_between(figure: Figure, places: list[BoxPx], min_panel_px: int) -> list[_Cell]:
    """Return panels of the figure that lie in no stored picture: plots and schemes drawn on the page."""
    height, width = figure.pixels.shape[:2]
    if sum(place.area for place in places) > 0.9 * height * width or figure.page_box is None:
        return []
    rest = figure.pixels.copy()
    for place in places:
        place.grown(3, width_px=width, height_px=height).crop(rest)[:] = 255
    if float((rest[::4, ::4, 1] < 200).mean()) < 0.005:
        return []
    cells = []
    for piece in split_raster(rest, max(min_panel_px, round(0.1 * max(height, width)))):
        box = piece.box
        content = float((box.crop(rest)[::2, ::2, 1] < 200).mean())
        if content < 0.01 or box.area < 0.02 * height * width or min(box.width, box.height) < 0.1 * max(height, width):
            continue
        if any(box.intersection_area(place) for place in places):
            continue
        page_box = px_to_pt(box, raster_width_px=width, raster_height_px=height, page_box=figure.page_box)
        cells.append(_Cell(box, page_box, box.crop(figure.pixels), 0.7 * piece.score))
    return cells


def _pt_to_px(box: BoxPt, page_box: BoxPt, width_px: int, height_px: int) -> BoxPx | None:
    sx, sy = width_px / page_box.width, height_px / page_box.height
    x0, y0 = max(0, round((box.x0 - page_box.x0) * sx)), max(0, round((box.y0 - page_box.y0) * sy))
    x1, y1 = min(width_px, round((box.x1 - page_box.x0) * sx)), min(height_px, round((box.y1 - page_box.y0) * sy))
    return BoxPx(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _cut_back(place: BoxPx, other: BoxPx) -> BoxPx:
    """Return the place without the thin strip, a rounding of the page, that it shares with another."""
    if not place.intersection_area(other):
        return place
    dx = min(place.x1, other.x1) - max(place.x0, other.x0)
    dy = min(place.y1, other.y1) - max(place.y0, other.y0)
    if dx < dy:
        left = place.x0 >= other.x0
        return (
            BoxPx(place.x0 + dx, place.y0, place.x1, place.y1)
            if left
            else BoxPx(place.x0, place.y0, place.x1 - dx, place.y1)
        )
    top = place.y0 >= other.y0
    return (
        BoxPx(place.x0, place.y0 + dy, place.x1, place.y1)
        if top
        else BoxPx(place.x0, place.y0, place.x1, place.y1 - dy)
    )


def _letters_px(figure: Figure) -> list[tuple[str, float, float, float]]:
    """Return texts near the figure with centre x, y and height in pixels of its raster; they may lie outside of it."""
    if figure.page_box is None:
        return []
    height, width = figure.pixels.shape[:2]
    sx, sy = width / figure.page_box.width, height / figure.page_box.height
    return [
        (
            text,
            (0.5 * (box.x0 + box.x1) - figure.page_box.x0) * sx,
            (0.5 * (box.y0 + box.y1) - figure.page_box.y0) * sy,
            box.height * sy,
        )
        for text, box in figure.letters
    ]


def _side(k: int, cells: list[_Cell]) -> str | None:
    """Return LEFT, RIGHT, TOP or BOTTOM for one of two panels."""
    if len(cells) != 2:
        return None
    own, other = cells[k].box, cells[1 - k].box
    if min(own.y1, other.y1) > max(own.y0, other.y0):
        return "LEFT" if own.x0 < other.x0 else "RIGHT"
    return "TOP" if own.y0 < other.y0 else "BOTTOM"
