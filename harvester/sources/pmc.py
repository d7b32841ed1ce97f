"""Search in PubMed Central through E-utilities (ESearch, db=pmc).

ESearch shows 9,999 ids of a query at most, and paging is unstable while the index moves. So each query is one request
for a full page, and a query with more hits is cut by release date, from years to months to days, newest first. What
one request brought is kept, so that an interrupted search goes on with the same articles in the same order.

Source: NCBI, "E-utilities In-Depth" (NBK25499), and the README of the PMC Article Datasets (fields, filters, dates).
"""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from harvester.errors import UsageError
from harvester.licences import CODES, Policy
from harvester.sources import Hit, Json, Memory, SearchStart, Services
from harvester.sources.query import check_query, unfielded_in_entrez, unfielded_note

CEILING = 9999
"""Most ids that ESearch gives for one query."""

LICENCE_FILTERS = {
    "CC0": "cc0_license[filter]",
    "CC BY": "cc_by_license[filter]",
    "CC BY-SA": "cc_by-sa_license[filter]",
    "CC BY-NC": "cc_by-nc_license[filter]",
    "CC BY-NC-SA": "cc_by-nc-sa_license[filter]",
    "CC BY-ND": "cc_by-nd_license[filter]",
    "CC BY-NC-ND": "cc_by-nc-nd_license[filter]",
}
OPEN_ACCESS = "open_access[filter]"
MANUSCRIPTS = "author_manuscript[filter]"
HISTOLOGY = (
    '("hematoxylin and eosin"[Figure/Table Caption] OR "H&E"[Figure/Table Caption]'
    " OR histopathology[Figure/Table Caption])"
)

_FIRST_DAY, _FIRST_BUSY_YEAR = date(1800, 1, 1), 2000


def build_term(query: str, policy: Policy, *, histology: bool) -> str:
    """Return the term for ESearch: the query in brackets AND what the harvest may take.

    Raises:
        UsageError: when the query is empty or not closed in itself.
    """
    parts = [f"({check_query(query)})"]
    if histology:
        parts.append(HISTOLOGY)
    # TDM manuscripts are not in the open access subset; they are asked for by `any` or by name only
    takes_manuscripts = policy.allows_download("TDM")
    parts.append(f"({OPEN_ACCESS} OR {MANUSCRIPTS})" if takes_manuscripts else OPEN_ACCESS)
    filters = [LICENCE_FILTERS[code] for code in CODES if code in LICENCE_FILTERS and policy.allows_download(code)]
    if not policy.allows_download(None) and not takes_manuscripts:
        if not filters:
            raise UsageError(f"The licence policy {policy.name} names no licence that PMC can search for.")
        parts.append(f"({' OR '.join(filters)})")
    return " AND ".join(parts)


