"""Scale bars of a panel: the line, its label, and what a pixel is by them.

Three ways lead to a bar: lines that the PDF draws over the picture, bars burned into the pixels, and labels (typeset
or read from the pixels) that a line must stand beside. A bar whose length nobody states is kept without a scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harvester.geometry import BoxPx
from harvester.records import Figure, Panel, ScaleBar, StatedLength
from harvester.scale.bar_labels import BarLabel, parse_label
from harvester.scale.bar_pixels import pixel_candidates
from harvester.scale.bar_reading import read_labels
from harvester.scale.bar_shapes import Candidate, Spot, bar_of, drawn_candidates, pair_up, to_native
from harvester.scale.lettering import TextReader

PLAUSIBLE_MPP_UM = (0.02, 60.0)
"""Pixel sizes that a printed light micrograph of tissue can have: from an oil lens, enlarged, to a whole section."""

UNLABELLED_SHAPE = 0.65
"""How much a strip must look like a bar before a length that only the caption gives is given to it."""


def find_scale_bars(
    panel: Panel,
    figure: Figure,
    stated: Sequence[StatedLength],
    reader: TextReader | None,
    *,
    search_pixels: bool = True,
) -> list[ScaleBar]:
    """Return the scale bars of a panel, the surest first.

    Args:
        panel: With its native pixels (H, W, 3) uint8 RGB.
        figure: The figure it was cut from, with what the page draws and writes over it.
        stated: The bar lengths that the caption gives for this panel.
        reader: Reads labels from pixels; None to do without.
        search_pixels: False for a panel that is no micrograph: only drawn bars with a typeset label count there.

    Returns:
        Bars in native pixels of the panel. `mpp_um` is None for a bar whose length nothing states; a scale that no
        micrograph of tissue can have is kept with `is_plausible` False.
    """
    drawn = drawn_candidates(panel, figure)
    texts = _typeset_labels(panel, figure)
    bars = []
    used = set()
    for i, j in pair_up(drawn, [spot for spot, _ in texts]):
        used.add(i)
        bars.append(_bar(drawn[i], texts[j][1], "pdf_text", 0.97))
    free = [c for i, c in enumerate(drawn) if i not in used]
    lengths = [s for s in stated if s.kind == "scale_bar"]
    if not bars and search_pixels:
        bars = _burned_in(panel, free, texts, lengths, reader)
    if not bars and lengths and len(free) == 1:
        bars.append(_bar(free[0], _from_caption(lengths[0]), "caption", 0.7 * lengths[0].score))
    return sorted(bars, key=lambda bar: (-bar.score, bar.box))


def _burned_in(
    panel: Panel,
    drawn: Sequence[Candidate],
    texts: Sequence[tuple[Spot, BarLabel]],
    lengths: Sequence[StatedLength],
    reader: TextReader | None,
) -> list[ScaleBar]:
    """Return bars in the pixels (or drawn ones whose label is in the pixels), labelled by text, reader or caption."""
    candidates = list(drawn) + pixel_candidates(panel.pixels)
    if not candidates:
        return []
    paired = pair_up(candidates, [spot for spot, _ in texts])
    if paired:
        return [_bar(candidates[i], texts[j][1], "pdf_text", 0.9) for i, j in paired]
    bars = []
    if reader is not None:
        for i, read in read_labels(panel.pixels, candidates, reader):
            candidate = bar_of(candidates[i], candidates)
            label = _in_micrometres(read.label, candidate.length)
            score = read.certainty * (0.6 + 0.4 * min(1.0, candidate.shape / 0.6))
            if lengths:
                score *= 1.0 if any(abs(s.length_um / label.length_um - 1) < 0.01 for s in lengths) else 0.8
            bars.append(_bar(candidate, label, "ocr", score))
    if not bars and lengths:
        best = bar_of(max(candidates, key=_likely), candidates)
        if _likely(best) >= UNLABELLED_SHAPE:
            bars.append(_bar(best, _from_caption(lengths[0]), "caption", 0.8 * _likely(best) * lengths[0].score))
    return bars


def _likely(candidate: Candidate) -> float:
    """Return how much a strip without a label looks like a bar: only an ink counts in full, not a stain or glass."""
    low, high = min(candidate.rgb), max(candidate.rgb)
    is_ink = high < 60 or low > 246 or high - low > 150
    return candidate.shape if is_ink else 0.5 * candidate.shape


def _in_micrometres(label: BarLabel, length_px: float) -> BarLabel:
    """Take "nm" for the misread "µm" where nanometres would make pixels that no microscope of light has."""
    if label.unit != "nm" or label.length_um / length_px >= PLAUSIBLE_MPP_UM[0]:
        return label
    return replace(label, unit="µm", length_um=label.value, certainty=0.75 * label.certainty)


def _typeset_labels(panel: Panel, figure: Figure) -> list[tuple[Spot, BarLabel]]:
    found = []
    for text, box in figure.inscriptions:
        label, spot = parse_label(text), to_native(box, panel)
        if label is not None and spot is not None:
            found.append((spot, label))
    return found


def _from_caption(stated: StatedLength) -> BarLabel:
    return BarLabel(stated.text, stated.value, stated.unit, stated.length_um, 1.0)


def _bar(candidate: Candidate, label: BarLabel | None, label_from: str | None, score: float) -> ScaleBar:
    spot = candidate.spot
    x0, y0 = max(0, math.floor(spot.x0 + 0.5)), max(0, math.floor(spot.y0 + 0.5))
    box = BoxPx(x0, y0, max(x0 + 1, math.floor(spot.x1 + 0.5)), max(y0 + 1, math.floor(spot.y1 + 0.5)))
    mpp_um = label.length_um / candidate.length if label else None
    return ScaleBar(
        box=box,
        bar_px=candidate.length,
        is_vertical=candidate.is_vertical,
        found_in=candidate.found_in,
        text=label.text if label else None,
        value=label.value if label else None,
        unit=label.unit if label else None,
        length_um=label.length_um if label else None,
        label_from=label_from,  # type: ignore[arg-type]
        mpp_um=mpp_um,
        is_plausible=mpp_um is not None and PLAUSIBLE_MPP_UM[0] <= mpp_um <= PLAUSIBLE_MPP_UM[1],
        score=round(min(1.0, max(0.0, score * (label.certainty if label else 0.3))), 4),
    )
