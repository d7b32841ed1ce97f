"""Everything the report says but for pixels, read from the catalog; bounded whatever the size of the harvest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harvester.catalog import Catalog, Funnel
from harvester.report.scan import Scan, may_show, scan_snapshots
from harvester.report.tallies import Sample

N_ARTICLES_RECUT = 12
"""Articles whose refused panels are shown; each costs reading its figures once more."""
N_REFUSED = 24
"""Refused panels shown; of few articles more from each."""
N_RUNS = 12
N_FAILURES = 12

FAILURES = ("internal_error", "timeout", "crashed", "memory")
"""Reasons that speak of the program, not of the article."""

Rows = Sequence[Mapping[str, Any]]

_REFUSED_ARTICLES = """
SELECT a.article_id, a.licence_code, a.text_licence_code FROM article a
WHERE NOT a.is_retracted AND NOT a.is_removed AND a.superseded_by IS NULL AND EXISTS (
    SELECT 1 FROM figure f JOIN panel p ON p.figure_id = f.figure_id
    WHERE f.article_id = a.article_id AND f.rights IS NULL
      AND NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.panel_id = p.panel_id))
"""

_REFUSED_PANELS = """
SELECT p.panel_id, p.figure_id, f.article_id, p.kind, p.kind_score, p.x0_px, p.y0_px, p.x1_px, p.y1_px,
       f.width_px, f.height_px,
       (SELECT MIN(k.detail) FROM skip k WHERE k.subject_id = p.panel_id) AS detail,
       (SELECT MIN(k.reason) FROM skip k WHERE k.subject_id = p.panel_id) AS reason
FROM panel p JOIN figure f ON f.figure_id = p.figure_id
WHERE f.article_id = :article_id AND f.rights IS NULL
  AND NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.panel_id = p.panel_id)
ORDER BY p.panel_id LIMIT 2000
"""

_ALL_REFUSED = (
    "SELECT COUNT(*) AS n FROM panel p WHERE NOT EXISTS (SELECT 1 FROM snapshot s WHERE s.panel_id = p.panel_id)"
)

_RUNS = f"""
SELECT command, started_at, finished_at, exit_code, version FROM run ORDER BY started_at DESC, run_id DESC
LIMIT {N_RUNS}
"""  # noqa: S608 a constant of this file

_FAILED = f"FROM skip WHERE NOT is_permanent OR reason IN ({', '.join(map(repr, FAILURES))})"
_FAILURES = f"SELECT subject_id, stage, reason, detail, is_permanent {_FAILED} ORDER BY subject_id, stage, reason"

_QUERIES = "SELECT DISTINCT query FROM article WHERE query IS NOT NULL ORDER BY query LIMIT 3"
_LICENCES = "SELECT licence_code AS name, COUNT(*) AS n FROM article GROUP BY licence_code ORDER BY n DESC, name"


@dataclass(frozen=True, slots=True)
class RefusedPanel:
    """A panel without a snapshot, with what is needed to cut it out of its article again.

    Attributes:
        box: x0, y0, x1, y1 in the figure's raster.
        figure_size: Width and height that raster had.
        reason, detail: Why it gave no snapshot; None when nothing was noted.
    """

    panel_id: str
    figure_id: str
    article_id: str
    kind: str
    kind_score: float
    box: tuple[int, int, int, int]
    figure_size: tuple[int, int]
    reason: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class RunTotal:
    """All runs of one command together."""

    command: str
    n: int
    n_failed: int
    n_open: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report says.

    Attributes:
        runs: The newest runs, newest first; `n_runs` in all.
        failures: The first of `n_failures` skips that a later run may mend or that the program itself is to blame for.
        article_licences: name and n, over all articles.
        refused: A drawn few of the `n_refused` panels without a snapshot.
        citations: Of the articles that are named somewhere.
        titles: Likewise.
    """

    funnel: Funnel
    scan: Scan
    runs: Rows
    n_runs: int
    run_totals: tuple[RunTotal, ...]
    models: Rows
    failures: Rows
    n_failures: int
    article_licences: Rows
    n_bytes: int
    refused: tuple[RefusedPanel, ...]
    n_refused: int
    citations: Mapping[str, str]
    titles: Mapping[str, str]
    queries: tuple[str, ...]

    @property
    def as_of(self) -> str | None:
        """When the newest run began, ISO 8601; the report's only date, so that the same catalog gives the same file."""
        return str(self.runs[0]["started_at"]) if self.runs else None


