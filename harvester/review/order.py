"""Keeping the order of doubt: made once for a harvest, then only for the articles that have changed since.

What the review page needs to know quickly is its own and lies beside the catalog's tables in the same database: who has
looked at what (`review_seen`), the words of the captions (`review_search`), and, noted by triggers while anybody writes
to the catalog, which articles have changed (`review_changed`). All of it can be dropped and is made again.

A place in the order depends on its snapshot alone, so that one article can be moved without touching the others: rank
of the doubt, width of the interval, score of H&E and a number of its own, packed into one integer in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, bindparam, text

from harvester.catalog import Catalog
from harvester.review.doubt import DOUBT_QUERY, RANKS

CHUNK = 20_000
"""Rows written in one transaction, so that another writer waits for a second at most."""
CHUNK_ARTICLES = 200

_KEY, _VERSION = "review_queue", 2
_STAMP = """
SELECT (SELECT COUNT(*) FROM run) AS n_runs, (SELECT MAX(started_at) FROM run) AS started,
       (SELECT MAX(finished_at) FROM run) AS finished, (SELECT COUNT(*) FROM snapshot) AS n_snapshots,
       (SELECT COUNT(*) FROM estimate) AS n_estimates, (SELECT COUNT(*) FROM evidence) AS n_evidence
"""
"""For databases without the triggers below: what tells that the harvest has changed."""

_RANK = " ".join(("CASE doubt", *(f"WHEN '{doubt}' THEN {rank}" for doubt, rank in RANKS.items()), "END"))
# 3 bits of rank, 18 of the interval (its lower end over its upper), 14 of the score, 28 of the snapshot's own number
_POSITION = f"""
CAST({_RANK} AS BIGINT) * {2**60}
+ CAST(CASE WHEN ratio > 1 THEN {2**18 - 1} / ratio ELSE {2**18 - 1} END AS BIGINT) * {2**42}
+ CAST(CASE WHEN he_score <= 0 THEN 0 WHEN he_score < 1 THEN {2**14 - 1} * he_score ELSE {2**14 - 1} END AS BIGINT)
  * {2**28}
+ own_number % {2**28} AS position
"""

_COLUMNS = "position, snapshot_id, rank, doubt, shuffle, verdict, organ, journal, year, licence_code"
_VALUES = (
    "o.position, o.snapshot_id, o.rank, o.doubt, SUBSTR(o.image_sha256, 1, 16), o.review_verdict, o.organ, o.journal,"
    " o.year, o.licence_code"
)
# a snapshot may have gone since the ranking
_INSERT = f"""
INSERT INTO review_queue ({_COLUMNS}) SELECT {_VALUES} FROM review_order o
WHERE o.line BETWEEN :first AND :last
  AND EXISTS (SELECT 1 FROM snapshot s WHERE s.snapshot_id = o.snapshot_id) ORDER BY o.line
"""  # noqa: S608 columns are ours
_INSERT_SEEN = """
INSERT INTO review_seen (reviewer, position)
SELECT DISTINCT r.reviewer, q.position FROM {source} JOIN review_queue q ON q.snapshot_id = r.snapshot_id
WHERE r.withdrawn_at IS NULL AND NOT r.is_orphan AND {condition} ON CONFLICT DO NOTHING
"""
_INSERT_WORDS = """
INSERT OR REPLACE INTO review_search (rowid, caption, tags)
SELECT o.position, p.caption,
       review_tags(o.rank, o.review_verdict, o.organ, o.journal, o.year)
