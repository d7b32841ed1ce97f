"""Everything the page shows of one snapshot, gathered in a handful of look-ups by id."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from harvester.catalog_reviews import PLACE_QUERY, place_values
from harvester.geometry import BoxPt
from harvester.names import is_article_id, is_plain_file_name
from harvester.review.drawing import CannotDraw, Marked, draw_page_region, draw_picture
from harvester.review.verdicts import has_committed, newest_review

BAR_SHARE = 0.25
"""Largest share of the picture's width that the drawn scale bar takes."""


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """The scale bar of the estimate, in pixels of the snapshot."""

    label: str
    length_px: float
    x_px: float
    y_px: float
    thickness_px: float
    font_px: float


@dataclass(frozen=True, slots=True)
class Item:
    """One snapshot as the page shows it.

    Attributes:
        row: Its row of the view `snapshots`, with the doubt of the queue.
        is_hidden: Whether estimate, witnesses, caption and figure are kept from the reviewer (blind, not committed).
        seen: The newest review anybody gave, None without; what the form sends back.
        mine: The reviewer's own newest review that counts, None without.
        bar: The scale bar to draw; None without a number or when hidden.
    """

    row: RowMapping
    is_hidden: bool
    seen: str | None
    mine: RowMapping | None
    reviews: Sequence[RowMapping]
    estimates: Sequence[RowMapping]
    evidence: Sequence[RowMapping]
    figure: RowMapping
    bar: DrawnBar | None


def load_item(connection: Connection, snapshot_id: str, reviewer: str, *, blind: bool) -> Item | None:
    """Return what is known of a snapshot; None when there is none of this id."""

    def rows(query: str, **values: Any) -> Sequence[RowMapping]:
        return connection.execute(text(query), values).mappings().all()

    found = rows("SELECT * FROM snapshots WHERE snapshot_id = :id", id=snapshot_id)
    if not found:
        return None
    row = found[0]
    is_hidden = blind and not has_committed(connection, snapshot_id, reviewer)
    newest = newest_review(connection, snapshot_id)
    reviews = rows(
        "SELECT * FROM review WHERE snapshot_id = :id AND withdrawn_at IS NULL AND NOT is_orphan"
        " ORDER BY created_at DESC, review_id DESC",
        id=snapshot_id,
    )
    (figure,) = rows(
        "SELECT f.*, p.native_width_px, p.native_height_px, q.doubt FROM panel p"
        " JOIN figure f ON f.figure_id = p.figure_id LEFT JOIN review_queue q ON q.snapshot_id = :id"
        " WHERE p.panel_id = :panel_id",
        id=snapshot_id,
        panel_id=row["panel_id"],
    )
    mpp_um = row["mpp_um"] or row["image_mpp_um"]
    return Item(
        row=row,
        is_hidden=is_hidden,
        seen=newest["review_id"] if newest is not None else None,
        mine=next((review for review in reviews if review["reviewer"] == reviewer), None),
        reviews=reviews,
        estimates=rows(
            "SELECT e.*, m.name, m.version FROM estimate e JOIN model m ON m.model_id = e.model_id"
            " WHERE e.snapshot_id = :id ORDER BY m.rank, m.version DESC, m.model_id",
            id=snapshot_id,
        ),
        evidence=rows(
            "SELECT * FROM evidence WHERE panel_id = :panel_id"
            " ORDER BY kind DESC, COALESCE(score, 0) DESC, evidence_id",
            panel_id=row["panel_id"],
        ),
        figure=figure,
        bar=None if is_hidden or not mpp_um else drawn_bar(mpp_um, row["width_px"], row["height_px"]),
    )


def round_length_um(longest_um: float) -> float:
    """Return the longest of 1, 2 or 5 times a power of ten that is not longer than this, in µm."""
    power = 10.0 ** math.floor(math.log10(longest_um))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= longest_um * (1 + 1e-9))


