"""Where a review stands on the page, and finding that place again when an article is annotated anew."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from db import models
from db.models import table
from harvester.catalog_rows import Row
from harvester.geometry import BoxPt, BoxPx, px_to_pt

SAME_REGION_IOU = 0.5
"""Least overlap, intersection over union, at which a region of the new annotation is the one that was reviewed."""

SAME_DENSITY = 1.02
"""Largest ratio between the pixels of then and now at which a magnification given then holds for the pixels of now."""

PLACE_QUERY = """
SELECT s.snapshot_id, f.article_id, f.figure_id, f.page_number, s.x0_px, s.y0_px, s.x1_px, s.y1_px,
       p.native_width_px, p.native_height_px, p.page_x0_pt, p.page_y0_pt, p.page_x1_pt, p.page_y1_pt,
       p.x0_px AS panel_x0_px, p.y0_px AS panel_y0_px, p.x1_px AS panel_x1_px, p.y1_px AS panel_y1_px
FROM snapshot s JOIN panel p ON p.panel_id = s.panel_id JOIN figure f ON f.figure_id = p.figure_id
"""

_PAGE = ("page_x0_pt", "page_y0_pt", "page_x1_pt", "page_y1_pt")
_FIGURE = ("figure_x0_px", "figure_y0_px", "figure_x1_px", "figure_y1_px")


def place_values(row: Row) -> dict[str, Any]:
    """Return the columns of a review that say where its snapshot lies, from a row of PLACE_QUERY.

    The box is on the page, in points; for a picture without a page it is in the pixels of the figure's raster.
    """
    on_page = row["page_number"] is not None and row["page_x0_pt"] is not None
    names = _PAGE if on_page else _FIGURE
    box = _place_box(row, on_page=on_page)
    corners = [row[name] for name in _PAGE] if on_page else [row["panel_x0_px"], 0.0, row["panel_x1_px"], 0.0]
    return {
        "article_id": row["article_id"],
        "figure_id": row["figure_id"],
        "page_number": row["page_number"] if on_page else None,
        **dict.fromkeys((*_PAGE, *_FIGURE)),
        **dict(zip(names, box.as_tuple(), strict=True)),
        "px_density": row["native_width_px"] / (corners[2] - corners[0]),
    }


def _place_box(row: Row, *, on_page: bool) -> BoxPt:
    corners = [row[name] for name in _PAGE] if on_page else [row[f"panel_{n}_px"] for n in ("x0", "y0", "x1", "y1")]
    return px_to_pt(
        BoxPx(row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"]),
        raster_width_px=row["native_width_px"],
        raster_height_px=row["native_height_px"],
        page_box=BoxPt(*corners),
    )


def attach_reviews(connection: Connection, article_id: str) -> dict[str, int]:
    """Give every review of an article the snapshot that now lies where it was given; call after the rows were replaced.

    A review whose place no snapshot covers any more (IoU below SAME_REGION_IOU) becomes an orphan: it is kept, counts
    for nothing, and comes back when a later annotation finds the region again. So does one with a magnification, which
    is of the pixels that were seen, when these are finer or coarser now. Reviews that know no place are left.

    Returns:
        How many were reviews_moved to another snapshot, reviews_orphaned, and reviews_back from being orphans.
    """
    counts = {"reviews_moved": 0, "reviews_orphaned": 0, "reviews_back": 0}
    review = table(models.Review)
    query = select(review).where(review.c.article_id == article_id)
    reviews = connection.execute(query).mappings().all()
    if not reviews:
        return counts
    places = _places(connection, article_id)
    changes = []
    for row in reviews:
        spot = _spot(row)
        if spot is None:
            continue
        where, box = spot
        ranked = [
            (box.iou(other), snapshot_id == row["snapshot_id"], snapshot_id)
            for snapshot_id, other, density in places.get(where, ())
            if row["magnification_x"] is None or _is_as_fine(row["px_density"], density)
        ]
        overlap, _, snapshot_id = max(ranked, default=(0.0, False, row["snapshot_id"]))
        is_orphan = overlap < SAME_REGION_IOU
        target = row["snapshot_id"] if is_orphan else snapshot_id
        if (target, is_orphan) != (row["snapshot_id"], row["is_orphan"]):
            changes.append({"key": row["review_id"], "snapshot_id": target, "is_orphan": is_orphan})
            if is_orphan == row["is_orphan"]:
                counts["reviews_moved"] += 1
            else:
                counts["reviews_orphaned" if is_orphan else "reviews_back"] += 1
    if changes:
        connection.execute(review.update().where(review.c.review_id == bindparam("key")), changes)
    return counts


def _is_as_fine(then: float | None, now: float) -> bool:
    return then is None or max(then, now) <= SAME_DENSITY * min(then, now)


def _places(connection: Connection, article_id: str) -> dict[tuple[str, Any], list[tuple[str, BoxPt, float]]]:
    """Return boxes and pixel densities of an article's snapshots by page number or, without a page, by figure."""
    rows = connection.execute(text(f"{PLACE_QUERY} WHERE f.article_id = :article_id"), {"article_id": article_id})
    places: dict[tuple[str, Any], list[tuple[str, BoxPt, float]]] = {}
    for row in rows.mappings():
        values = place_values(row)
        spot = _spot(values)
        if spot is not None:
            places.setdefault(spot[0], []).append((row["snapshot_id"], spot[1], values["px_density"]))
    return places


def _spot(values: Row) -> tuple[tuple[str, Any], BoxPt] | None:
    if values["page_x0_pt"] is not None:
        return ("page", values["page_number"]), BoxPt(*(values[name] for name in _PAGE))
    if values["figure_x0_px"] is not None:
        return ("figure", values["figure_id"]), BoxPt(*(values[name] for name in _FIGURE))
    return None
