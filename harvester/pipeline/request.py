"""What a harvest is asked for, and the search that answers it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from harvester.errors import UsageError
from harvester.licences import Policy
from harvester.names import parse_article_version
from harvester.shards import Shard
from harvester.sources import Hit, Memory, Search, SearchStart, Services
from harvester.sources.europepmc import EuropePmcSearch
from harvester.sources.pmc import PmcSearch

DEFAULT_LIMIT = 100
_DATE = re.compile(r"([0-9]{4})(?:[-/]([0-9]{1,2})(?:[-/]([0-9]{1,2}))?)?")


def parse_date(text: str | None, *, last: bool = False) -> date | None:
    """Read YYYY, YYYY-MM or YYYY-MM-DD; with `last` the last day of what is named. None stays None.

    Raises:
        UsageError: when it is no date.
    """
    if text is None:
        return None
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
        first = date(year, month, day)
        if not last or match[3]:
            return first
        following = date(year + 1, 1, 1) if not match[2] or month == 12 else date(year, month + 1, 1)
        return following - timedelta(days=1)
    except ValueError:
        pass
    raise UsageError(f"{text!r} is no date: give YYYY, YYYY-MM or YYYY-MM-DD.")


@dataclass(frozen=True, slots=True)
class CrawlRequest:
    """What is asked for.

    Attributes:
        query: In the source's own language; None with a manifest.
        limit: Articles to take, in the source's order, counting those that may be taken; None takes all.
        policy: A licence policy as `harvester.licences.Policy.parse` reads it.
        date_from, date_until: Release in PMC (pmc) or first publication (europepmc), both included.
        histology: Only articles whose captions speak of H&E histology.
        manifest: A file that names articles, instead of a query; all of them are taken, whatever the limit.
        shard: Take only this part of the articles; needs no limit, as a limit counts over all parts.
        refresh: Look at what is held again as well: newer versions, retractions, removals.

    Raises:
        UsageError: neither or both of query and manifest, a limit below 1, dates in the wrong order, a bad policy.
    """

    query: str | None = None
    source: Literal["pmc", "europepmc"] = "pmc"
    limit: int | None = DEFAULT_LIMIT
    policy: str = "remix"
    date_from: date | None = None
    date_until: date | None = None
    histology: bool = False
    manifest: Path | None = None
    shard: Shard | None = None
    refresh: bool = False

    def __post_init__(self) -> None:
        if (self.query is None) == (self.manifest is None):
            raise UsageError("Give either a query or --manifest FILE.")
        if self.shard is not None and self.limit is not None and self.manifest is None:
            raise UsageError("--shard needs --limit all: a limit counts over all shards, and a job knows only its own.")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}: give a number from 1 on, or all.")
        if self.date_from and self.date_until and self.date_from > self.date_until:
            raise UsageError(f"--from {self.date_from} is after --until {self.date_until}.")
        Policy.parse(self.policy)


def open_search(
    request: CrawlRequest, services: Services, memory: Memory, *, today: date, say: Callable[[str], None]
) -> Search:
    """Return the search for a request; nothing is asked yet.

    Raises:
        UsageError: the query can't be sent, or the manifest can't be read.
    """
    if request.manifest is not None:
        return ManifestSearch(request.manifest, say)
    assert request.query is not None
    policy, dates = Policy.parse(request.policy), {"first": request.date_from, "last": request.date_until}
    if request.source == "europepmc":
        return EuropePmcSearch(services, memory, request.query, policy, histology=request.histology, say=say, **dates)
    return PmcSearch(
        services, memory, request.query, policy, histology=request.histology, today=today, say=say, **dates
    )


class ListedSearch:
    """Articles that are known by name, in the place of a search."""

    def __init__(self, hits: Sequence[Hit], understood: str) -> None:
        self._hits, self._understood = hits, understood

    def start(self) -> SearchStart:
        """Return how many there are."""
        return SearchStart(len(self._hits), self._understood)

    def hits(self) -> Iterator[Hit]:
        """Yield them in order."""
        return iter(self._hits)

    def count(self, licence_code: str | None) -> int:
        """Return the number of all; names say nothing of licences."""
        return len(self._hits) if licence_code is None else 0

    def forget(self) -> None:
        """Do nothing: there is nothing to go on with."""


class ManifestSearch(ListedSearch):
    """A list of articles in a file, in the place of a search.

    Reads plain lines ("PMC123.1" or "PMC123"), CSV with a column article_id or pmcid (and version), and JSON Lines with
    the same names; so an export of a harvest re-makes it.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        hits, n_other = read_manifest(path)
        super().__init__(hits, f"the articles in {path.name}")
        if n_other:
            say(f"{n_other:,} lines of {path.name} name no article of PMC and were passed over.")


def read_manifest(path: Path) -> tuple[list[Hit], int]:
    """Return the articles a manifest names, each once, and the number of lines that name none.

    Raises:
        UsageError: the file can't be read, or names no article.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        reason = "it is not UTF-8 text" if isinstance(problem, UnicodeDecodeError) else problem.strerror
        raise UsageError(f"The manifest {path} can't be read: {reason}.") from problem
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    names = _names_in_json(lines) if lines and lines[0].lstrip().startswith("{") else _names_in_csv(lines)
    hits: dict[str, Hit] = {}
    n_other = 0
    for name in names:
        parsed = parse_article_version(name.strip().split("/")[0])
        if parsed is None:
            n_other += 1
        else:
            hits.setdefault(parsed[0], Hit(*parsed))
    if not hits:
        raise UsageError(f"The manifest {path} names no article; it needs lines such as PMC123 or PMC123.1.")
    return list(hits.values()), n_other


def _names_in_json(lines: list[str]) -> Iterator[str]:
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        yield _name_in(record) if isinstance(record, dict) else ""


def _names_in_csv(lines: list[str]) -> Iterator[str]:
    try:
        rows = list(csv.reader(lines))
    except csv.Error:
        return
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "article_id" in header or "pmcid" in header:
        for row in rows[1:]:
            yield _name_in(dict(zip(header, row, strict=False)))
    else:
        for row in rows:
            yield next((cell for cell in row if parse_article_version(cell.strip().split("/")[0])), "")


def _name_in(record: dict[str, object]) -> str:
    if record.get("article_id"):
        return str(record["article_id"])
    version = record.get("version")
    return f"{record.get('pmcid') or ''}.{version}" if version else str(record.get("pmcid") or "")
