"""Keeping what a reviewer says: rows are added, one is withdrawn at most, and none gets lost when two work at once."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, RowMapping, bindparam, text

from db import models
from db.models import table
from harvester.catalog import Catalog
from harvester.catalog_reviews import PLACE_QUERY, place_values
from harvester.errors import HarvestError
from harvester.geometry import BoxPx
from harvester.records import PanelKind
from harvester.review.doubt import rank_of
from harvester.review.order import note_verdict

VerdictName = Literal["accept", "reject", "correct"]

MAX_NOTE_CHARACTERS = 2000
LOWEST_X, HIGHEST_X = 0.05, 400.0
"""Magnifications a light micrograph can have, with room: 200 µm to 0.025 µm per pixel."""


class ReviewRefused(HarvestError):
    """What was sent cannot be kept; str() says why."""


class Outdated(ReviewRefused):
    """Somebody else reviewed the snapshot since the page was shown; nothing was kept yet."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reviewer says of one snapshot.

    Attributes:
        magnification_x: The right magnification; with `correct` only.
        kind, panel_label: The right kind and letter; None when the machine's stay.
        box: The right box in the panel's native raster; None when the machine's stays.

    Raises:
        ReviewRefused: when a number is out of range, or `correct` corrects nothing.
    """

    snapshot_id: str
    verdict: VerdictName
    reviewer: str
    magnification_x: float | None = None
    note: str | None = None
    kind: PanelKind | None = None
    panel_label: str | None = None
    box: BoxPx | None = None

    def __post_init__(self) -> None:
        x = self.magnification_x
        if x is not None and not (math.isfinite(x) and LOWEST_X <= x <= HIGHEST_X):
            raise ReviewRefused(f"A magnification of {x:g}x cannot be: give one from {LOWEST_X:g} to {HIGHEST_X:g}.")
        if self.verdict == "correct" and x is None and not (self.kind or self.panel_label or self.box):
            raise ReviewRefused("Nothing was corrected: give a magnification, a kind, a letter or a box.")
        if self.verdict != "correct" and x is not None:
            raise ReviewRefused("A magnification belongs to a correction: press Correct to keep it.")
        if not self.reviewer.strip():
            raise ReviewRefused("Give your name first, so that two reviewers can be told apart.")
        if self.note is not None and len(self.note) > MAX_NOTE_CHARACTERS:
            raise ReviewRefused(f"The note is too long: {MAX_NOTE_CHARACTERS} characters are kept.")


def save_verdict(catalog: Catalog, verdict: Verdict, *, seen: str | None, blind: bool) -> str:
    """Add a review and return its review_id.

    Args:
        seen: The newest review of the snapshot that the reviewer's page showed; None when it showed none.
        blind: Whether estimate and witnesses are hidden from reviewers; the first review of a snapshot by each of them
            is then marked as blind, and nobody is told what others said before.

    Raises:
        Outdated: when somebody else has reviewed the snapshot since; ask again with the newest.
        ReviewRefused: when there is no such snapshot any more.
    """
    now = _now()
    with catalog.writing() as connection:
        place = _one(connection, f"{PLACE_QUERY} WHERE s.snapshot_id = :id", id=verdict.snapshot_id)
        if place is None:
            raise ReviewRefused(f"The snapshot {verdict.snapshot_id} is no longer in the harvest: annotated anew.")
        box = verdict.box
        if box is not None and (box.x1 > place["native_width_px"] or box.y1 > place["native_height_px"]):
            raise ReviewRefused(
                f"The box reaches beyond the panel of {place['native_width_px']} x {place['native_height_px']} px."
            )
        newest = newest_review(connection, verdict.snapshot_id)
        if not blind and newest is not None and newest["reviewer"] != verdict.reviewer and newest["review_id"] != seen:
            raise Outdated(
                f"Not saved yet: {newest['reviewer']} has meanwhile said {describe(newest)} of this snapshot."
                " Look again, and repeat yours to keep both."
            )
        review_id = f"{now}-{secrets.token_hex(4)}"
        row = {
            "review_id": review_id,
            "snapshot_id": verdict.snapshot_id,
            "verdict": verdict.verdict,
            "magnification_x": verdict.magnification_x,
            "note": verdict.note or None,
            "reviewer": verdict.reviewer,
            "created_at": now,
            "kind": verdict.kind,
            "panel_label": verdict.panel_label,
            **dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), _corners(box), strict=True)),
            "is_blind": blind and not has_committed(connection, verdict.snapshot_id, verdict.reviewer),
            **place_values(place),
        }
        connection.execute(table(models.Review).insert(), row)
        _refresh_queue(connection, verdict.snapshot_id, verdict.reviewer)
    return review_id


def withdraw_newest(catalog: Catalog, reviewer: str) -> str | None:
    """Take back the newest review of a reviewer that still counts; return its snapshot_id, None when there is none."""
    with catalog.writing() as connection:
        row = _one(
            connection,
            "SELECT review_id, snapshot_id FROM review WHERE reviewer = :reviewer AND withdrawn_at IS NULL"
            " AND NOT is_orphan ORDER BY created_at DESC, review_id DESC LIMIT 1",
            reviewer=reviewer,
        )
        if row is None:
            return None
        connection.execute(
            text("UPDATE review SET withdrawn_at = :now WHERE review_id = :id"), {"now": _now(), "id": row["review_id"]}
        )
        _refresh_queue(connection, row["snapshot_id"], reviewer)
    return str(row["snapshot_id"])


def newest_review(connection: Connection, snapshot_id: str) -> RowMapping | None:
    """Return the newest review of a snapshot by anybody, withdrawn ones left out."""
    return _one(
        connection,
        "SELECT * FROM review WHERE snapshot_id = :id AND withdrawn_at IS NULL AND NOT is_orphan"
        " ORDER BY created_at DESC, review_id DESC LIMIT 1",
        id=snapshot_id,
    )


def has_committed(connection: Connection, snapshot_id: str, reviewer: str) -> bool:
    """Return whether a reviewer ever said anything of a snapshot, so that nothing is hidden any more."""
    return snapshot_id in committed(connection, [snapshot_id], reviewer)


def committed(connection: Connection, snapshot_ids: Sequence[str], reviewer: str) -> set[str]:
    """Return those of some snapshots that a reviewer ever said anything of."""
    query = text("SELECT DISTINCT snapshot_id FROM review WHERE snapshot_id IN :ids AND reviewer = :reviewer")
    values = {"ids": list(snapshot_ids), "reviewer": reviewer}
    return set(connection.execute(query.bindparams(bindparam("ids", expanding=True)), values).scalars())


def describe(review: RowMapping) -> str:
    """Return a review in a few words: "accept", "correct to 20x"."""
    x = review["magnification_x"]
    return f"{review['verdict']} to {x:.3g}x" if x is not None else str(review["verdict"])


def _refresh_queue(connection: Connection, snapshot_id: str, reviewer: str) -> None:
    place = _one(connection, "SELECT position, doubt FROM review_queue WHERE snapshot_id = :id", id=snapshot_id)
    row = _one(connection, "SELECT * FROM snapshots WHERE snapshot_id = :id", id=snapshot_id)
    if place is not None and row is not None:
        rank = rank_of(place["doubt"], row["agreement"])
        note_verdict(connection, snapshot_id, reviewer, {**row, **place}, rank)


def _corners(box: BoxPx | None) -> tuple[int | None, ...]:
    return (box.x0, box.y0, box.x1, box.y1) if box else (None,) * 4


def _one(connection: Connection, query: str, **values: object) -> RowMapping | None:
    return connection.execute(text(query), values).mappings().one_or_none()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