def drawn_bar(mpp_um: float, width_px: int, height_px: int) -> DrawnBar:
    """Return a scale bar of a round length for a picture of this pixel size, in its lower right corner."""
    length_um = round_length_um(width_px * BAR_SHARE * mpp_um)
    length_px = length_um / mpp_um
    side = min(width_px, height_px)
    margin_px = 0.04 * side
    return DrawnBar(
        f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm",
        length_px,
        width_px - margin_px - length_px,
        height_px - margin_px - 0.015 * side,
        0.015 * side,
        0.05 * side,
    )


def draw_context(connection: Connection, root: Path, snapshot_id: str, *, panel_only: bool = False) -> bytes:
    """Draw the figure that a snapshot was taken from as JPEG, with its panel and itself outlined; or the panel alone.

    Raises:
        CannotDraw: when there is no such snapshot, its file is gone or cannot be read, or its place is not known.
    """
    place = (
        connection.execute(text(f"{PLACE_QUERY} WHERE s.snapshot_id = :id"), {"id": snapshot_id})
        .mappings()
        .one_or_none()
    )
    if place is None:
        raise CannotDraw("There is no such snapshot any more.")
    query = (
        "SELECT f.*, (SELECT COUNT(*) FROM asset a WHERE a.article_id = f.article_id AND a.role = 'media') AS n_media,"
        " (SELECT MIN(a.name) FROM asset a WHERE a.article_id = f.article_id AND a.role = 'media') AS media,"
        " (SELECT MIN(a.name) FROM asset a WHERE a.article_id = f.article_id AND a.role = 'pdf') AS pdf"
        " FROM figure f WHERE f.figure_id = :figure_id"
    )
    figure = connection.execute(text(query), {"figure_id": place["figure_id"]}).mappings().one()
    spot = place_values(place)
    if spot["page_number"] is not None and figure["page_x0_pt"] is not None and figure["pdf"]:
        pdf, panel, snapshot = figure["pdf"], _box(place, "page", "pt"), _box(spot, "page", "pt")
        path = _stored(root, figure["article_id"], pdf)
        if panel_only:
            return draw_page_region(path, figure["page_number"], Marked(panel, None, snapshot), margin_pt=0.0)
        return draw_page_region(path, figure["page_number"], Marked(_box(figure, "page", "pt"), panel, snapshot))
    if figure["n_media"] == 1 and not figure["pdf"] and spot["figure_x0_px"] is not None:
        width_px, height_px = figure["width_px"], figure["height_px"]
        panel, snapshot = _box(place, "panel", "px"), _box(spot, "figure", "px")
        whole = Marked(BoxPt(0.0, 0.0, width_px, height_px), panel, snapshot)
        marked = Marked(panel, None, snapshot) if panel_only else whole
        path = _stored(root, figure["article_id"], figure["media"])
        return draw_picture(path, marked, width_px=width_px, height_px=height_px)
    raise CannotDraw("The figure has no place on a page of the PDF.")


def _box(row: Any, name: str, unit: str) -> BoxPt:
    return BoxPt(*(float(row[f"{name}_{corner}_{unit}"]) for corner in ("x0", "y0", "x1", "y1")))


def _stored(root: Path, article_id: str, name: str) -> Path:
    """Return the path of an article's file; a catalog that names anything outside its folder is not believed."""
    folder = (root / "articles").resolve()
    if is_article_id(article_id) and is_plain_file_name(name):
        path = (folder / article_id / name).resolve()
        if path.is_relative_to(folder) and path.is_file():
            return path
    raise CannotDraw("The article's file is gone; 'harvester verify --repair' and the next run get it again.")


def stored_snapshot(root: Path, sha256: str) -> Path:
    """Return the path of a snapshot by the hash it is named by (64 hex digits, checked by the caller).

    Raises:
        CannotDraw: when it is not there, or leads elsewhere.
    """
    folder = (root / "snapshots").resolve()
    path = (folder / sha256[:2] / f"{sha256}.png").resolve()
    if not (path.is_relative_to(folder) and path.is_file()):
        raise CannotDraw("The snapshot's file is no longer there; run 'harvester verify --repair' and annotate again.")
    return path
