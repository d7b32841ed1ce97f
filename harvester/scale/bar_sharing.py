"""Bars that several panels of a figure lay claim to, and bars that the caption says hold for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harvester.geometry import BoxPx
from harvester.records import Panel, ScaleBar

_SHARED = re.compile(
    r"\b(?:scale\s+)?bars?\b[^.;]{0,60}?(?:\b(?:for|to|in)\s+(?:all|both|every)\b|\ball\s+(?:panels|images|pictures|photo|micro)"
    r"|\bappl(?:y|ies)\s+to\b|\bholds?\s+for\b|\bis\s+(?:the\s+)?(?:same|valid)\b|\bcommon\s+to\b)",
    re.IGNORECASE,
)
_ALL_SAME = re.compile(
    r"\b(?:all|both)\b[^.;]{0,40}\bsame\s+(?:scale|magnification)\b|\bsame\s+scale\s+bar\b", re.IGNORECASE
)

SHARED_SCORE = 0.8
"""What is left of a bar's score in a panel that only the caption ties it to."""


def is_shared(caption: str) -> bool:
    """Return whether a caption says that one bar holds for several panels ("bar in A applies to all")."""
    return bool(_SHARED.search(caption) or _ALL_SAME.search(caption))


def share_bars(
    panels: Sequence[Panel], bars: Mapping[str, Sequence[ScaleBar]], caption: str
) -> dict[str, list[ScaleBar]]:
    """Give a bar that two panels found beside them to the nearer one; lend bars where the caption says so.

    Args:
        panels: The panels of one figure.
        bars: What `find_scale_bars` returned, by panel id.
        caption: The caption of the whole figure.

    Returns:
        Bars by panel id. A lent bar has the box it would have in its new panel's native pixels, and a lower score.
    """
    owned = _owned(panels, bars)
    if not is_shared(caption):
        return owned
    read = [(panel, bar) for panel in panels for bar in owned[panel.panel_id] if bar.mpp_um is not None]
    lenders = {panel.panel_id for panel, _ in read}
    if len(lenders) != 1:
        return owned
    lender, bar = read[0]
    for panel in panels:
        if panel.panel_id not in lenders and bar.mpp_um is not None:
            kept = [b for b in owned[panel.panel_id] if b.mpp_um is not None]
            owned[panel.panel_id] = kept or [_lent(bar, lender, panel)]
    return owned


def _px_per_shown(panel: Panel) -> float:
    """Return native pixels of a panel per point of the page, or per pixel of the figure where there is no page."""
    shown = panel.page_box.width if panel.page_box is not None else panel.box.width
    return float(panel.pixels.shape[1] / shown)


def _lent(bar: ScaleBar, lender: Panel, panel: Panel) -> ScaleBar:
    """Pictures of one scale are printed at one scale: what is equal is the length on the page."""
    ratio = _px_per_shown(panel) / _px_per_shown(lender)
    length = max(1, round(bar.bar_px * ratio))
    box = BoxPx(0, 0, 1, length) if bar.is_vertical else BoxPx(0, 0, length, 1)
    return replace(
        bar,
        box=box,
        bar_px=bar.bar_px * ratio,
        mpp_um=None if bar.mpp_um is None else bar.mpp_um / ratio,
        score=round(bar.score * SHARED_SCORE, 4),
    )


def _place(bar: ScaleBar, panel: Panel) -> tuple[float, float, float]:
    """Return the middle of a bar in the figure's raster and how far it lies outside its panel there."""
    height, width = panel.pixels.shape[:2]
    x = panel.box.x0 + 0.5 * (bar.box.x0 + bar.box.x1) * panel.box.width / width
    y = panel.box.y0 + 0.5 * (bar.box.y0 + bar.box.y1) * panel.box.height / height
    away = max(0.0, panel.box.x0 - x, x - panel.box.x1, panel.box.y0 - y, y - panel.box.y1)
    return x, y, away


def _owned(panels: Sequence[Panel], bars: Mapping[str, Sequence[ScaleBar]]) -> dict[str, list[ScaleBar]]:
    claims = [(panel, bar, *_place(bar, panel)) for panel in panels for bar in bars.get(panel.panel_id, ())]
    owned: dict[str, list[ScaleBar]] = {panel.panel_id: [] for panel in panels}
    for panel, bar, x, y, away in claims:
        near = 0.5 * bar.bar_px * panel.box.width / panel.pixels.shape[1]
        rivals = [
            rival
            for other, _, other_x, other_y, rival in claims
            if other is not panel and abs(other_x - x) < near and abs(other_y - y) < near
        ]
        if not away or all(away <= rival for rival in rivals):
            owned[panel.panel_id].append(bar)
    return owned