FROM review_order o
JOIN snapshot s ON s.snapshot_id = o.snapshot_id JOIN panel p ON p.panel_id = s.panel_id
JOIN review_queue q ON q.position = o.position
WHERE o.line BETWEEN :first AND :last ORDER BY o.line
"""

_OWN_TABLES = (
    "CREATE TABLE review_seen (reviewer TEXT NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (reviewer, position))",
    "CREATE INDEX ix_review_seen_position ON review_seen (position)",
)
_SEARCH = (
    "CREATE VIRTUAL TABLE review_search USING fts5(caption, tags, tokenize='porter unicode61', columnsize=0)",
    "CREATE TABLE review_changed (article_id TEXT PRIMARY KEY) WITHOUT ROWID",
)
_OWN_NAMES = ("review_seen", "review_search", "review_changed")
_FILTERS = ("verdict", "organ", "journal", "year")
_BLIND_INDEXES = tuple(
    f"CREATE INDEX IF NOT EXISTS ix_review_blind_{name} ON review_queue"
    f" ({', '.join((name, 'shuffle', 'position', *(other for other in _FILTERS if other != name)))})"
    for name in _FILTERS
)
"""Made when somebody first reviews blind: the order of a blind queue within one filter, and what a second one asks."""

_ANY = ("INSERT", "UPDATE", "DELETE")
# what the order, the filters and the search are made of; ids begin with their article's
_WATCHED = (
    ("article", "UPDATE OF journal, year, licence_code", "article_id"),
    ("panel", "UPDATE OF caption, organ", "panel_id"),
    *((name, event, "snapshot_id") for name in ("snapshot", "estimate", "reconciled") for event in _ANY[:2]),
    *((name, "DELETE", "snapshot_id") for name in ("estimate", "reconciled")),
    *(("evidence", event, "panel_id") for event in _ANY),
    ("review", "UPDATE OF snapshot_id, is_orphan", "snapshot_id"),
)


def _triggers() -> dict[str, str]:
    """Return the triggers by name: who writes to the catalog need not know that there is a queue."""
    made = {}
    for owner, event, column in _WATCHED:
        verb = event.partition(" ")[0].lower()
        sides = ("OLD", "NEW") if owner == "review" else ("OLD" if verb == "delete" else "NEW",)
        marks = "".join(
            f"INSERT INTO review_changed SELECT SUBSTR({side}.{column}, 1, INSTR({side}.{column} || '/', '/') - 1)"
            " WHERE TRUE ON CONFLICT DO NOTHING; "
            for side in sides
        )
        name = f"review_mark_{owner}_{verb}"
        made[name] = f"CREATE TRIGGER {name} AFTER {event} ON {owner} BEGIN {marks}END"
    made["review_mark_queue_gone"] = (
        "CREATE TRIGGER review_mark_queue_gone AFTER DELETE ON review_queue BEGIN"
        " DELETE FROM review_search WHERE rowid = OLD.position;"
        " DELETE FROM review_seen WHERE position = OLD.position; END"
    )
    return made


def tag(name: str, value: object) -> str:
    """Return a value of a filter as one word of the search, in letters that stemming leaves alone."""
    return name + str(value).encode().hex() + "q"


def tags(rank: int, verdict: str | None, organ: str | None, journal: str | None, year: int | None) -> str:
    """Return what the search knows of a row besides its caption."""
    known = {"rank": rank, "verdict": verdict or "none", "organ": organ, "journal": journal, "year": year}
    return " ".join(tag(name, value) for name, value in known.items() if value is not None)


def refresh_order(catalog: Catalog, tick: Callable[[int], None], *, blind: bool) -> bool:
    """Bring the queue up to date with the harvest; return whether anything had to be done.

    The first time the whole catalog is read once (two minutes for a million snapshots); later only what has changed.
    Writing goes in small transactions. `tick` is told how many rows were written.
    """
    with catalog.reading() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        query = text("SELECT model_id, rank, version FROM model ORDER BY model_id")
        models = [list(row) for row in connection.execute(query)]
        is_watched = is_sqlite and _has_triggers(connection)
    stamp = {"version": _VERSION, "models": models}
    if not is_sqlite:
        stamp |= catalog.rows(_STAMP)[0]
    is_stale = catalog.get_checkpoint(_KEY) != stamp or (is_sqlite and not is_watched)
    if is_stale:
        catalog.set_checkpoint(_KEY, None)
        with catalog.writing() as connection:
            _make_own(connection, is_sqlite=is_sqlite)
        with catalog.reading() as connection:
            _rebuild(connection, tick)
        catalog.set_checkpoint(_KEY, stamp)
    n_moved = _follow(catalog, tick) if is_sqlite else 0
    if blind:
        with catalog.writing() as connection:
            for command in _BLIND_INDEXES:
                connection.execute(text(command))
    return is_stale or n_moved > 0


def note_verdict(connection: Connection, snapshot_id: str, reviewer: str, row: Any, rank: int) -> None:
    """Write what a verdict, or one taken back, changes in the queue.

    Args:
        row: With position, review_verdict, organ, journal and year of the snapshot.
        rank: Its rank now.
    """
    verdict, at = row["review_verdict"], {"position": row["position"]}
    connection.execute(
        text("UPDATE review_queue SET verdict = :verdict, rank = :rank WHERE position = :position"),
        {"verdict": verdict, "rank": rank, **at},
    )
    who = {"reviewer": reviewer, **at}
    connection.execute(text("DELETE FROM review_seen WHERE reviewer = :reviewer AND position = :position"), who)
    condition = "r.snapshot_id = :id AND r.reviewer = :reviewer"
    connection.execute(
        text(_INSERT_SEEN.format(source="review r", condition=condition)), {"id": snapshot_id, "reviewer": reviewer}
    )
    if connection.dialect.name == "sqlite":
        words = tags(rank, verdict, row["organ"], row["journal"], row["year"])
        connection.execute(text("UPDATE review_search SET tags = :tags WHERE rowid = :position"), {"tags": words, **at})


def _has_triggers(connection: Connection) -> bool:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'review_mark_%'"
    return {row.name: row.sql for row in connection.execute(text(query))} == _triggers()


def _make_own(connection: Connection, *, is_sqlite: bool) -> None:
    if is_sqlite:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'review_mark_%'"
        for name in connection.execute(text(query)).scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}"))
    for name in _OWN_NAMES:
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    connection.execute(text("DELETE FROM review_queue"))
    for command in (*_OWN_TABLES, *(_SEARCH if is_sqlite else ()), *(_triggers().values() if is_sqlite else ())):
        # exec_driver_sql: a trigger holds colons of its own
        connection.exec_driver_sql(command)


def _rank(connection: Connection, where: str = "", values: dict[str, Any] | None = None) -> int:
    """Make the temporary table review_order of the rows a condition leaves; return how many there are."""
    number = "t.rowid" if connection.dialect.name == "sqlite" else "ROW_NUMBER() OVER (ORDER BY d.snapshot_id)"
    for name in ("review_doubt", "review_order"):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    # in two steps: SQLite would work out a doubt anew at every use of it
    doubts = text(f"CREATE TEMPORARY TABLE review_doubt AS {DOUBT_QUERY} {where}")
    if values:
        doubts = doubts.bindparams(*(bindparam(name, expanding=True) for name in values))
    connection.execute(doubts, values or {})
    connection.execute(
        text(f"""
