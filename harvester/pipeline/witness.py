"""What speaks of the scale of a figure's panels, apart from the image: bars, words, the file's own metadata.

Wiring only: the stages find, here what they found becomes rows with ids that stay the same from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harvester.magnification import PixelSize
from harvester.records import (
    ArticleText,
    CaptionReading,
    EvidenceRow,
    Figure,
    Panel,
    PanelKind,
    ScaleBar,
    StatedLength,
    StatedMagnification,
    SubjectReading,
)
from harvester.scale.bar_sharing import share_bars
from harvester.scale.bars import find_scale_bars
from harvester.scale.captions import for_panel, read_caption
from harvester.scale.lettering import TextReader
from harvester.subject.read import read_subject

MICROGRAPHS: frozenset[PanelKind] = frozenset({"he", "ihc", "other_stain", "cytology", "fluorescence"})
"""Kinds of panel that are looked at through a light microscope."""

IMPLAUSIBLE = "implausible"
"""Reading of a scale that no light micrograph of tissue can have."""


def read_captions(figure: Figure, panels: Sequence[Panel], text: ArticleText | None) -> dict[str, CaptionReading]:
    """Return what the words say of each panel's scale, by panel id."""
    letters = [panel.label for panel in panels if panel.label]
    whole = read_caption(figure.caption, letters, text.body if text is not None else "")
    return {panel.panel_id: for_panel(whole, panel.label) for panel in panels}


def read_bars(
    figure: Figure,
    panels: Sequence[Panel],
    kinds: Mapping[str, PanelKind],
    readings: Mapping[str, CaptionReading],
    reader: TextReader | None,
) -> dict[str, list[ScaleBar]]:
    """Return the scale bars of the micrographs among the panels, by panel id, the surest first."""
    micrographs = [panel for panel in panels if kinds[panel.panel_id] in MICROGRAPHS]
    found = {
        panel.panel_id: find_scale_bars(panel, figure, readings[panel.panel_id].lengths, reader)
        for panel in micrographs
    }
    return share_bars(micrographs, found, figure.caption)


def read_panel_subject(figure: Figure, panel: Panel, text: ArticleText | None) -> SubjectReading:
    """Return what the words around a panel say that it shows."""
    if text is None:
        return read_subject(panel.caption, figure.caption, "", ())
    return read_subject(panel.caption, figure.caption, text.title or "", text.mesh_terms, text.keywords)


def evidence_rows(
    panel: Panel,
    kind: PanelKind,
    reading: CaptionReading,
    bars: Sequence[ScaleBar],
    pixel_size: PixelSize | None,
) -> list[EvidenceRow]:
    """Return one row a witness: bars, magnifications, lengths in words, metadata; numbered in this order.

    Words about the scale of what is no micrograph are left out: they are said of its neighbours.
    """
    if kind not in MICROGRAPHS:
        return []
    sure = max((said.score for said in reading.magnifications), default=1.0)
    rows = [
        *(_bar_row(bar) for bar in bars),
        *(_magnification_row(said) for said in reading.magnifications),
        *(_length_row(said, panel, sure) for said in reading.lengths),
        *([_metadata_row(pixel_size)] if pixel_size is not None else []),
    ]
    return [_placed(panel.panel_id, number, row) for number, row in enumerate(rows, start=1)]


def _placed(panel_id: str, number: int, row: dict[str, object]) -> EvidenceRow:
    blank: dict[str, object] = dict.fromkeys(
        ("text", "stated_x", "objective_x", "reading", "value", "unit", "bar_px", "mpp_um", "magnification_x", "score")
    )
    return EvidenceRow(evidence_id=f"{panel_id}/e{number}", panel_id=panel_id, **(blank | row))  # type: ignore[arg-type]


def _bar_row(bar: ScaleBar) -> dict[str, object]:
    implausible = bar.mpp_um is not None and not bar.is_plausible
    return {
        "kind": "scale_bar",
        "text": bar.text,
        "reading": IMPLAUSIBLE if implausible else bar.found_in,
        "value": bar.value,
        "unit": bar.unit,
        "bar_px": _rounded(bar.bar_px),
        "mpp_um": _rounded(bar.mpp_um),
        "magnification_x": _rounded(10.0 / bar.mpp_um) if bar.mpp_um else None,
        "score": bar.score,
        "box": bar.box,
        "origin": bar.label_from,
    }


def _magnification_row(said: StatedMagnification) -> dict[str, object]:
    return {
        "kind": "caption",
        "text": said.text,
        "stated_x": said.stated_x,
        "objective_x": said.objective_x,
        "reading": said.reading,
        "score": round(said.score, 4),
        "origin": said.origin,
    }


def _length_row(said: StatedLength, panel: Panel, sure: float) -> dict[str, object]:
    """A width of the field is a pixel size; the length of a bar only with the bar. Ranks below magnifications."""
    width_px = panel.pixels.shape[1]
    mpp_um = _rounded(said.length_um / width_px) if said.kind == "field_width" else None
    return {
        "kind": "caption",
        "text": said.text,
        "reading": said.kind,
        "value": said.value,
        "unit": said.unit,
        "mpp_um": mpp_um,
        "magnification_x": _rounded(10.0 / mpp_um) if mpp_um else None,
        "score": round(min(said.score, sure), 4),
        "origin": said.origin,
    }


def _metadata_row(size: PixelSize) -> dict[str, object]:
    return {
        "kind": "metadata",
        "text": size.text,
        "mpp_um": _rounded(size.mpp_um),
        "magnification_x": _rounded(10.0 / size.mpp_um),
        "score": size.score,
        "origin": size.tag,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
