"""The larger questions asked of a catalog, as SQL; nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, RowMapping, text

FETCH_STAGES = ("search", "fetch", "add")
"""Stages that end before an article is read; everything later belongs to its annotation."""

_STAGES = ", ".join(f"'{stage}'" for stage in FETCH_STAGES)

_TO_ANNOTATE = f"""
SELECT a.article_id FROM article a
WHERE EXISTS (SELECT 1 FROM asset s WHERE s.article_id = a.article_id AND s.role IN ('pdf', 'media'))
  AND (
    (a.annotated_version IS NULL AND NOT EXISTS (
        SELECT 1 FROM skip k WHERE k.article_id = a.article_id AND k.subject_id = a.article_id
          AND k.stage NOT IN ({_STAGES}) AND k.is_permanent))
    OR a.annotated_version <> COALESCE(:version, a.annotated_version)
    OR EXISTS (
        SELECT 1 FROM skip k WHERE k.article_id = a.article_id AND k.subject_id = a.article_id
          AND k.stage NOT IN ({_STAGES}) AND (NOT k.is_permanent OR :retry_failed)))
ORDER BY a.article_id
"""  # noqa: S608 nothing of a user's goes in

_KNOWN = f"""
SELECT a.pmcid, a.article_id FROM article a
WHERE a.pmcid IS NOT NULL AND a.source <> 'local'
  AND NOT EXISTS (
    SELECT 1 FROM skip k
    WHERE k.article_id IN (a.article_id, a.pmcid) AND k.stage IN ({_STAGES}) AND NOT k.is_permanent)
  AND (EXISTS (SELECT 1 FROM asset s WHERE s.article_id = a.article_id)
       OR EXISTS (SELECT 1 FROM skip k WHERE k.article_id = a.article_id AND k.stage IN ({_STAGES})))
ORDER BY a.version, a.article_id
"""  # noqa: S608

_ARTICLE_COUNTS = """
SELECT COUNT(*) AS n_articles,
       COALESCE(SUM(CASE WHEN has_files = 1 THEN 1 ELSE 0 END), 0) AS n_downloaded,
       COALESCE(SUM(CASE WHEN has_files = 1 AND annotated_version IS NOT NULL THEN 1 ELSE 0 END), 0) AS n_annotated,
       COALESCE(SUM(has_figure), 0) AS n_with_figures,
       COALESCE(SUM(has_snapshot), 0) AS n_with_snapshots
FROM (
    SELECT a.annotated_version,
           CASE WHEN EXISTS (SELECT 1 FROM asset s WHERE s.article_id = a.article_id AND s.role IN ('pdf', 'media'))
                THEN 1 ELSE 0 END AS has_files,
           CASE WHEN EXISTS (SELECT 1 FROM figure f WHERE f.article_id = a.article_id)
                THEN 1 ELSE 0 END AS has_figure,
           CASE WHEN EXISTS (SELECT 1 FROM figure f JOIN panel p ON p.figure_id = f.figure_id
                             JOIN snapshot s ON s.panel_id = p.panel_id WHERE f.article_id = a.article_id)
                THEN 1 ELSE 0 END AS has_snapshot
    FROM article a
) AS counted
"""

# an article that was turned away before it had a row is known by its skip alone: under its id or its PMCID, a file that
# was added under its name
_LEFT_OUT = f"""
SELECT reason, COUNT(*) AS n FROM (
    SELECT CASE WHEN k.stage = 'add' THEN k.subject_id ELSE k.article_id END AS what, MIN(k.reason) AS reason
    FROM skip k
    WHERE k.stage IN ({_STAGES})
      AND NOT EXISTS (SELECT 1 FROM article a WHERE a.article_id = k.article_id OR a.pmcid = k.article_id)
    GROUP BY CASE WHEN k.stage = 'add' THEN k.subject_id ELSE k.article_id END
    UNION ALL
    SELECT a.article_id, COALESCE(
        (SELECT MIN(k.reason) FROM skip k
         WHERE k.article_id IN (a.article_id, a.pmcid) AND k.stage IN ({_STAGES})), 'not_fetched_yet') AS reason
    FROM article a
    WHERE NOT EXISTS (SELECT 1 FROM asset s WHERE s.article_id = a.article_id AND s.role IN ('pdf', 'media'))
) AS left_out
GROUP BY reason ORDER BY n DESC, reason
"""  # noqa: S608

_SNAPSHOT_COUNTS = """
SELECT COUNT(*) AS n_snapshots,
       COALESCE(SUM(CASE WHEN model_id IS NULL THEN 1 ELSE 0 END), 0) AS n_waiting,
       COALESCE(SUM(CASE WHEN model_id IS NOT NULL AND image_abstained THEN 1 ELSE 0 END), 0) AS n_abstained,
       COALESCE(SUM(CASE WHEN model_id IS NOT NULL AND NOT image_abstained THEN 1 ELSE 0 END), 0) AS n_estimated,
       COALESCE(SUM(CASE WHEN mpp_um IS NOT NULL THEN 1 ELSE 0 END), 0) AS n_with_scale,
       COALESCE(SUM(CASE WHEN agreement = 'conflict' THEN 1 ELSE 0 END), 0) AS n_conflicts,
       COALESCE(SUM(CASE WHEN review_verdict IS NOT NULL THEN 1 ELSE 0 END), 0) AS n_reviewed,
       COALESCE(SUM(CASE WHEN is_retracted OR is_removed OR superseded_by IS NOT NULL THEN 1 ELSE 0 END), 0)
           AS n_kept_back