CREATE TEMPORARY TABLE review_order AS
SELECT placed.*, ROW_NUMBER() OVER (ORDER BY position) AS line
FROM (
    SELECT numbered.*, {_RANK} AS rank, {_POSITION}
    FROM (SELECT d.*, {number} AS own_number FROM review_doubt d JOIN snapshot t ON t.snapshot_id = d.snapshot_id)
        AS numbered
) AS placed ORDER BY position
""")  # noqa: S608
    )
    connection.execute(text("DROP TABLE review_doubt"))
    if connection.dialect.name == "sqlite":
        connection.execute(text("CREATE UNIQUE INDEX temp.review_order_line ON review_order (line)"))
        raw: Any = connection.connection.driver_connection
        raw.create_function("review_tags", 5, tags, deterministic=True)
    return int(connection.execute(text("SELECT COUNT(*) FROM review_order")).scalar_one())


def _rebuild(connection: Connection, tick: Callable[[int], None]) -> None:
    total = _rank(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    connection.commit()
    # the ranking above only read; what follows takes the write lock, a chunk at a time
    connection.execution_options(reading=False)
    for start in range(0, total, CHUNK):
        chunk = {"first": start + 1, "last": start + CHUNK}
        with connection.begin():
            connection.execute(text(_INSERT), chunk)
            if is_sqlite:
                connection.execute(text(_INSERT_WORDS), chunk)
        tick(min(total, start + CHUNK) - start)
    with connection.begin():
        connection.execute(text(_INSERT_SEEN.format(source="review r", condition="1 = 1")))
        connection.execute(text("DROP TABLE review_order"))


def _follow(catalog: Catalog, tick: Callable[[int], None]) -> int:
    """Rank the articles that were noted as changed anew; return how many there were."""
    n_done = 0
    while True:
        with catalog.writing() as connection:
            query = "SELECT article_id FROM review_changed LIMIT :n"
            articles = list(connection.execute(text(query), {"n": CHUNK_ARTICLES}).scalars())
            if not articles:
                return n_done
            total = _rank(connection, "WHERE s.article_id IN :articles", {"articles": articles})
            chunk = {"first": 1, "last": total}
            for article_id in articles:
                # '0' follows '/': all ids that begin with the article's
                ends = {"first": f"{article_id}/", "last": f"{article_id}0"}
                connection.execute(
                    text("DELETE FROM review_queue WHERE snapshot_id >= :first AND snapshot_id < :last"), ends
                )
                connection.execute(text("DELETE FROM review_changed WHERE article_id = :id"), {"id": article_id})
            connection.execute(text(_INSERT), chunk)
            connection.execute(text(_INSERT_WORDS), chunk)
            source = "review_order o JOIN review r ON r.snapshot_id = o.snapshot_id"
            connection.execute(text(_INSERT_SEEN.format(source=source, condition="1 = 1")))
            connection.execute(text("DROP TABLE review_order"))
        n_done += len(articles)
        tick(total)
