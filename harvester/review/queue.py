"""The queue: which snapshots are looked at, in which order, page by page, never counting through a million rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, bindparam, text

from harvester.catalog import Catalog
from harvester.review.doubt import DOUBTS, RANKS
from harvester.review.order import refresh_order, tag

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
_FACET = """
SELECT {name} AS value, COUNT(*) AS n FROM review_queue WHERE {name} IS NOT NULL
GROUP BY {name} ORDER BY n DESC, value LIMIT 200
"""


_QUEUE = "review_queue q"
# the search yields positions in their own order, so a page needs no sorting
_SEARCH = "review_search CROSS JOIN review_queue q ON q.position = review_search.rowid"


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
        """Bring the order up to date with the harvest; return whether anything had changed.

        `tick` is told how many rows were written.
        """
        has_changed = refresh_order(self._catalog, tick, blind=self._blind)
        with self._catalog.reading() as connection:
            self._total = int(connection.execute(text("SELECT COUNT(*) FROM review_queue")).scalar_one())
            self.facets = {
                name: [(row.value, row.n) for row in connection.execute(text(_FACET.format(name=name)))]
                for name in ("organ", "journal", "year")
            }
        return has_changed

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
        is_search = source != _QUEUE
        order = ("position",) if is_search or filters.doubt else self._order
        # the search yields its own rows in order, and is only asked in order when its own column is named
        names = ["review_search.rowid"] if is_search else [f"q.{name}" for name in order]
        direction, sign = ("DESC", "<") if backwards else ("ASC", ">")

        def ask(more: list[str], by: list[str], n: int) -> list[str]:
            query = (
                f"SELECT q.snapshot_id FROM {source} WHERE {' AND '.join(where + more) or '1 = 1'}"  # noqa: S608 ours
                f" ORDER BY {', '.join(f'{name} {direction}' for name in by)} LIMIT :limit"
            )
            return list(connection.execute(text(query), {**values, "limit": n}).scalars())

        at = None
        if beside is not None:
            query = "SELECT rank, shuffle, position FROM review_queue WHERE snapshot_id = :beside"
            at = connection.execute(text(query), {"beside": beside}).mappings().one_or_none()
        if at is None:
            found = ask([], names, limit)
        else:
            values |= {f"at_{name}": at[name] for name in order}
            last = f"{names[-1]} {sign} :at_{order[-1]}"
            found = ask([*(f"q.{name} = :at_{name}" for name in order[:-1]), last], names[-1:], limit)
            # asked apart: of (rank, position) > (:rank, :position) SQLite looks up the rank only, and walks the rest
            if len(order) > 1 and len(found) < limit:
                found += ask([f"{names[0]} {sign} :at_{order[0]}"], names, limit - len(found))
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
        mine = "SELECT COUNT(*) FROM review_seen WHERE reviewer = :reviewer"
        n_mine = int(connection.execute(text(mine), {"reviewer": reviewer}).scalar_one())
        return Progress(self._total, verdicts, n_mine)

    def _conditions(
        self, connection: Connection, filters: Filters, reviewer: str
    ) -> tuple[list[str], dict[str, Any], str]:
        where: list[str] = []
        values: dict[str, Any] = {}
        known: dict[str, Any] = {name: getattr(filters, name) or None for name in ("organ", "journal", "year")}
        known["rank"] = RANKS[filters.doubt] if filters.doubt else None
        known["verdict"] = filters.state if filters.state not in ("open", "all") else None
        asked = {name: value for name, value in known.items() if value is not None}
        if filters.state == "open":
            where.append(
                "NOT EXISTS (SELECT 1 FROM review_seen w WHERE w.reviewer = :reviewer AND w.position = q.position)"
            )
            values["reviewer"] = reviewer
        # one filter has an index of its own; the search intersects several, but only in the order of doubt
        if connection.dialect.name == "sqlite" and not self._blind and (filters.words or len(asked) > 1):
            where.append("review_search MATCH :words")
            values["words"] = _match_expression(filters.words, asked)
            return where, values, _SEARCH
        for name, value in asked.items():
            if (name, value) == ("verdict", "none"):
                where.append("q.verdict IS NULL")
            else:
                where.append(f"q.{name} = :{name}")
                values[name] = value
        if filters.words:
            where.append(
                "EXISTS (SELECT 1 FROM snapshot s JOIN panel p ON p.panel_id = s.panel_id"
                " WHERE s.snapshot_id = q.snapshot_id AND p.caption ILIKE :words ESCAPE '!')"
            )
            values["words"] = "%" + re.sub("([!%_])", r"!\1", filters.words) + "%"
        return where, values, _QUEUE


def _match_expression(words: str, asked: Mapping[str, Any]) -> str:
    """Return an FTS5 query for all of the words in a caption, each taken as it stands, and for the values of filters.

    Source: SQLite, FTS5, "Full-text Query Syntax": a string in double quotes is no syntax, quotes in it are doubled.
    """
    quoted = ['"' + word.replace('"', '""').replace("\x00", "") + '"' for word in words.split()]
    parts = [f"caption : ({' AND '.join(quoted)})"] if quoted else []
    return " AND ".join(parts + [f'tags : "{tag(name, value)}"' for name, value in asked.items()])


def look_up(connection: Connection, snapshot_ids: list[str]) -> dict[str, RowMapping]:
    """Return what the grid shows of a page of snapshots, by id, in the order given."""
    query = text("SELECT * FROM snapshots WHERE snapshot_id IN :ids").bindparams(bindparam("ids", expanding=True))
    found = {row["snapshot_id"]: row for row in connection.execute(query, {"ids": snapshot_ids}).mappings()}
    return {snapshot_id: found[snapshot_id] for snapshot_id in snapshot_ids if snapshot_id in found}


def look_up_doubts(connection: Connection, snapshot_ids: list[str]) -> dict[str, str]:
    """Return why each of some snapshots is in the queue."""
    query = text("SELECT snapshot_id, doubt FROM review_queue WHERE snapshot_id IN :ids")
    found = connection.execute(query.bindparams(bindparam("ids", expanding=True)), {"ids": snapshot_ids})
    return {row.snapshot_id: row.doubt for row in found}
