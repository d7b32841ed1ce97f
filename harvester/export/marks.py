"""What the catalog knows to be drawn on a snapshot: the scale bars its witnesses read there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db import models
from db.models import table
from harvester.catalog import Catalog
from harvester.export.pictures import Marks
from harvester.geometry import BoxPx

LABEL_ROOM_PX = 8
"""Kept clear round a bar; its label is found by its pixels."""

_QUERY = """
SELECT x0_px, y0_px, x1_px, y1_px FROM evidence
WHERE panel_id = :panel_id AND kind = 'scale_bar' AND x0_px IS NOT NULL ORDER BY evidence_id
"""


def known_marks(catalog: Catalog) -> Marks:
    """Return what gives the marks of a row of the view `snapshots`; always nothing where evidence has no boxes."""
    if "x0_px" not in table(models.Evidence).columns:
        return lambda row: []

    def marks_of(row: Mapping[str, Any]) -> list[BoxPx]:
        marks = []
        for bar in catalog.rows(_QUERY, panel_id=row["panel_id"]):
            x0, y0 = max(0, bar["x0_px"] - row["x0_px"]), max(0, bar["y0_px"] - row["y0_px"])
            x1, y1 = (
                min(row["width_px"], bar["x1_px"] - row["x0_px"]),
                min(row["height_px"], bar["y1_px"] - row["y0_px"]),
            )
            if x0 < x1 and y0 < y1:
                box = BoxPx(x0, y0, x1, y1)
                marks.append(box.grown(LABEL_ROOM_PX, width_px=row["width_px"], height_px=row["height_px"]))
        return marks

    return marks_of
