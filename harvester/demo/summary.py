"""Compares a harvest of drawn articles with the truth, in a picture and in a few sentences; opens nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harvester.demo.articles import DrawnArticle, TruePanel
from harvester.geometry import BoxPt, RgbImage

SNAPSHOT_QUERY = """
SELECT v.snapshot_id, v.article_id, v.figure_label, v.panel_label, v.image_path, v.image_mpp_um, v.image_mpp_lo_um,
       v.image_mpp_hi_um, v.image_abstained, v.image_reason, f.page_number, p.page_x0_pt, p.page_y0_pt, p.page_x1_pt,
       p.page_y1_pt, p.native_width_px
FROM snapshots v JOIN panel p ON p.panel_id = v.panel_id JOIN figure f ON f.figure_id = p.figure_id
ORDER BY v.snapshot_id
"""
"""What `compare` reads, for harvester.catalog.Catalog.rows."""

SAME_PANEL_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Compared:
    """A snapshot beside the truth; magnifications are 10 / (µm per pixel of the stored snapshot).

    Attributes:
        panel: The true panel it shows most of; None when it shows none.
        true_x: None when that panel is no H&E or unknown.
        predicted_x, lo_x, hi_x: The image's own estimate and its 90 % interval; None where there is no number.
    """

    snapshot_id: str
    image_path: str
    panel: TruePanel | None
    true_x: float | None
    predicted_x: float | None
    lo_x: float | None
    hi_x: float | None
    abstained: bool
    reason: str | None

    @property
    def is_covered(self) -> bool | None:
        """Whether the interval holds the truth; None when there is nothing to compare."""
        if self.true_x is None or self.lo_x is None or self.hi_x is None or self.abstained:
            return None
        return self.lo_x <= self.true_x <= self.hi_x

    @property
    def is_mistake(self) -> bool:
        """Whether it shows something that is no H&E."""
        return self.panel is None or self.panel.kind != "he"


def expected_panels(articles: Iterable[DrawnArticle]) -> list[TruePanel]:
    """Return the H&E panels that a harvest with the usual licences can find: on a page, reusable, not withdrawn."""
    usable = {"CC0", "CC BY", "CC BY-SA", "CC BY-NC", "CC BY-NC-SA"}
    return [
        panel
        for article in articles
        if article.served.licence_code in usable and not article.served.is_retracted
        for panel in article.truth
        if panel.kind == "he" and panel.page_box is not None
    ]


def _inverse(mpp_um: float | None) -> float | None:
    return 10 / mpp_um if mpp_um else None


def _panel_box(row: Mapping[str, Any]) -> BoxPt | None:
    corners = [row[f"page_{name}_pt"] for name in ("x0", "y0", "x1", "y1")]
    return None if any(value is None for value in corners) else BoxPt(*corners)


def compare(rows: Iterable[Mapping[str, Any]], truth: Sequence[TruePanel]) -> list[Compared]:
    """Find the true panel of every snapshot, by article, page and overlap of the boxes on the page.

    Args:
        rows: As `SNAPSHOT_QUERY` gives them.
    """
    by_page: dict[tuple[str, int | None], list[TruePanel]] = {}
    for panel in truth:
        by_page.setdefault((panel.article_id, panel.page_number), []).append(panel)
    result = []
    for row in rows:
        box = _panel_box(row)
        best, true_x = None, None
        if box is not None:
            overlaps = [
                (box.iou(panel.page_box), panel)
                for panel in by_page.get((row["article_id"], row["page_number"]), [])
                if panel.page_box is not None
            ]
            overlap, candidate = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
            best = candidate if overlap >= SAME_PANEL_IOU else None
            if best is not None and best.page_box is not None and best.mpp_um is not None:
                # through the page, since the panel may have been read from a coarser or a finer file
                um_per_pt = best.mpp_um * best.width_px / best.page_box.width
                true_x = 10 * row["native_width_px"] / (um_per_pt * box.width)
        result.append(
            Compared(
                snapshot_id=row["snapshot_id"],
                image_path=row["image_path"],
                panel=best,
                true_x=true_x,
                predicted_x=_inverse(row["image_mpp_um"]),
                lo_x=_inverse(row["image_mpp_hi_um"]),
                hi_x=_inverse(row["image_mpp_lo_um"]),
                abstained=bool(row["image_abstained"]),
                reason=row["image_reason"],
            )
        )
    return result


def sentences(compared: Sequence[Compared], expected: Sequence[TruePanel]) -> list[str]:
    """Return what the comparison says, a sentence each."""
    shown = {id(item.panel) for item in compared if item.panel is not None}
    found = sum(id(panel) in shown for panel in expected)
    mistakes = [item for item in compared if item.is_mistake]
    lines = [f"H&E panels drawn where they may be used: {len(expected)}, found: {found}."]
    if mistakes:
        names = ", ".join(
            f"{item.snapshot_id} ({item.panel.picture if item.panel else 'no panel'})" for item in mistakes
        )
        lines.append(f"Taken for H&E by mistake: {len(mistakes)}: {names}.")
    judged = [item for item in compared if item.is_covered is not None]
    abstained = sum(item.abstained for item in compared)
    if judged:
        errors = [abs(math.log2(item.predicted_x / item.true_x)) for item in judged if item.predicted_x and item.true_x]
        lines.append(
            f"Magnification from the image: {len(judged)} estimated, {abstained} abstained; half of the estimates are "
            f"within a factor of {2 ** statistics.median(errors):.2f} of the truth, and the 90 % interval holds it in "
            f"{sum(bool(item.is_covered) for item in judged)} of {len(judged)}."
        )
    elif compared:
        lines.append(f"Magnification from the image: none estimated, {abstained} abstained.")
    lines.append("The model learnt from slides, not from drawings: these numbers say nothing about real articles.")
    return lines


_TILE, _TEXT_PX, _GAP, _HEAD = (264, 198), 52, 14, 74
_INK, _GREY, _GOOD, _BAD = (28, 28, 32), (120, 120, 126), (24, 122, 66), (190, 74, 20)


def caption_lines(item: Compared) -> tuple[str, str]:
    """Return the two lines below a thumbnail: the prediction, and the truth."""
    if item.abstained:
        guess = f" (guess {item.predicted_x:.3g}x)" if item.predicted_x else ""
        first = f"abstained{guess}"
    elif item.predicted_x is None:
        first = "no estimate"
    elif item.lo_x is None or item.hi_x is None:
        first = f"predicted {item.predicted_x:.3g}x"
    else:
        first = f"predicted {item.predicted_x:.3g}x ({item.lo_x:.3g}-{item.hi_x:.3g})"
    if item.true_x is not None:
        return first, f"true {item.true_x:.3g}x"
    return first, f"no H&E: {item.panel.picture if item.panel else 'unknown'}"


def contact_sheet(
    compared: Sequence[Compared], read_picture: Callable[[str], RgbImage], *, columns: int = 5, title: str = ""
) -> RgbImage:
    """Lay out every snapshot with its predicted and true magnification, coarsest first.

    Args:
        read_picture: Gives the (H, W, 3) uint8 RGB pixels of an `image_path`.

    Returns:
        (H, W, 3) uint8 RGB; green where the interval holds the truth, orange where it does not.
    """
    items = sorted(compared, key=lambda item: (item.true_x is None, item.true_x or 0.0, item.snapshot_id))
    rows = max(1, math.ceil(len(items) / columns))
    step_x, step_y = _TILE[0] + _GAP, _TILE[1] + _TEXT_PX + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, _HEAD + rows * step_y + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(22), ImageFont.load_default(16)
    pen.text((_GAP, 16), title or f"{len(items)} snapshots", fill=_INK, font=large)
    pen.text((_GAP, 46), "green: the 90 % interval holds the truth; orange: it does not", fill=_GREY, font=small)
    for i, item in enumerate(items):
        x, y = _GAP + i % columns * step_x, _HEAD + i // columns * step_y
        sheet.paste(Image.fromarray(_thumbnail(read_picture(item.image_path))), (x, y))
        colour = {True: _GOOD, False: _BAD, None: _GREY}[item.is_covered]
        first, second = caption_lines(item)
        pen.rectangle((x, y + _TILE[1], x + 5, y + _TILE[1] + _TEXT_PX - 6), fill=colour)
        pen.text((x + 12, y + _TILE[1] + 5), first, fill=_INK, font=small)
        pen.text((x + 12, y + _TILE[1] + 25), second, fill=colour, font=small)
    return np.asarray(sheet)


def _thumbnail(pixels: RgbImage) -> RgbImage:
    """Return the middle of a picture at the size of a tile, cut to its shape and never enlarged by much."""
    height, width = pixels.shape[:2]
    scale = max(_TILE[0] / width, _TILE[1] / height)
    inner = (min(width, round(_TILE[0] / scale)), min(height, round(_TILE[1] / scale)))
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    middle = pixels[y : y + inner[1], x : x + inner[0]]
    return np.asarray(cv2.resize(middle, _TILE, interpolation=cv2.INTER_AREA), np.uint8)
