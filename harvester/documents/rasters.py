"""The pixels of a figure: native samples where they are what is seen, a render on the same pixel grid where not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.documents.painting import Placement, visible_samples
from harvester.documents.pdf import PdfPage
from harvester.geometry import BoxPt, RgbImage
from harvester.records import Raster
from harvester.settings import DocumentSettings

DRAWING_PX_PER_PT = 300 / 72
"""Scale of a figure that has no samples of its own."""
MAX_TILES = 400
MAX_PATCHES = 60
SAME_LEVELS = 6
"""Grey levels by which a render may differ from the samples it shows: colour conversion rounds, overlays do not."""
SAME_COLOURS = 40
"""The same for the colours: those of a JPEG may be stored at half its size, and a render repeats them in blocks."""


@dataclass(slots=True)
class _Piece:
    box: BoxPt
    pixels: RgbImage
    order: int
    is_joined: bool = False

    @property
    def scale(self) -> tuple[float, float]:
        return self.pixels.shape[1] / self.box.width, self.pixels.shape[0] / self.box.height


def figure_parts(page: PdfPage, placements: Sequence[Placement], settings: DocumentSettings) -> list[Raster]:
    """Return the single pictures among some placements, tiles and strips joined, each with its native pixels.

    A picture whose samples are not what is seen (soft mask, odd clip, angle, transparency) is rendered at its scale.
    """
    pieces: list[_Piece] = []
    rendered: list[tuple[int, Raster]] = []
    for placement in placements[:MAX_TILES]:
        pixels = page.decode(placement)
        if pixels is not None:
            pieces.append(_Piece(_box_of_samples(placement), pixels, placement.order))
        elif min(placement.box.width, placement.box.height) >= 12.0:
            shape = _render_shape(placement.box, placement.scale, placement.scale, settings)
            picture = page.render(placement.box, *shape)
            rendered.append((placement.order, Raster(picture, placement.box, "render")))
    joined = [(p.order, Raster(p.pixels, p.box, "pdf")) for p in _join(pieces)]
    everything = sorted(joined + rendered, key=lambda item: item[0])
    return [raster for _, raster in everything if min(raster.pixels.shape[:2]) >= 2]


def _box_of_samples(placement: Placement) -> BoxPt:
    """Return where the whole samples inside the visible box lie; the box itself when nothing is cut off."""
    if placement.box == placement.whole:
        return placement.box
    width, height = placement.upright_size_px()
    x0, y0, x1, y1 = visible_samples(placement, width, height)
    whole = placement.whole
    sx, sy = whole.width / width, whole.height / height
    return BoxPt(whole.x0 + x0 * sx, whole.y0 + y0 * sy, whole.x0 + x1 * sx, whole.y0 + y1 * sy)


def _join(pieces: list[_Piece]) -> list[_Piece]:
    """Join pieces that touch along a whole edge at one scale and continue each other's picture."""
    changed = len(pieces) > 1
    while changed:
        changed = False
        for i, a in enumerate(pieces):
            for j in range(i + 1, len(pieces)):
                merged = _join_two(a, pieces[j], upright=True) or _join_two(a, pieces[j], upright=False)
                if merged is not None:
                    pieces = [p for k, p in enumerate(pieces) if k not in (i, j)]
                    pieces.insert(i, merged)
                    changed = True
                    break
            if changed:
                break
    return pieces


def _join_two(a: _Piece, b: _Piece, *, upright: bool) -> _Piece | None:
    """Join along a horizontal edge (`upright`) or a vertical one; None when the two are not parts of one picture."""
    if upright:
        first, second = (a, b) if a.box.y0 <= b.box.y0 else (b, a)
        along = (first.box.x0, first.box.x1, second.box.x0, second.box.x1)
        seam_pt, steps = second.box.y0 - first.box.y1, (first.scale[1], second.scale[1])
        sizes = (first.pixels.shape[1], second.pixels.shape[1])
    else:
        first, second = (a, b) if a.box.x0 <= b.box.x0 else (b, a)
        along = (first.box.y0, first.box.y1, second.box.y0, second.box.y1)
        seam_pt, steps = second.box.x0 - first.box.x1, (first.scale[0], second.scale[0])
        sizes = (first.pixels.shape[0], second.pixels.shape[0])
    tolerance = 1.5 / min(steps) + 0.05
    if max(abs(along[0] - along[2]), abs(along[1] - along[3])) > tolerance or sizes[0] != sizes[1]:
        return None
    if not -(3.5 / min(steps) + 0.05) <= seam_pt <= tolerance or abs(steps[0] / steps[1] - 1) > 0.03:
        return None
    one, two = (
        (first.pixels, second.pixels)
        if upright
        else (np.swapaxes(first.pixels, 0, 1), np.swapaxes(second.pixels, 0, 1))
    )
    if len(one) < 2 or len(two) < 2:
        return None
    covered = max(0, round(-seam_pt * steps[0]))  # rows of the first that the second hides
    shown = one[: len(one) - covered] if covered and second.order > first.order else one
    rest = two[covered:] if covered and second.order < first.order else two
    if len(shown) < 2 or len(rest) < 2 or not _continues(shown, rest):
        return None
    pixels = np.concatenate([shown, rest])
    if not upright:
        pixels = np.swapaxes(pixels, 0, 1)
    return _Piece(first.box.union(second.box), np.ascontiguousarray(pixels), max(a.order, b.order), True)


