"""Text that belongs to a picture: panel letters near it, axis labels round a drawing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harvester.documents.layout import PageView
from harvester.geometry import BoxPt

LETTER_REACH_PT = 25.0
"""How far from a figure a panel letter may stand."""
MAX_INSCRIPTION = 24
"""Characters of a line that may label a scale bar."""
MAX_INSCRIPTIONS = 200
AXIS_GAP_PT = 14.0
"""How far from a plot its axis labels stand."""

_PANEL_LETTER = re.compile(r"^\(?(?:[A-Za-z]|[ivx]{1,4})[.)]?$|^\(\w{1,3}\)$")


def letters_near(words: Sequence[tuple[str, BoxPt]], box: BoxPt) -> tuple[tuple[str, BoxPt], ...]:
    """Return words of up to four characters (or a letter in brackets) on or near a figure, in the order of the page.

    Args:
        words: Words that stand alone, see `PdfPage.lone_words`.
    """
    return tuple(
        (text, where)
        for text, where in words
        if (len(text) <= 4 or re.fullmatch(r"\(\w{1,4}\)\.?", text)) and where.gap(box) <= LETTER_REACH_PT
    )


def inscriptions_near(lines: Sequence[tuple[str, BoxPt]], box: BoxPt) -> tuple[tuple[str, BoxPt], ...]:
    """Return short lines with a digit on or near a figure, at most `MAX_INSCRIPTIONS`: labels of bars, not prose."""
    near = [
        (text, where)
        for text, where in lines
        if len(text) <= MAX_INSCRIPTION and any(c.isdigit() for c in text) and where.gap(box) <= LETTER_REACH_PT
    ]
    return tuple(near[:MAX_INSCRIPTIONS])


def lettered_box(box: BoxPt, view: PageView, caption: BoxPt | None) -> BoxPt:
    """Widen a drawing's box by the axis labels and legends that stand on or right beside it, panel letters left out."""
    for _ in range(3):
        grown = box
        for text_box, text in view.loose:
            if _PANEL_LETTER.match(text) or (caption is not None and text_box.intersection_area(caption) > 0):
                continue
            if text_box.height > 0.5 * view.height or text_box.width > 1.2 * max(box.width, 60):
                continue
            if text_box.gap(box) <= AXIS_GAP_PT:
                grown = grown.union(text_box)
        box = grown
    if caption is not None and box.y1 > caption.y0 > box.y0 + 0.5 * box.height:
        box = BoxPt(box.x0, box.y0, box.x1, caption.y0)
    return box
