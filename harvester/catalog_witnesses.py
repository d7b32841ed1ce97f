"""The witnesses of a snapshot's scale, gathered from their tables, and what they say together, written back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from db import models, queries
from db.models import table
from harvester.catalog_rows import Row, reconciled_values, sync_rows
from harvester.records import Reconciled, Witnesses

Judge: TypeAlias = Callable[[Sequence[Witnesses]], list[Reconciled]]
"""Judges all snapshots of one article together."""

# the best-scored row of each kind, as in the view `snapshots`
_BEST = (
    "(SELECT x.evidence_id FROM evidence x"
    " WHERE x.panel_id = s.panel_id AND x.kind = '{kind}' AND x.{column} IS NOT NULL"
    " ORDER BY COALESCE(x.score, 0) DESC, x.evidence_id LIMIT 1)"
)
_WITNESSES = f"""
SELECT s.snapshot_id, s.nucleus_px, s.n_nuclei, f.article_id,
       e.mpp_um AS image_mpp_um, e.abstained AS image_abstained,
       10.0 / e.magnification_hi_x AS image_lo90_um, 10.0 / e.magnification_lo_x AS image_hi90_um,
       e.mpp_lo99_um AS image_lo99_um, e.mpp_hi99_um AS image_hi99_um,
       b.mpp_um AS bar_mpp_um, b.score AS bar_score, b.text AS bar_text,
       d.mpp_um AS metadata_mpp_um, c.objective_x, c.stated_x, w.mpp_um AS field_mpp_um
FROM snapshot s
JOIN panel p ON p.panel_id = s.panel_id
JOIN figure f ON f.figure_id = p.figure_id
LEFT JOIN estimate e ON e.snapshot_id = s.snapshot_id AND e.model_id = (
    SELECT m.model_id FROM estimate x JOIN model m ON m.model_id = x.model_id
    WHERE x.snapshot_id = s.snapshot_id ORDER BY m.rank, m.version DESC, m.model_id LIMIT 1)
LEFT JOIN evidence b ON b.evidence_id = {_BEST.format(kind="scale_bar", column="mpp_um")}
LEFT JOIN evidence c ON c.evidence_id = {_BEST.format(kind="caption", column="stated_x")}
LEFT JOIN evidence d ON d.evidence_id = {_BEST.format(kind="metadata", column="mpp_um")}
LEFT JOIN evidence w ON w.evidence_id = {_BEST.format(kind="caption", column="mpp_um")}
"""  # noqa: S608 nothing of a user's goes in

BATCH = 300


def load_witnesses(connection: Connection, article_id: str | None = None) -> list[Witnesses]:
    """Return the witnesses of every snapshot, or of those of one article, by id."""
    where = "WHERE f.article_id = :article_id " if article_id is not None else ""
    values = {"article_id": article_id} if article_id is not None else {}
    rows = queries.select_rows(connection, f"{_WITNESSES} {where}ORDER BY s.snapshot_id", **values)
    return [_from_row(row) for row in rows]


def reconcile_rows(connection: Connection, judge: Judge, article_id: str | None = None) -> int:
    """Let every snapshot, or those of one article, be judged, article by article, and write what differs.

    Returns:
        How many were judged otherwise than before.
    """
    by_article: dict[str, list[Witnesses]] = {}
    for item in load_witnesses(connection, article_id):
        by_article.setdefault(item.article_id, []).append(item)
    return _write(connection, [verdict for items in by_article.values() for verdict in judge(items)])


def _write(connection: Connection, verdicts: Sequence[Reconciled]) -> int:
    target = table(models.Reconciled)
    n_changed = 0
    for start in range(0, len(verdicts), BATCH):
        batch = verdicts[start : start + BATCH]
        keys = [item.snapshot_id for item in batch]
        scope = target.c.snapshot_id.in_(keys)
        n_changed += len(sync_rows(connection, target, [reconciled_values(item) for item in batch], scope))
    return n_changed


def _from_row(row: Row) -> Witnesses:
    values = {name: row[name] for name in Witnesses.__dataclass_fields__}
    values["image_abstained"] = row["image_abstained"] is None or bool(row["image_abstained"])
    return Witnesses(**values)
