"""Panel letters: which printed text names which panel.

Journals put letters in one place for the whole figure (in a corner, above, below the middle), in one style, and in the
order of reading. Every combination of style and place is tried, and the one that names most panels in the best order
is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from harvester.geometry import BoxPx
from harvester.letters import CaptionParts, ordinal

_MARK = re.compile(r"(\()?(\d{0,2}[A-Za-z]|[ivxIVX]{2,4}|\d{1,2})([).:,]*)")

Text = tuple[str, float, float, float]
"""A short text with centre x, centre y and height, in pixels of the figure's raster."""

# places of a letter: (x, y) of the panel's frame, 0 to 1, and the direction in which the letter stands off from it
_PLACES: dict[str, tuple[float, float, float, float]] = {
    "top left, inside": (0, 0, 1, 1),
    "top right, inside": (1, 0, -1, 1),
    "bottom left, inside": (0, 1, 1, -1),
    "bottom right, inside": (1, 1, -1, -1),
    "above left": (0, 0, 0.5, -1),
    "above middle": (0.5, 0, 0, -1),
    "left of top": (0, 0, -1, 0.5),
    "below left": (0, 1, 0.5, 1),
    "below middle": (0.5, 1, 0, 1),
}


def label_panels(
    boxes: Sequence[BoxPx], texts: Sequence[Text], caption: CaptionParts
) -> list[tuple[str | None, float]]:
    """Name panels by the texts near them, or by the caption's letters when there are as many and none is printed.

    Args:
        boxes: The panels in reading order, in the figure's raster.
        texts: Short texts with their centre and height in the same raster; they may lie outside of it.
        caption: What the caption names.

    Returns:
        For every panel its label, upper-cased ("A", "IV", "2") or None, and how certain that is, 0 to 1.
    """
    named = _printed(boxes, texts, caption)
    if named:
        return [(named.get(k), 1.0) for k in range(len(boxes))]
    letters = caption.labels
    if 1 < len(boxes) == len(letters) and not caption.by_side:
        if "II" in letters:  # "I" and "V" are letters as well
            return [(label, 0.8) for label in letters]
        return [(label, 0.8) for label in sorted(letters, key=lambda label: ordinal(label) or 0)]
    return [(None, 1.0)] * len(boxes)


def parse_mark(text: str) -> tuple[str, str] | None:
    """Return label and style of a text that may be a panel letter: "(a)" gives ("A", "(a)"); None for other texts."""
    match = _MARK.fullmatch(text.strip())
    if not match:
        return None
    open_bracket, core, after = match.groups()
    if open_bracket and ")" not in after:
        return None
    core = re.sub(r"^\d+(?=[A-Za-z]$)", "", core)
    case = "1" if core.isdigit() else "a" if core.islower() else "A"
    return core.upper(), f"{open_bracket or ''}{case}{after[:1]}"


def _printed(boxes: Sequence[BoxPx], texts: Sequence[Text], caption: CaptionParts) -> dict[int, str]:
    by_style: dict[str, list[tuple[str, float, float, float]]] = {}
    for text, x, y, height in texts:
        mark = parse_mark(text)
        if mark:
            by_style.setdefault(mark[1], []).append((mark[0], x, y, height))
    best: tuple[float, dict[int, str]] = (0.0, {})
    for style, marks in by_style.items():
        for place in _PLACES:
            named = _nearest(boxes, marks, place)
            value = _value(named, len(boxes), style, caption)
            if value > best[0]:
                best = value, named
    return best[1]


def _nearest(boxes: Sequence[BoxPx], marks: Sequence[tuple[str, float, float, float]], place: str) -> dict[int, str]:
    ax, ay, dx, dy = _PLACES[place]
    pairs = []
    for k, box in enumerate(boxes):
        for m, (_, x, y, height) in enumerate(marks):
            off_x, off_y = x - (box.x0 + ax * box.width), y - (box.y0 + ay * box.height)
            # how far the letter is from where it would stand, a letter's height or so off the frame
            miss_x, miss_y = abs(off_x - dx * height), abs(off_y - dy * height)
            reach_x, reach_y = 0.16 * box.width + 1.5 * height, 0.12 * box.height + 1.5 * height
            if miss_x <= reach_x and miss_y <= reach_y and off_y * dy >= -0.6 * height:
                pairs.append((miss_x / reach_x + miss_y / reach_y, k, m))
    named: dict[int, str] = {}
    used: set[int] = set()
    for _, k, m in sorted(pairs):
        if k not in named and m not in used and marks[m][0] not in named.values():
            named[k] = marks[m][0]
            used.add(m)
    return named


def _value(named: dict[int, str], n_panels: int, style: str, caption: CaptionParts) -> float:
    """Return how believable a naming is; 0 for none."""
    if not named:
        return 0.0
    labels = [named[k] for k in sorted(named)]
    numbers = [ordinal(label) or 0 for label in labels]
    in_order = sum(a < b for a, b in pairwise(numbers)) / max(1, len(numbers) - 1)
    known = sum(label in caption.labels for label in labels) / len(labels) if caption.labels else 0.5
    from_start = 1.0 if min(numbers) == 1 else 0.0
    share = len(labels) / n_panels
    if n_panels == 1 and not (known == 1.0 or "(" in style):
        return 0.0
    if n_panels > 1 and len(labels) == 1 and not (from_start and known == 1.0):
        return 0.0
    weight = 0.3 if "1" in style and not caption.labels else 1.0
    return weight * (2 * share + 0.5 * in_order + 0.5 * known + 0.5 * from_start + (0.2 if "(" in style else 0.0))
