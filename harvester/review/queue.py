"""The queue: which snapshots are looked at, in which order, page by page, never counting through a million rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, text

from harvester.catalog import Catalog
from harvester.review.doubt import DOUBT_QUERY, DOUBTS, ORDER_QUERY, RANKS

STATES: dict[str, str] = {
    "open": "Not yet looked at by me",
    "all": "All",
    "none": "Looked at by nobody",
    "accept": "Accepted",
    "correct": "Corrected",
    "reject": "Rejected",
    "differ": "Reviewers differ",
}
"""Which rows by their reviews, and what the page calls them."""

COUNTED_UP_TO = 1000
CHUNK = 20_000
"""Rows written in one transaction, so that another writer waits for a second at most."""

_STAMP = """
SELECT (SELECT COUNT(*) FROM run) AS n_runs, (SELECT MAX(started_at) FROM run) AS started,
       (SELECT MAX(finished_at) FROM run) AS finished, (SELECT COUNT(*) FROM snapshot) AS n_snapshots,
       (SELECT COUNT(*) FROM estimate) AS n_estimates, (SELECT COUNT(*) FROM evidence) AS n_evidence
"""
_FACET = """
SELECT {name} AS value, COUNT(*) AS n FROM review_queue WHERE {name} IS NOT NULL
GROUP BY {name} ORDER BY n DESC, value LIMIT 200
"""
_KEY, _VERSION = "review_queue", 1


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the queue is shown; empty text and None mean everything."""

    state: str = "open"
    doubt: str = ""
    organ: str = ""
    journal: str = ""
    year: int | None = None
    words: str = ""

    @classmethod
    def read(cls, values: Mapping[str, str], *, blind: bool = False) -> Self:
        """Read the fields of a form or address; what is not understood is left out, as nothing here is dangerous.

        In a blind review words and doubts are left out: both would tell what the witnesses say.
        """
        year = values.get("year", "")
        doubt = values.get("doubt", "")
        return cls(
            state=values["state"] if values.get("state") in STATES else "open",
            doubt=doubt if doubt in DOUBTS and not blind else "",
            organ=values.get("organ", "")[:200],
            journal=values.get("journal", "")[:200],
            year=int(year) if re.fullmatch(r"[0-9]{4}", year) else None,
            words="" if blind else values.get("words", "").strip()[:200],
        )

    def as_query(self) -> dict[str, str]:
        """Return the fields of an address that say the same; defaults left out."""
        plain = type(self)()
        return {
            field.name: str(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(plain, field.name)
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reviewing is: all snapshots, verdict to number, and how many the reviewer has looked at."""

    total: int
    verdicts: dict[str, int]
    mine: int

    @property
    def reviewed(self) -> int:
        return sum(self.verdicts.values())


class Queue:
    """The order of doubt of one catalog; in a blind review an order that tells nothing."""

    def __init__(self, catalog: Catalog, *, blind: bool = False) -> None:
        self._catalog = catalog
        self._blind = blind
        self._order = ("shuffle", "position") if blind else ("rank", "position")
        self._total = 0
        self.facets: dict[str, list[tuple[Any, int]]] = {}

    def refresh(self, tick: Callable[[int], None] = lambda n: None) -> bool:
        """Make the order anew when the harvest has changed since it was made; return whether it was.

        The ranking reads the whole catalog once (about a minute for a million snapshots); writing goes in small
        transactions. `tick` is told how many rows were written.
        """
        stamp = {"version": _VERSION, **self._catalog.rows(_STAMP)[0]}
        is_stale = self._catalog.get_checkpoint(_KEY) != stamp
        if is_stale:
            self._catalog.set_checkpoint(_KEY, None)
            with self._catalog.reading() as connection:
                _rebuild(connection, tick)
            self._catalog.set_checkpoint(_KEY, stamp)
        with self._catalog.reading() as connection:
            self._total = int(connection.execute(text("SELECT COUNT(*) FROM review_queue")).scalar_one())
            self.facets = {
                name: [(row.value, row.n) for row in connection.execute(text(_FACET.format(name=name)))]
                for name in ("organ", "journal", "year")
            }
        return is_stale

    def page(
        self,
        connection: Connection,
        filters: Filters,
        reviewer: str,
        *,
        beside: str | None = None,
        backwards: bool = False,
        limit: int = 1,
    ) -> list[str]:
        """Return the ids of the rows after (or before) a snapshot, in the queue's order; from its start without."""
        where, values, source = self._conditions(connection, filters, reviewer)
        order: tuple[str, ...] = self._order
        if filters.words or filters.doubt:
            order = ("position",)
        # the search yields its own rows in order, and is only asked in order when its own column is named
        names = ["review_search.rowid"] if "review_search" in source else [f"q.{name}" for name in order]
        if beside is not None:
            query = "SELECT rank, shuffle, position FROM review_queue WHERE snapshot_id = :beside"
            at = connection.execute(text(query), {"beside": beside}).mappings().one_or_none()
            if at is not None:
                sign = "<" if backwards else ">"
                where.append(f"({', '.join(names)}) {sign} ({', '.join(f':at_{name}' for name in order)})")
                values |= {f"at_{name}": at[name] for name in order}
        direction = " DESC" if backwards else ""
        query = (
            f"SELECT q.snapshot_id FROM {source} WHERE {' AND '.join(where) or '1 = 1'}"  # noqa: S608 columns are ours
            f" ORDER BY {', '.join(f'{name}{direction}' for name in names)} LIMIT :limit"
        )
        found = list(connection.execute(text(query), {**values, "limit": limit}).scalars())
        return found[::-1] if backwards else found

    def count(self, connection: Connection, filters: Filters, reviewer: str) -> int:
        """Return how many rows the filters leave, counted up to COUNTED_UP_TO + 1."""
        where, values, source = self._conditions(connection, filters, reviewer)
        inner = f"SELECT 1 AS one FROM {source} WHERE {' AND '.join(where) or '1 = 1'} LIMIT :limit"  # noqa: S608
        query = f"SELECT COUNT(*) FROM ({inner}) AS counted"  # noqa: S608
        return int(connection.execute(text(query), {**values, "limit": COUNTED_UP_TO + 1}).scalar_one())

    def progress(self, connection: Connection, reviewer: str) -> Progress:
        """Count what was reviewed; the rest is all there was when the order was made."""
        query = "SELECT verdict, COUNT(*) AS n FROM review_queue WHERE verdict IS NOT NULL GROUP BY verdict"
        verdicts = {row.verdict: int(row.n) for row in connection.execute(text(query))}
        mine = (
            "SELECT COUNT(DISTINCT snapshot_id) FROM review"
            " WHERE reviewer = :reviewer AND withdrawn_at IS NULL AND NOT is_orphan"
        )
        n_mine = int(connection.execute(text(mine), {"reviewer": reviewer}).scalar_one())
        return Progress(self._total, verdicts, n_mine)

    def _conditions(
        self, connection: Connection, filters: Filters, reviewer: str
    ) -> tuple[list[str], dict[str, Any], str]:
        where: list[str] = []
        values: dict[str, Any] = {}
        source = "review_queue q"
        if filters.doubt:
            where.append("q.rank = :doubt_rank")
            values["doubt_rank"] = RANKS[filters.doubt]
        for name in ("organ", "journal", "year"):
            if value := getattr(filters, name):
                where.append(f"q.{name} = :{name}")
                values[name] = value
        if filters.state == "open":
            where.append(
                "NOT EXISTS (SELECT 1 FROM review r WHERE r.snapshot_id = q.snapshot_id AND r.reviewer = :reviewer"
                " AND r.withdrawn_at IS NULL AND NOT r.is_orphan)"
            )
            values["reviewer"] = reviewer
        elif filters.state == "none":
            where.append("q.verdict IS NULL")
        elif filters.state != "all":
            where.append("q.verdict = :verdict")
            values["verdict"] = filters.state
        if filters.words:
            if connection.dialect.name == "sqlite":
                # the search yields positions in their own order, so a page needs no sorting
                source = "review_search CROSS JOIN review_queue q ON q.position = review_search.rowid"
                where.append("review_search MATCH :words")
                values["words"] = _match_expression(filters.words)
            else:
                where.append(
                    "EXISTS (SELECT 1 FROM snapshot s JOIN panel p ON p.panel_id = s.panel_id"
                    " WHERE s.snapshot_id = q.snapshot_id AND p.caption ILIKE :words ESCAPE '!')"
                )
                values["words"] = "%" + re.sub("([!%_])", r"!\1", filters.words) + "%"
        return where, values, source


def _match_expression(words: str) -> str:
    """Return an FTS5 query for all of the words, each taken as it stands.

    Source: SQLite, FTS5, "Full-text Query Syntax": a string in double quotes is no syntax, quotes in it are doubled.
    """
    return " ".join('"' + word.replace('"', '""').replace("\x00", "") + '"' for word in words.split())


def _rebuild(connection: Connection, tick: Callable[[int], None]) -> None:
    for name, query in (("review_doubt", DOUBT_QUERY), ("review_order", ORDER_QUERY)):
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        connection.execute(text(f"CREATE TEMPORARY TABLE {name} AS {query}"))
    connection.execute(text("DROP TABLE review_doubt"))
    total = int(connection.execute(text("SELECT COUNT(*) FROM review_order")).scalar_one())
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        connection.execute(text("CREATE UNIQUE INDEX temp.review_order_position ON review_order (position)"))
    connection.commit()
    # the ranking above only read; what follows takes the write lock, a chunk at a time
    connection.execution_options(reading=False)
    with connection.begin():
        connection.execute(text("DELETE FROM review_queue"))
        if is_sqlite:
            connection.execute(text("DROP TABLE IF EXISTS review_search"))
            connection.execute(
                text("CREATE VIRTUAL TABLE review_search USING fts5(caption, content='', tokenize='porter unicode61')")
            )
    for start in range(0, total, CHUNK):
        chunk = {"first": start + 1, "last": start + CHUNK}
        with connection.begin():
            connection.execute(text(_INSERT), chunk)
            if is_sqlite:
                connection.execute(text(_INSERT_WORDS), chunk)
        tick(min(total, start + CHUNK) - start)
    with connection.begin():
        connection.execute(text("DROP TABLE review_order"))


# a snapshot may have gone since the ranking
_INSERT = """
INSERT INTO review_queue (position, snapshot_id, rank, doubt, shuffle, verdict, organ, journal, year, licence_code)
SELECT o.position, o.snapshot_id, o.rank, o.doubt, SUBSTR(o.image_sha256, 1, 16), o.review_verdict, o.organ, o.journal,
       o.year, o.licence_code
FROM review_order o WHERE o.position BETWEEN :first AND :last
  AND EXISTS (SELECT 1 FROM snapshot s WHERE s.snapshot_id = o.snapshot_id)
"""

_INSERT_WORDS = """
INSERT INTO review_search (rowid, caption)
SELECT o.position, p.caption FROM review_order o
JOIN snapshot s ON s.snapshot_id = o.snapshot_id JOIN panel p ON p.panel_id = s.panel_id
WHERE o.position BETWEEN :first AND :last
"""


def look_up(connection: Connection, snapshot_ids: list[str]) -> dict[str, RowMapping]:
    """Return what the grid shows of a page of snapshots, by id."""
    query = (
        "SELECT s.*, q.doubt FROM snapshots s CROSS JOIN review_queue q"
        " WHERE s.snapshot_id = :id AND q.snapshot_id = :id"
    )
    rows: dict[str, RowMapping] = {}
    for snapshot_id in snapshot_ids:
        row = connection.execute(text(query), {"id": snapshot_id}).mappings().one_or_none()
        if row is not None:
            rows[snapshot_id] = row
    return rows
