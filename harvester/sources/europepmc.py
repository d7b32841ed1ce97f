"""Search in Europe PMC; it names PMCIDs, the files come from the PMC bucket.

Paging is by cursor, so there is no ceiling. Whether the LICENSE filter takes quotes is told differently by different
users, so every hit's own licence is looked at, and a filter that finds nothing is tried without.

Source: Europe PMC RESTful web service (search, resultType=core, cursorMark).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date

from harvester.errors import UsageError
from harvester.licences import CODES, Policy, normalise_licence
from harvester.names import is_pmcid
from harvester.sources import Hit, Json, Memory, SearchStart, Services
from harvester.sources.query import check_query, unfielded_in_europepmc, unfielded_note

PAGE_SIZE = 200
HISTOLOGY = '(FIG:"hematoxylin and eosin" OR FIG:"H&E" OR FIG:histopathology)'
_OTHER_CODES = frozenset({"TDM", "own"})
_SUBJECT = re.compile(r"[A-Z]{2,5}:[A-Za-z0-9._/-]{1,60}")


def build_query(
    query: str, policy: Policy, *, histology: bool, first: date | None, last: date | None
) -> tuple[str, str]:
    """Return the query with everything but the licences, and the licence filter ("" when every licence is taken).

    Raises:
        UsageError: when the query is empty or not closed in itself.
    """
    parts = [f"({check_query(query)})"]
    if histology:
        parts.append(HISTOLOGY)
    parts += ["OPEN_ACCESS:y", "IN_PMC:y"]
    if first or last:
        parts.append(f"FIRST_PDATE:[{first or date(1800, 1, 1)} TO {last or date(2999, 12, 31)}]")
    if policy.allows_download(None):
        return " AND ".join(parts), ""
    codes = [code for code in CODES if code not in _OTHER_CODES and policy.allows_download(code)]
    if not codes:
        raise UsageError(f"The licence policy {policy.name} names no licence that Europe PMC can search for.")
    return " AND ".join(parts), f"({' OR '.join(_licence_clause(code) for code in codes)})"


def _licence_clause(code: str) -> str:
    return f'LICENSE:"{code.lower()}"'


@dataclass(frozen=True, slots=True)
class Record:
    """What one hit says of itself; `subject` is its PMCID, or "MED:123" for one that has none."""

    subject: str
    licence: str | None
    is_open_access: bool


@dataclass(frozen=True, slots=True)
class ResultPage:
    """One page of results; `cursor` is the mark of the next, None at the end."""

    n_hits: int
    records: tuple[Record, ...]
    cursor: str | None
    understood: str = ""


def parse_results(answer: Json, sent_cursor: str) -> ResultPage:
    """Read a page of search results.

    Raises:
        ValueError: when it is not of that shape, as the answer to a sort order it does not know ("version" alone).
    """
    n_hits, wrapped = answer.get("hitCount"), answer.get("resultList")
    if not isinstance(n_hits, int) or not isinstance(wrapped, dict):
        raise ValueError("no hitCount or resultList")
    results = wrapped.get("result", [])
    if isinstance(results, dict):
        results = [results]
    if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
        raise ValueError("no list of results")
    cursor = answer.get("nextCursorMark")
    at_end = not isinstance(cursor, str) or cursor == sent_cursor or not results
    request = answer.get("request")
    understood = str(request.get("queryString", "")) if isinstance(request, dict) else ""
    records = tuple(_parse_record(item) for item in results)
    return ResultPage(n_hits, records, None if at_end else str(cursor), understood)


def _parse_record(item: Json) -> Record:
    pmcid = str(item.get("pmcid", ""))
    in_pmc = is_pmcid(pmcid) and item.get("inPMC", "Y") == "Y"
    subject = pmcid if in_pmc else f"{item.get('source', '')}:{item.get('id', '')}"
    if not in_pmc and not _SUBJECT.fullmatch(subject):
        raise ValueError("a hit without an id")
    licence = item.get("license")
    return Record(subject, str(licence) if licence else None, item.get("isOpenAccess", "Y") == "Y")


class EuropePmcSearch:
    """A search in Europe PMC; arguments as for PmcSearch. Dates are of first publication."""

    def __init__(
        self,
        services: Services,
        memory: Memory,
        query: str,
        policy: Policy,
        *,
        histology: bool = False,
        first: date | None = None,
        last: date | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._services, self._memory, self._say = services, memory, say
        self._query, self._policy = query, policy
        self._base, self._filter = build_query(query, policy, histology=histology, first=first, last=last)
        name = hashlib.sha256(f"{self._base} {self._filter}".encode()).hexdigest()[:16]
        self._key = f"search/europepmc/{name}"

    def start(self) -> SearchStart:
        """Ask for the first answer; once more when it is empty, and without the licence filter when it stays so."""
        notes = []
        kept = self._memory.get_checkpoint(self._key)
        if kept is not None:
            self._filter = kept["filter"]
        page = self._page(0, "*")
        if not page.records and self._filter:
            whole = self._ask(self._base, "*", PAGE_SIZE)
            if any(self._refusal(record) is None for record in whole.records):
                notes.append(
                    "Europe PMC's licence filter finds nothing here; the licence of every hit is read instead."
                )
                self._memory.set_checkpoint(f"{self._key}/0", None)
                self._filter = ""
                page = self._page(0, "*")
        self._memory.set_checkpoint(self._key, {"filter": self._filter})
        if words := unfielded_in_europepmc(self._query):
            notes.append(unfielded_note(words, f"TITLE:{words[0]} or ABSTRACT:{words[0]}"))
        return SearchStart(page.n_hits, page.understood or self._whole_query(), tuple(notes))

    def hits(self) -> Iterator[Hit]:
        """Yield the articles page by page, those that can't be taken with the reason."""
        seen: set[str] = set()
        cursor: str | None = "*"
        n, n_records = 0, 0
        while cursor is not None:
            page = self._page(n, cursor)
            for record in page.records:
                if record.subject not in seen:
                    seen.add(record.subject)
                    yield Hit(record.subject, None, self._refusal(record))
            n, n_records, cursor = n + 1, n_records + len(page.records), page.cursor
        if n_records < page.n_hits:
            self._say(
                f"Europe PMC announced {page.n_hits:,} hits and sent {n_records:,}; run again to look for the others."
            )

    def _refusal(self, record: Record) -> tuple[str, str] | None:
        if not is_pmcid(record.subject):
            return "not_in_pmc", "Europe PMC knows the article, PMC does not hold it."
        if not record.is_open_access:
            return "not_open_access", "Europe PMC does not list it as open access."
        code = normalise_licence(record.licence)
        # a licence that is missing or unknown here is looked up in the bucket's record
        if code is not None and not self._policy.allows_download(code):
            return f"licence:{code}", f"The licence {code} is not among those to be taken."
        return None

    def _page(self, n: int, cursor: str) -> ResultPage:
        key = f"{self._key}/{n}"
        kept = self._memory.get_checkpoint(key)
        if kept is not None:
            records = tuple(Record(**record) for record in kept["records"])
            return ResultPage(kept["n_hits"], records, kept["cursor"], kept["understood"])
        query = self._whole_query()
        page = self._ask(query, cursor, PAGE_SIZE)
        if not page.records:
            # under load well-formed empty pages come
            page = self._ask(query, cursor, PAGE_SIZE)
        self._memory.set_checkpoint(key, asdict(page))
        return page

    def _whole_query(self) -> str:
        return f"{self._base} AND {self._filter}" if self._filter else self._base

    def _ask(self, query: str, cursor: str, size: int) -> ResultPage:
        params = {"query": query, "resultType": "core", "pageSize": str(size), "cursorMark": cursor}
        return self._services.ask_europepmc("search", params, lambda answer: parse_results(answer, cursor))

    def count(self, licence_code: str | None) -> int:
        """Return how many hits have this licence; None: of any kind, licence filter left out."""
        query = self._base if licence_code is None else f"{self._base} AND {_licence_clause(licence_code)}"
        return self._ask(query, "*", 1).n_hits

    def forget(self) -> None:
        """Drop what was kept for going on."""
        n = 0
        while self._memory.get_checkpoint(f"{self._key}/{n}") is not None:
            self._memory.set_checkpoint(f"{self._key}/{n}", None)
            n += 1
        self._memory.set_checkpoint(self._key, None)