def with_dates(term: str, first: date, last: date) -> str:
    """Return the term for articles released in PMC from `first` to `last`, both included."""
    return f"({term}) AND {first:%Y/%m/%d}:{last:%Y/%m/%d}[pmcrdat]"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One answer of ESearch: hits of the query, and their ids ("PMC123") as far as it shows them."""

    n_hits: int
    pmcids: tuple[str, ...]
    understood: str
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return len(self.pmcids) >= self.n_hits


def parse_search(answer: Json) -> SearchPage:
    """Read the JSON of ESearch, whose numbers are strings and whose ids lack "PMC".

    Raises:
        ValueError: when it is not of that shape.
    """
    result = answer.get("esearchresult")
    if not isinstance(result, dict):
        raise ValueError("no esearchresult")
    count, ids = str(result.get("count", "")), result.get("idlist")
    if not count.isdigit() or not isinstance(ids, list):
        raise ValueError("no count or ids")
    if not all(isinstance(item, str) and item.isdigit() and item.isascii() and item[0] != "0" for item in ids):
        raise ValueError("an id that is none")
    pmcids = tuple(dict.fromkeys(f"PMC{item}" for item in ids))
    return SearchPage(int(count), pmcids, str(result.get("querytranslation", "")), tuple(_notes(result)))


def _notes(result: Json) -> Iterator[str]:
    sentences = {
        "phrasesnotfound": "The service found nothing for: {}.",
        "fieldsnotfound": "The service knows no field: {}.",
        "phrasesignored": "The service ignored: {}.",
        "quotedphrasesnotfound": "The service does not know this phrase and searched its words instead: {}.",
        "outputmessages": "The service says: {}.",
    }
    for group in ("errorlist", "warninglist"):
        items = result.get(group)
        for name, values in (items if isinstance(items, dict) else {}).items():
            words = [str(value).strip()[:200] for value in values] if isinstance(values, list) else []
            if words and name in sentences:
                yield sentences[name].format("; ".join(words[:10]).rstrip("."))


def split_dates(first: date, last: date) -> list[tuple[date, date]]:
    """Cut a range into years (all before 2000 in one), a year into months, a month into days; newest first.

    A single day is returned as it is.
    """
    if (first.year, first.month) == (last.year, last.month):
        return [(day, day) for n in range(last.day, first.day - 1, -1) for day in [first.replace(day=n)]]
    pieces = []
    if first.year == last.year:
        for month in range(last.month, first.month - 1, -1):
            begin = date(first.year, month, 1)
            end = date(first.year, month, calendar.monthrange(first.year, month)[1])
            pieces.append((max(first, begin), min(last, end)))
        return pieces
    oldest_alone = first.year if last.year < _FIRST_BUSY_YEAR else max(first.year, _FIRST_BUSY_YEAR)
    for year in range(last.year, oldest_alone - 1, -1):
        pieces.append((max(first, date(year, 1, 1)), min(last, date(year, 12, 31))))
    if first < pieces[-1][0]:
        pieces.append((first, date(oldest_alone - 1, 12, 31)))
    return pieces


class PmcSearch:
    """A search in PMC.

    Args:
        first, last: Release dates; None leaves an end open.
        today: Stands for an open end when the dates have to be cut.
        say: Takes warnings, one sentence each.
    """

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
        today: date,
        say: Callable[[str], None],
    ) -> None:
        self._services, self._memory, self._say = services, memory, say
        self._query = query
        self._bare_term = " AND ".join([f"({check_query(query)})", *([HISTOLOGY] if histology else [])])
        self._term = build_term(query, policy, histology=histology)
        self._has_dates = first is not None or last is not None
        self._first, self._last = first or _FIRST_DAY, last or today
        name = hashlib.sha256(f"{self._term} {first} {last}".encode()).hexdigest()[:16]
        self._key = f"search/pmc/{name}"

    def start(self) -> SearchStart:
        """Ask for the first answer."""
        unfinished = self._memory.get_checkpoint(self._key)
        if unfinished is not None:
            self._last = date.fromisoformat(unfinished["last"])
        else:
            self._memory.set_checkpoint(self._key, {"last": self._last.isoformat()})
        page = self._page(None)
        notes = list(page.notes)
        if words := unfielded_in_entrez(self._query):
            notes.append(unfielded_note(words, f"{words[0]}[Title] or {words[0]}[Figure/Table Caption]"))
        return SearchStart(page.n_hits, page.understood, tuple(notes))

    def hits(self) -> Iterator[Hit]:
        """Yield the articles, newest slice first, in the service's order within a slice."""
        seen: set[str] = set()
        page = self._page(None)
        for pmcid in page.pmcids if page.is_complete else self._sliced(page.n_hits):
            if pmcid not in seen:
                seen.add(pmcid)
                yield Hit(pmcid)

    def _sliced(self, n_hits: int) -> Iterator[str]:
        dates = (self._first, self._last)
        n_dated = n_hits if self._has_dates else self._page(dates).n_hits
        yield from self._walk(dates, n_dated)
        if n_dated < n_hits:
            self._say(f"{n_hits - n_dated:,} of the hits have no release date up to {self._last} and were not reached.")

    def _walk(self, dates: tuple[date, date], n_hits: int) -> Iterator[str]:
        """Yield what lies in a range of dates that holds too many for one page."""
        n_seen = 0
        for first, last in split_dates(*dates):
            if n_seen >= n_hits:
                return
            page = self._page((first, last))
            n_seen += page.n_hits
            if page.is_complete or first == last:
                if not page.is_complete:
                    self._say(
                        f"{page.n_hits:,} articles were released on {first}, and the service shows {len(page.pmcids):,}"
                        " of them; narrow the query to reach the others."
                    )
                yield from page.pmcids
            else:
                yield from self._walk((first, last), page.n_hits)

    def _page(self, dates: tuple[date, date] | None) -> SearchPage:
        key = self._page_key(dates)
        kept = self._memory.get_checkpoint(key)
        if kept is not None:
            return SearchPage(kept["n_hits"], tuple(kept["pmcids"]), kept["understood"], tuple(kept["notes"]))
        first, last = dates or (self._first, self._last)
        term = with_dates(self._term, first, last) if dates or self._has_dates else self._term
        page = self._ask(term, CEILING)
        # ids of a page that is cut further are of no use later
        pmcids = page.pmcids if page.is_complete or first == last else ()
        page = SearchPage(page.n_hits, pmcids, page.understood, page.notes)
        self._memory.set_checkpoint(
            key,
            {"n_hits": page.n_hits, "pmcids": page.pmcids, "understood": page.understood, "notes": page.notes},
        )
        return page

    def _page_key(self, dates: tuple[date, date] | None) -> str:
        return f"{self._key}/{dates[0]}..{dates[1]}" if dates else f"{self._key}/all"

    def _ask(self, term: str, retmax: int) -> SearchPage:
        params = {"db": "pmc", "term": term, "retmax": str(retmax), "retstart": "0"}
        return self._services.ask_eutils("esearch.fcgi", params, parse_search)

    def count(self, licence_code: str | None) -> int:
        """Return how many hits have this licence; None: of any kind, licence filter left out."""
        if licence_code is None:
            term = f"{self._bare_term} AND {OPEN_ACCESS}"
        elif licence_code in LICENCE_FILTERS:
            term = f"{self._bare_term} AND {OPEN_ACCESS} AND {LICENCE_FILTERS[licence_code]}"
        else:
            return 0
        return self._ask(with_dates(term, self._first, self._last) if self._has_dates else term, 0).n_hits

    def forget(self) -> None:
        """Drop what was kept for going on."""
        self._memory.set_checkpoint(self._page_key(None), None)
        todo = [(self._first, self._last)]
        while todo:
            piece = todo.pop()
            is_kept = self._memory.get_checkpoint(self._page_key(piece)) is not None
            self._memory.set_checkpoint(self._page_key(piece), None)
            # a range of the user's is not asked for a second time, so it has no page of its own
            if piece[0] != piece[1] and (is_kept or piece == (self._first, self._last)):
                todo += split_dates(*piece)
        self._memory.set_checkpoint(self._key, None)
