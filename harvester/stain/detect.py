"""Tell what kind of picture a panel is, and find the clean rectangle of H&E tissue in it."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np

from harvester.geometry import BoxPx, RgbImage
from harvester.records import PANEL_KINDS, HeRegion, PanelKindScore
from harvester.settings import StainSettings
from harvester.stain.deconvolve import Mask, tissue_mask
from harvester.stain.features import describe, shrink
from harvester.stain.model import HE, PanelModel, likeliest

REGION_PX = 512
"""Longer side of the copy on which regions are searched, in pixels."""
MOST_CUT = 0.16
"""Share of a region that may be given up to keep one burned-in letter or bar out of it."""
LEAST_KEPT = 0.7
"""Share of a region that all such cuts together must leave."""
SECTION_SHARE = 0.45
"""Below this share of tissue a picture shows a section on glass, and the region is the box round the tissue."""
GREY_CHROMA = 12.0
"""Mean difference of the largest and smallest channel of tissue below which a picture is printed in grey."""


@lru_cache(maxsize=1)
def _model() -> PanelModel:
    return PanelModel.from_bytes((files("harvester.stain") / "panel_kind.npz").read_bytes())


def model_card() -> dict[str, object]:
    """Return the card of the shipped classifier: data, licences, numbers."""
    return dict(_model().card)


def score_kind(pixels: RgbImage) -> PanelKindScore:
    """Return the likeliest of the twelve kinds and the probability of H&E for a panel (H, W, 3) uint8 of any size.

    Pixels alone: no caption, no file name. The same pixels give the same answer. A panel is of kind "he" only when that
    is likelier than not.

    Raises:
        HarvestError: when the shipped classifier is damaged.
    """
    answer = _model().probabilities(describe(pixels)[None, :])
    best, probabilities = int(likeliest(answer)[0]), answer[0]
    he = float(probabilities[HE])
    return PanelKindScore(kind=PANEL_KINDS[best], kind_score=float(probabilities[best]), he_score=he)


def find_he_regions(
    pixels: RgbImage, score: PanelKindScore, settings: StainSettings
) -> tuple[list[HeRegion], list[tuple[str, str]]]:
    """Return the clean rectangles of tissue in a panel (H, W, 3) uint8, in its native pixels, and why others are none.

    Usually one rectangle, nearly the whole panel: frames, paper, and letters or bars burned in near an edge are left
    out where that costs little. A section on glass gives the box round its tissue; two large pieces apart give two,
    left to right. The second list holds (reason, sentence) pairs: not_he, too_small, grey_print, too_little_tissue.
    """
    height, width = pixels.shape[:2]
    if score.he_score < settings.min_score:
        return [], [("not_he", f"H&E probability {score.he_score:.2f}, looks like {score.kind}")]
    if min(height, width) < settings.min_side_px:
        return [], [("too_small", f"{width} x {height} px, the shorter side below {settings.min_side_px} px")]
    small = shrink(pixels, REGION_PX)
    scale = max(height, width) / max(small.shape[:2])
    box = _without_marks(small, _without_paper(small))
    if box is None:
        return [], [("too_little_tissue", "nothing but paper and frame")]
    mask = tissue_mask(small)
    tissue = box.crop(small)[mask[box.y0 : box.y1, box.x0 : box.x1]]
    if tissue.size and float(np.ptp(tissue, axis=1).mean()) < GREY_CHROMA:
        return [], [("grey_print", "printed without colour, the stain can't be told")]
    regions: list[HeRegion] = []
    skips: list[tuple[str, str]] = []
    for piece in _pieces(mask, box):
        share = float(mask[piece.y0 : piece.y1, piece.x0 : piece.x1].mean())
        native = _without_lines(pixels, _to_native(piece, scale, width, height, small.shape[1], small.shape[0]))
        if share < settings.min_tissue_share:
            skips.append(("too_little_tissue", f"{share:.0%} of the region is tissue"))
        elif min(native.width, native.height) < settings.min_side_px:
            skips.append(
                ("too_small", f"{native.width} x {native.height} px of tissue, below {settings.min_side_px} px")
            )
        else:
            regions.append(HeRegion(box=native, he_score=score.he_score, tissue_share=share))
    return regions, skips


def _paper(small: RgbImage) -> Mask:
    """Return (h, w) bool: flat white or flat black, as paper, frames and letterboxes are and tissue hardly is."""
    kernel = np.ones((3, 3), dtype=np.uint8)
    lowest = cv2.erode(small, kernel).min(axis=2)
    highest = cv2.dilate(small, kernel).max(axis=2)
    return np.asarray((lowest >= 244) | (highest <= 24), dtype=bool)


def _without_paper(small: RgbImage) -> BoxPx | None:
    """Return the box left when rows and columns of paper are taken off the edges; None when nothing is left."""
    paper = _paper(small)
    y0, y1, x0, x1 = 0, small.shape[0], 0, small.shape[1]
    for _ in range(2):
        rows = np.flatnonzero(paper[y0:y1, x0:x1].mean(axis=1) < 0.93)
        if rows.size == 0:
            return None
        y0, y1 = y0 + int(rows[0]), y0 + int(rows[-1]) + 1
        columns = np.flatnonzero(paper[y0:y1, x0:x1].mean(axis=0) < 0.93)
        if columns.size == 0:
            return None
        x0, x1 = x0 + int(columns[0]), x0 + int(columns[-1]) + 1
    # the blurred line between paper and picture belongs to neither
    x0, y0 = x0 + 2 * (x0 > 0), y0 + 2 * (y0 > 0)
    x1, y1 = x1 - 2 * (x1 < small.shape[1]), y1 - 2 * (y1 < small.shape[0])
    return BoxPx(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _marks(small: RgbImage, box: BoxPx) -> list[BoxPx]:
    """Return boxes of what looks burned in near the edges: neutral black ink, white bars and label boxes."""
    view = box.crop(small)
    height, width = view.shape[:2]
    lowest, highest = view.min(axis=2), view.max(axis=2)
    black = ((highest <= 44) & (highest - lowest <= 22)).astype(np.uint8)
    if black.mean() > 0.05:
        black[:] = 0  # an overstained or dark picture: its nuclei would all be letters
    white = (lowest >= 248).astype(np.uint8)
    found: list[BoxPx] = []
    for ink, is_white in ((black, False), (white, True)):
        n, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
        for x, y, w, h, area in stats[1:n].tolist():
            fill, longest, shortest = area / (w * h), max(w, h), min(w, h)
            is_bar = longest >= 14 and longest >= 5 * shortest and fill > 0.75
            is_box = (
                is_white
                and shortest >= 8
                and fill > 0.72
                and (x <= 2 or y <= 2 or x + w >= width - 2 or y + h >= height - 2)
            )
            is_glyph = not is_white and area >= 10 and shortest >= 3 and longest <= 0.12 * max(width, height)
            near = min(x + w, width - x, (y + h) * width / height, (height - y) * width / height) <= MOST_CUT * width
            if near and (is_bar or is_box or is_glyph):
                found.append(BoxPx(box.x0 + x, box.y0 + y, box.x0 + x + w, box.y0 + y + h))
    # tissue full of candidates is not covered with letters
    return found if len(found) <= 24 else []


def _without_marks(small: RgbImage, box: BoxPx | None) -> BoxPx | None:
    """Return the box cut along the edge that loses least for each mark near it, as long as it stays large."""
    if box is None:
        return None
    least = LEAST_KEPT * box.area
    for mark in sorted(_marks(small, box), key=lambda m: -m.area):
        if not box.intersection_area(mark):
            continue
        sides = ((mark.x1 + 2, box.y0, box.x1, box.y1), (box.x0, box.y0, mark.x0 - 2, box.y1),
                 (box.x0, mark.y1 + 2, box.x1, box.y1), (box.x0, box.y0, box.x1, mark.y0 - 2))  # fmt: skip
        cuts = [BoxPx(*side) for side in sides if side[0] < side[2] and side[1] < side[3]]
        best = max(cuts, key=lambda cut: cut.area, default=None)
        if best is not None and best.area >= (1 - MOST_CUT) * box.area and best.area >= least:
            box = best
    return box


def _pieces(mask: Mask, box: BoxPx) -> list[BoxPx]:
    """Return the box itself when tissue fills it, else the boxes round one or two large pieces of tissue in it."""
    view = mask[box.y0 : box.y1, box.x0 : box.x1]
    if float(view.mean()) >= SECTION_SHARE or not view.any():
        return [box]
    reach = max(3, round(0.03 * max(view.shape))) | 1
    closed = cv2.morphologyEx(view.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), dtype=np.uint8))
    n, _, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    total = float(closed.sum())
    boxes = {BoxPx(x, y, x + w, y + h): area / total for x, y, w, h, area in stats[1:n].tolist()}
    large = sorted((b for b, share in boxes.items() if share >= 0.25), key=lambda b: -boxes[b])[:2]
    if len(large) == 2 and not large[0].intersection_area(large[1]):
        chosen = sorted(large)
    else:
        kept = [b for b, share in boxes.items() if share >= 0.04] or list(boxes)
        chosen = [
            BoxPx(min(b.x0 for b in kept), min(b.y0 for b in kept), max(b.x1 for b in kept), max(b.y1 for b in kept))
        ]
    return [b.grown(2, width_px=view.shape[1], height_px=view.shape[0]).shifted(box.x0, box.y0) for b in chosen]


def _to_native(box: BoxPx, scale: float, width: int, height: int, small_width: int, small_height: int) -> BoxPx:
    """Return the box in native pixels, rounded inwards; an edge of the copy is the edge of the picture."""
    x0, y0 = min(width - 1, int(np.ceil(box.x0 * scale))), min(height - 1, int(np.ceil(box.y0 * scale)))
    x1 = width if box.x1 >= small_width else min(width, int(box.x1 * scale))
    y1 = height if box.y1 >= small_height else min(height, int(box.y1 * scale))
    return BoxPx(x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))


def _without_lines(pixels: RgbImage, box: BoxPx) -> BoxPx:
    """Return the box less thin white or black frame lines at its edges, too thin to be seen on the copy."""
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    for _ in range(8):
        moved = False
        if y1 - y0 > 32 and x1 - x0 > 32:
            if _is_line(pixels[y0, x0:x1]):
                y0, moved = y0 + 1, True
            if _is_line(pixels[y1 - 1, x0:x1]):
                y1, moved = y1 - 1, True
            if _is_line(pixels[y0:y1, x0]):
                x0, moved = x0 + 1, True
            if _is_line(pixels[y0:y1, x1 - 1]):
                x1, moved = x1 - 1, True
        if not moved:
            break
    return BoxPx(x0, y0, x1, y1)


def _is_line(line: RgbImage) -> bool:
    return float((line.min(axis=1) >= 244).mean()) > 0.97 or float((line.max(axis=1) <= 50).mean()) > 0.9