FROM snapshots
"""


def select_articles_to_annotate(connection: Connection, version: str | None, *, retry_failed: bool) -> list[str]:
    """Return ids of articles that have something to read and are due.

    Due is: never annotated, unless it failed for good; annotated by another version; failed in passing. With
    `retry_failed` also what failed for good.
    """
    values = {"version": version, "retry_failed": retry_failed}
    return list(connection.execute(text(_TO_ANNOTATE), values).scalars())


def select_known_articles(connection: Connection) -> dict[str, str]:
    """Return PMCID to id of the newest version, of articles whose fetching is over (whole, or refused for good)."""
    return {row.pmcid: row.article_id for row in connection.execute(text(_KNOWN))}


def count_articles(connection: Connection) -> dict[str, int]:
    """Return n_articles, n_downloaded, n_annotated, n_with_figures, n_with_snapshots."""
    return dict(connection.execute(text(_ARTICLE_COUNTS)).mappings().one())


def count_left_out(connection: Connection) -> dict[str, int]:
    """Return how many articles have nothing to read, each counted once, by reason."""
    return {row.reason: row.n for row in connection.execute(text(_LEFT_OUT))}


def count_kept_back(connection: Connection) -> dict[str, int]:
    """Return how many articles with files are retracted, else removed, else superseded."""
    query = (
        "SELECT reason, COUNT(*) AS n FROM (SELECT CASE WHEN a.is_retracted THEN 'retracted' WHEN a.is_removed THEN"
        " 'removed' ELSE 'superseded' END AS reason FROM article a"
        " WHERE (a.is_retracted OR a.is_removed OR a.superseded_by IS NOT NULL) AND EXISTS (SELECT 1 FROM asset s"
        " WHERE s.article_id = a.article_id AND s.role IN ('pdf', 'media'))) AS kept GROUP BY reason ORDER BY reason"
    )
    return {row.reason: row.n for row in connection.execute(text(query))}


def count_figures(connection: Connection) -> int:
    """Return how many figures there are."""
    return int(connection.execute(text("SELECT COUNT(*) FROM figure")).scalar_one())


def count_panels(connection: Connection) -> dict[str, int]:
    """Return how many panels there are of each kind, most first."""
    query = "SELECT kind, COUNT(*) AS n FROM panel GROUP BY kind ORDER BY n DESC, kind"
    return {row.kind: row.n for row in connection.execute(text(query))}


def count_snapshots(connection: Connection) -> dict[str, int]:
    """Return n_snapshots, n_waiting, n_abstained, n_estimated, n_with_scale, n_conflicts, n_reviewed, n_kept_back."""
    return dict(connection.execute(text(_SNAPSHOT_COUNTS)).mappings().one())


def count_skips(connection: Connection) -> list[tuple[str, str, bool, int]]:
    """Return (stage, reason, is_permanent, how many), in the order of stages, most first."""
    query = "SELECT stage, reason, is_permanent, COUNT(*) AS n FROM skip GROUP BY stage, reason, is_permanent"
    rows = [(row.stage, row.reason, bool(row.is_permanent), int(row.n)) for row in connection.execute(text(query))]
    order = {stage: n for n, stage in enumerate(("search", "add", "fetch", "documents", "panels", "stain"))}
    return sorted(rows, key=lambda row: (order.get(row[0], len(order)), row[0], -row[3], row[1], row[2]))


def count_conflict_articles(connection: Connection) -> list[tuple[str, int]]:
    """Return (article_id, how many snapshots) of articles whose scale bars contradict their tissue, most first."""
    query = (
        "SELECT article_id, COUNT(*) AS n FROM snapshots WHERE agreement = 'conflict'"
        " GROUP BY article_id ORDER BY n DESC, article_id"
    )
    return [(row.article_id, int(row.n)) for row in connection.execute(text(query))]


def stream_snapshots(connection: Connection) -> Iterator[RowMapping]:
    """Yield the rows of the view `snapshots` by id, a few hundred in memory at a time."""
    found = connection.execution_options(yield_per=500).execute(text("SELECT * FROM snapshots ORDER BY snapshot_id"))
    yield from found.mappings()


def stream_rows(connection: Connection, query: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of one question as tuples, a few thousand in memory at a time."""
    found = connection.execution_options(yield_per=2000).execute(text(query), values)
    for row in found:
        yield tuple(row)


def select_rows(connection: Connection, query: str, **values: Any) -> list[RowMapping]:
    """Return all rows of a small question."""
    return list(connection.execute(text(query), values).mappings())