def read_facts(catalog: Catalog, seed: str = "1") -> Facts:
    """Read everything but pixels. Time grows with the harvest, memory hardly."""
    scan = scan_snapshots(catalog, seed)
    refused = _draw_refused(catalog, seed)
    named = {shot.article_id for shot in (*scan.kept.items(), *scan.worst.items())}
    named |= {item.article_id for item in scan.conflicts} | {panel.article_id for panel in refused}
    articles = [_article(catalog, article_id) for article_id in sorted(named)]
    return Facts(
        funnel=catalog.funnel(),
        scan=scan,
        runs=catalog.rows(_RUNS),
        n_runs=_count(catalog, "SELECT COUNT(*) AS n FROM run"),
        run_totals=tuple(_run_totals(catalog)),
        models=catalog.rows("SELECT * FROM model ORDER BY rank, model_id"),
        failures=catalog.rows(f"{_FAILURES} LIMIT {N_FAILURES}"),
        n_failures=_count(catalog, f"SELECT COUNT(*) AS n {_FAILED}"),
        article_licences=catalog.rows(_LICENCES),
        n_bytes=_count(catalog, "SELECT COALESCE(SUM(n_bytes), 0) AS n FROM asset"),
        refused=tuple(refused),
        n_refused=_count(catalog, _ALL_REFUSED),
        citations={row["article_id"]: row["citation"] or row["article_id"] for row in articles},
        titles={row["article_id"]: row["title"] or row["article_id"] for row in articles},
        queries=tuple(row["query"] for row in catalog.rows(_QUERIES)),
    )


def _count(catalog: Catalog, query: str) -> int:
    return int(catalog.rows(query)[0]["n"])


def _article(catalog: Catalog, article_id: str) -> Mapping[str, Any]:
    query = "SELECT article_id, title, citation FROM article WHERE article_id = :article_id"
    return catalog.rows(query, article_id=article_id)[0]


def _draw_refused(catalog: Catalog, seed: str) -> Iterable[RefusedPanel]:
    """Draw articles, then panels in each: reading an article again is what costs."""
    drawn: Sample[str] = Sample(N_ARTICLES_RECUT, f"{seed}/refused-articles")
    for article_id, code, text_code in catalog.stream(_REFUSED_ARTICLES):
        if may_show(code, text_code, None):
            drawn.add(article_id, article_id)
    found = []
    n_each = -(-N_REFUSED // max(1, len(drawn.items())))
    for article_id in drawn.items():
        panels: Sample[RefusedPanel] = Sample(n_each, f"{seed}/refused")
        for row in catalog.rows(_REFUSED_PANELS, article_id=article_id):
            box = (row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"])
            size = (row["width_px"], row["height_px"])
            panel = RefusedPanel(
                row["panel_id"],
                row["figure_id"],
                row["article_id"],
                row["kind"],
                row["kind_score"],
                box,
                size,
                row["reason"],
                row["detail"],
            )
            panels.add(panel.panel_id, panel)
        found += panels.items()
    return found[:N_REFUSED]


def _run_totals(catalog: Catalog) -> Iterable[RunTotal]:
    counts: dict[str, Counter[str]] = {}
    seconds: dict[str, float] = {}
    for command, started, finished, code in catalog.stream(
        "SELECT command, started_at, finished_at, exit_code FROM run"
    ):
        own = counts.setdefault(command, Counter())
        own["n"] += 1
        own["n_open"] += finished is None
        own["n_failed"] += code not in (0, None)
        seconds[command] = seconds.get(command, 0.0) + (seconds_between(started, finished) or 0.0)
    for command, own in sorted(counts.items()):
        yield RunTotal(command, own["n"], own["n_failed"], own["n_open"], seconds[command])


def seconds_between(started: str | None, finished: str | None) -> float | None:
    """Return the seconds between two ISO 8601 times, None when one is missing or malformed."""
    try:
        passed = datetime.fromisoformat(finished or "") - datetime.fromisoformat(started or "")
    except (TypeError, ValueError):
        return None
    return max(0.0, passed.total_seconds())
