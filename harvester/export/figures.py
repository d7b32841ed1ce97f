"""Whole figures for COCO: their pixels read again from the article, their boxes from the catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harvester.catalog import Catalog
from harvester.export.formats.writer import FigurePicture, FigureRegion, FigureSource, box_in_figure
from harvester.geometry import BoxPx
from harvester.records import Figure

FigureReader = Callable[[str], Iterator[Figure]]
"""Takes an article_id and reads its figures from its files; leaves out what can't be read."""

_PANELS = """
SELECT p.panel_id, p.kind, p.label, p.caption, p.x0_px, p.y0_px, p.x1_px, p.y1_px, p.native_width_px,
       p.native_height_px, f.width_px, f.height_px, f.label AS figure_label, f.caption AS figure_caption
FROM panel p JOIN figure f ON f.figure_id = p.figure_id WHERE p.figure_id = :figure_id ORDER BY p.panel_id
"""
_SNAPSHOTS = """
SELECT s.snapshot_id, s.panel_id, s.x0_px, s.y0_px, s.x1_px, s.y1_px
FROM snapshot s JOIN panel p ON p.panel_id = s.panel_id WHERE p.figure_id = :figure_id ORDER BY s.snapshot_id
"""


def figure_source(catalog: Catalog, read_figures: FigureReader) -> FigureSource:
    """Return what the COCO writer asks for figures. A figure of another size than the catalog's is left out."""

    def figures_of(article_id: str, wanted: frozenset[str]) -> Iterator[FigurePicture]:
        for figure in read_figures(article_id):
            if figure.figure_id not in wanted:
                continue
            panels = catalog.rows(_PANELS, figure_id=figure.figure_id)
            snapshots = catalog.rows(_SNAPSHOTS, figure_id=figure.figure_id)
            height, width = figure.pixels.shape[:2]
            if panels and (panels[0]["width_px"], panels[0]["height_px"]) == (width, height):
                yield FigurePicture(
                    figure.figure_id,
                    panels[0]["figure_label"],
                    panels[0]["figure_caption"],
                    figure.pixels,
                    tuple(_regions(panels, snapshots)),
                )

    return figures_of


def _regions(panels: list[dict[str, Any]], snapshots: list[dict[str, Any]]) -> Iterator[FigureRegion]:
    for panel in panels:
        box = _box(panel)
        words = (panel["panel_id"], panel["kind"], panel["label"], panel["caption"])
        yield FigureRegion((float(box.x0), float(box.y0), float(box.width), float(box.height)), *words)
        for snapshot in snapshots:
            if snapshot["panel_id"] == panel["panel_id"]:
                size = panel["native_width_px"], panel["native_height_px"]
                yield FigureRegion(box_in_figure(box, *size, _box(snapshot)), *words, snapshot["snapshot_id"])


def _box(row: dict[str, Any]) -> BoxPx:
    return BoxPx(row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"])
