"""What each run changed, and what became of articles at their source: marks on rows that stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from db import models, queries
from db.models import table

WHAT = {
    "article_new": "articles new",
    "article_new_version": "articles in a new version",
    "article_retracted": "articles retracted",
    "article_removed": "articles removed at the source",
    "article_back": "articles back at the source, or no longer retracted",
    "licence_changed": "articles under another licence",
    "files_changed": "articles with other files",
    "read_again": "articles read again by another version of the program",
    "snapshots_new": "snapshots new",
    "snapshots_gone": "snapshots gone",
    "snapshots_changed": "snapshots with other pixels or another box",
    "estimates_new": "estimates new",
    "estimates_changed": "estimates changed",
    "scales_changed": "pixel sizes judged anew",
    "reviews_moved": "reviews that went with their place to another snapshot",
    "reviews_orphaned": "reviews without a place",
    "reviews_back": "reviews that found their place again",
}
"""What is counted, in the order shown."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the runs after a moment changed.

    Attributes:
        runs: (run_id, command) in order.
        counts: How many, by a key of WHAT.
        subjects: Ids of the articles (of estimates: the models) by a key of WHAT, in order.
        reviews_given: Reviews given after that moment.
    """

    since: str
    runs: tuple[tuple[str, str], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    subjects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reviews_given: int = 0


def note_changes(connection: Connection, run_id: str | None, subject_id: str, counts: Mapping[str, int]) -> None:
    """Add what was changed to what this run has changed before; outside a run nothing is noted."""
    if run_id is None:
        return
    change = table(models.Change)
    for what, n in counts.items():
        if not n:
            continue
        match = (change.c.run_id == run_id) & (change.c.subject_id == subject_id) & (change.c.what == what)
        if connection.execute(update(change).where(match).values(n=change.c.n + n)).rowcount == 0:
            connection.execute(change.insert(), {"run_id": run_id, "subject_id": subject_id, "what": what, "n": n})


def read_changes(connection: Connection, since: str) -> Changes:
    """Add up what was changed by the runs that began after `since`, a run_id or a date; ids begin with their time."""
    later = "SELECT run_id, command FROM run WHERE run_id > :since ORDER BY run_id"
    runs = tuple((row["run_id"], row["command"]) for row in queries.select_rows(connection, later, since=since))
    query = (
        "SELECT c.what, c.subject_id, SUM(c.n) AS n FROM change c WHERE c.run_id > :since"
        " GROUP BY c.what, c.subject_id ORDER BY c.what, c.subject_id"
    )
    counts: Counter[str] = Counter()
    subjects: dict[str, list[str]] = {}
    for row in queries.select_rows(connection, query, since=since):
        counts[row["what"]] += row["n"]
        subjects.setdefault(row["what"], []).append(row["subject_id"])
    given = queries.select_rows(connection, "SELECT COUNT(*) AS n FROM review WHERE created_at > :since", since=since)
    return Changes(since, runs, dict(counts), {what: tuple(ids) for what, ids in subjects.items()}, given[0]["n"])


def mark_article(connection: Connection, run_id: str | None, pmcid: str, what: str, **values: Any) -> int:
    """Set columns of all versions of an article where they differ, and note it; return how many rows changed."""
    article = table(models.Article)
    rows = connection.execute(select(article).where(article.c.pmcid == pmcid, article.c.source != "local")).mappings()
    changed = [row for row in rows.all() if any(row[name] != value for name, value in values.items())]
    for row in changed:
        connection.execute(update(article).where(article.c.article_id == row["article_id"]).values(values))
        if row["superseded_by"] is None:
            note_changes(connection, run_id, row["article_id"], {what: 1})
    return len(changed)


def mark_current(connection: Connection, run_id: str | None, pmcid: str, article_id: str) -> bool:
    """Let one version stand for an article that its source holds, not retracted: the others are superseded by it.

    Returns:
        Whether another version stood for it before.
    """
    article = table(models.Article)
    rows = connection.execute(select(article).where(article.c.pmcid == pmcid, article.c.source != "local")).mappings()
    is_new = False
    for row in rows.all():
        newer = None if row["article_id"] == article_id else article_id
        values = {"is_removed": False, "superseded_by": newer}
        values |= {"is_retracted": False} if newer is None else {}
        if all(row[name] == value for name, value in values.items()):
            continue
        connection.execute(update(article).where(article.c.article_id == row["article_id"]).values(values))
        if newer is None and (row["is_removed"] or row["is_retracted"]):
            note_changes(connection, run_id, row["article_id"], {"article_back": 1})
        is_new = is_new or (newer is not None and row["superseded_by"] != newer)
    if is_new:
        note_changes(connection, run_id, article_id, {"article_new_version": 1})
    return is_new


def held_articles(connection: Connection) -> dict[str, list[tuple[str, str | None]]]:
    """Return PMCID to (article_id, md5 of its metadata) of every version with files, the current one last."""
    query = (
        "SELECT a.pmcid, a.article_id, (SELECT MIN(s.md5) FROM asset s WHERE s.article_id = a.article_id"
        " AND s.role = 'json') AS md5 FROM article a WHERE a.pmcid IS NOT NULL AND a.source <> 'local'"
        " AND EXISTS (SELECT 1 FROM asset s WHERE s.article_id = a.article_id)"
        " ORDER BY a.superseded_by IS NULL, a.version, a.article_id"
    )
    held: dict[str, list[tuple[str, str | None]]] = {}
    for row in queries.select_rows(connection, query):
        held.setdefault(row["pmcid"], []).append((row["article_id"], row["md5"]))
    return held


def snapshot_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, int]:
    """Compare snapshots (id to what they are) of an article before and after it was read."""
    return {
        "snapshots_new": len(after.keys() - before.keys()),
        "snapshots_gone": len(before.keys() - after.keys()),
        "snapshots_changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
    }


def changed_text(changes: Changes, *, most: int = 20) -> Sequence[tuple[str, int | None, str]]:
    """Return lines (name, count, remark) for a person: what changed, and which articles at their source."""
    commands = ", ".join(f"{name} {n}" for name, n in Counter(name for _, name in changes.runs).items())
    lines: list[tuple[str, int | None, str]] = [(f"runs since {changes.since}", len(changes.runs), commands)]
    named = ("article_new_version", "article_retracted", "article_removed", "article_back", "licence_changed")
    for what, words in WHAT.items():
        if what not in changes.counts:
            continue
        ids = changes.subjects[what]
        remark = ", ".join(ids[:most]) + (" ..." if len(ids) > most else "")
        lines.append((f"  {words}", changes.counts[what], remark if what in named or what.startswith("est") else ""))
    if changes.reviews_given:
        lines.append(("  reviews given", changes.reviews_given, ""))
    if len(lines) == 1:
        lines.append(("  nothing changed", None, ""))
    return lines