def _continues(one: RgbImage, two: RgbImage) -> bool:
    """Say whether the step across the seam is of the size of the steps beside it."""

    def step(p: RgbImage, q: RgbImage) -> float:
        return float(np.abs(p.astype(np.int16) - q.astype(np.int16)).mean())

    seam = step(one[-1], two[0])
    inside = max(step(one[-1], one[-2]), step(two[0], two[1]), step(one[len(one) // 2], one[len(one) // 2 - 1]))
    return seam <= 2.5 * inside + 4.0


def _render_shape(box: BoxPt, sx: float, sy: float, settings: DocumentSettings) -> tuple[int, int]:
    width, height = max(1.0, box.width * sx), max(1.0, box.height * sy)
    shrink = min(1.0, (settings.max_render_px / (width * height)) ** 0.5)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def figure_pixels(
    page: PdfPage, box: BoxPt, parts: Sequence[Raster], settings: DocumentSettings
) -> tuple[RgbImage, str]:
    """Return the figure's own raster and where it is from ("pdf" or "render").

    A figure that is one picture with nothing painted over it is that picture's samples. Anything else is rendered at
    the scale of its finest part, on that part's pixel grid.
    """
    lone = parts[0] if len(parts) == 1 and parts[0].page_box is not None and _same(parts[0].page_box, box) else None
    if lone is not None and lone.pixels_from == "render":
        return lone.pixels, "render"
    large = [p for p in parts if p.page_box is not None and p.page_box.area >= 0.02 * box.area]
    scales = [
        (p.pixels.shape[1] / p.page_box.width, p.pixels.shape[0] / p.page_box.height) for p in large if p.page_box
    ]
    sx, sy = max(scales, key=max) if scales else (DRAWING_PX_PER_PT, DRAWING_PX_PER_PT)
    width, height = _render_shape(box, sx, sy, settings)
    if lone is not None:
        height, width = lone.pixels.shape[:2]
    patches = _patches(page, box, parts, width, height)
    if lone is not None and patches == []:
        return lone.pixels, lone.pixels_from
    if patches is None:
        if width * height > settings.max_render_px and lone is not None:
            return lone.pixels, lone.pixels_from
        picture = page.render(box, width, height)
    else:
        picture = _pasted(box, parts, width, height)
        for patch in patches:
            x0, y0, x1, y1 = patch
            picture[y0:y1, x0:x1] = page.render(_on_page(patch, box, width, height), x1 - x0, y1 - y0)
    if lone is not None and picture.shape == lone.pixels.shape and _alike(picture, lone.pixels):
        return lone.pixels, lone.pixels_from
    return picture, "render"


def _same(a: BoxPt, b: BoxPt) -> bool:
    return max(abs(p - q) for p, q in zip(a.as_tuple(), b.as_tuple(), strict=True)) < 0.5


Patch = tuple[int, int, int, int]


def _on_page(patch: Patch, box: BoxPt, width: int, height: int) -> BoxPt:
    px, py = box.width / width, box.height / height
    return BoxPt(box.x0 + patch[0] * px, box.y0 + patch[1] * py, box.x0 + patch[2] * px, box.y0 + patch[3] * py)


def _pasted(box: BoxPt, parts: Sequence[Raster], width: int, height: int) -> RgbImage:
    """Lay the parts on white where the page shows them; the finest ones sample for sample."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    sx, sy = width / box.width, height / box.height
    for part in parts:
        assert part.page_box is not None
        x0, y0 = round((part.page_box.x0 - box.x0) * sx), round((part.page_box.y0 - box.y0) * sy)
        wide, high = max(1, round(part.page_box.width * sx)), max(1, round(part.page_box.height * sy))
        pixels = part.pixels
        if abs(wide - pixels.shape[1]) > 1 or abs(high - pixels.shape[0]) > 1:
            shrinks = wide < pixels.shape[1]
            pixels = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        x0, y0 = max(0, min(x0, width - 1)), max(0, min(y0, height - 1))
        pixels = pixels[: height - y0, : width - x0]
        canvas[y0 : y0 + pixels.shape[0], x0 : x0 + pixels.shape[1]] = pixels
    return canvas


def _patches(page: PdfPage, box: BoxPt, parts: Sequence[Raster], width: int, height: int) -> list[Patch] | None:
    """Return the pixel rectangles of a figure where more than its parts is painted; None for nearly all of it.

    Colour conversion is most of the cost of a figure, and the parts have been through it already.
    """
    ready = [p.page_box for p in parts if p.pixels_from == "pdf" and p.page_box is not None]
    if not ready:
        return None
    touched = [p for p in page.placements() if p.box.intersection_area(box) > 0]
    first = min((p.order for p in touched), default=0)
    boxes = [p.page_box for p in parts if p.pixels_from != "pdf" and p.page_box is not None]
    for placement in touched:
        inside = any(placement.box.intersection_area(r) > 0.97 * placement.box.area for r in ready)
        if not placement.is_plain or not inside:
            boxes.append(placement.box)
    sx, sy = width / box.width, height / box.height
    rects = [b.as_tuple() for b in (*boxes, *(line.box for line in page.lines()))]
    rects += [(m.x0, m.y0, m.x1, m.y1) for m in page.marks() if not (m.is_white and m.order < first)]
    grid = np.zeros((int(box.height) + 2, int(box.width) + 2), np.uint8)  # one cell a point
    for x0, y0, x1, y1 in rects:
        left, top, right, bottom = x0 - box.x0 - 1.5, y0 - box.y0 - 1.5, x1 - box.x0 + 1.5, y1 - box.y0 + 1.5
        if right > 2 and bottom > 2 and left < box.width - 2 and top < box.height - 2:
            cv2.rectangle(grid, (int(max(0, left)), int(max(0, top))), (int(right), int(bottom)), 255, -1)
    n, _labels, stats, _centres = cv2.connectedComponentsWithStats(grid, connectivity=8)
    found = [(x, y, x + w, y + h) for x, y, w, h, _area in stats[1:n].tolist()]
    if len(found) > MAX_PATCHES or sum((r[2] - r[0]) * (r[3] - r[1]) for r in found) > 0.5 * grid.size:
        return None
    # MuPDF converts the whole of an image again for its smallest patch, so many patches cost more than one render.
    on_page = [BoxPt(box.x0 + x0, box.y0 + y0, box.x0 + x1, box.y0 + y1) for x0, y0, x1, y1 in found]
    if found and sum(r.intersection_area(b) > 0 for r in ready for b in on_page) >= len(ready):
        return None
    pixels = [
        (max(0, int(x0 * sx)), max(0, int(y0 * sy)), min(width, math.ceil(x1 * sx)), min(height, math.ceil(y1 * sy)))
        for x0, y0, x1, y1 in found
    ]
    return [p for p in pixels if p[0] < p[2] and p[1] < p[3]]


def _alike(a: RgbImage, b: RgbImage) -> bool:
    away = cv2.absdiff(a, b)
    if int(away.max()) <= SAME_LEVELS:
        return True
    grey = cv2.absdiff(cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), cv2.cvtColor(b, cv2.COLOR_RGB2GRAY))
    return int(away.max()) <= SAME_COLOURS and int(grey.max()) <= SAME_LEVELS


MORE_DETAIL = 0.47
"""Detail finer than the PDF's samples over detail just coarser. Micrographs enlarged by the usual filters stay below
0.45, true ones of 1.3 to 2 times the size mostly reach 0.5 to 0.85."""


def prefer_media(picture: RgbImage, media: RgbImage) -> bool:
    """Say whether the publisher's file shows the same picture as the PDF with clearly more detail.

    Same: proportions within 4 % and a correlation of at least 0.92 of both, shrunk to 64 by 64 grey pixels. More
    detail: at least 1.2 times as wide, and no mere enlargement.
    """
    (h, w), (mh, mw) = picture.shape[:2], media.shape[:2]
    if min(h, w, mh, mw) < 16 or abs((mw / mh) / (w / h) - 1) > 0.04 or mw < 1.2 * w:
        return False
    grey = cv2.cvtColor(media, cv2.COLOR_RGB2GRAY)
    small = [
        cv2.resize(p, (64, 64), interpolation=cv2.INTER_AREA) for p in (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), grey)
    ]
    if correlation(*small) < 0.92:
        return False

    def blurred(width: int, height: int) -> NDArray[np.float32]:
        shrunk = cv2.resize(grey.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(shrunk, (mw, mh), interpolation=cv2.INTER_CUBIC), np.float32)

    as_pdf, coarser = blurred(w, h), blurred(max(1, w // 2), max(1, h // 2))
    finer = float(np.sqrt(np.mean((grey - as_pdf) ** 2)))
    return finer >= 1.0 and finer >= MORE_DETAIL * float(np.sqrt(np.mean((as_pdf - coarser) ** 2)))


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the normalised cross-correlation of two grey pictures of one size, -1 to 1; 0 for a flat one."""
    x, y = a.astype(np.float64) - a.mean(), b.astype(np.float64) - b.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size > 0 else 0.0
