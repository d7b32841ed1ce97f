"""What a query would bring, said before anything is downloaded: `--dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any

from harvester.errors import FetchError, MalformedArticle, SourceError
from harvester.fetch.answers import MissingFile
from harvester.fetch.client import Client
from harvester.licences import CODES, Policy
from harvester.pipeline.request import CrawlRequest, open_search
from harvester.sources import Hit, Search
from harvester.sources.bucket import (
    ArticleMetadata,
    Refusal,
    choose_version,
    fetch_metadata,
    list_sizes,
    list_versions,
)

N_SAMPLED = 24
"""Articles whose metadata are looked at."""
LOOKED_THROUGH = 2000
"""Hits among which they are spread."""
ASSUMED_BYTES_PER_S = 10e6
ASSUMED_SECONDS_PER_REQUEST = 0.2
"""Both of an ordinary connection; written out with the hours, as nobody can know them beforehand."""


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """What to expect of a crawl.

    Attributes:
        n_hits: Articles the source finds, licence filter included.
        understood: The query as the service understood it.
        notes: Warnings, one sentence each.
        n_by_licence: Hits by licence code, licence filter left out; empty for a manifest.
        n_sampled: Articles whose metadata were looked at.
        n_takeable: How many of those would be taken.
        left_out: Why the others would not, by reason.
        n_articles: Articles expected under the limit.
        bytes_per_article: Mean of the sample, None when none could be taken.
        gigabytes, hours: To expect; None when nothing of the sample could be taken.
    """

    n_hits: int
    understood: str
    notes: tuple[str, ...] = ()
    n_by_licence: dict[str, int] = field(default_factory=dict)
    n_sampled: int = 0
    n_takeable: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    n_articles: int = 0
    bytes_per_article: float | None = None
    gigabytes: float | None = None
    hours: float | None = None

    def lines(self) -> list[str]:
        """Return the plan for a person, a sentence a line."""
        lines = [f"{self.n_hits:,} articles match.", f"The service understood: {self.understood}", *self.notes]
        if self.n_by_licence:
            licences = ", ".join(f"{code} {n:,}" for code, n in self.n_by_licence.items() if n)
            lines.append(f"Open-access hits by licence, before the licence policy: {licences or 'none'}.")
        if self.n_sampled:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self.left_out.most_common())
            others = f"; the others: {reasons}" if reasons else ""
            with_pdf = self.n_sampled - self.left_out["no_pdf"] - self.left_out["no_version"]
            lines.append(
                f"Of {self.n_sampled} sampled articles {with_pdf} have a PDF, {self.n_takeable} would be taken{others}."
            )
        if self.gigabytes is not None and self.hours is not None:
            lines.append(
                f"Expect about {self.n_articles:,} articles, {self.gigabytes:,.2f} GB and {_hours(self.hours)}"
                f" (sizes from the sample; at {ASSUMED_BYTES_PER_S / 1e6:.0f} MB/s and the services' limits)."
            )
        return lines


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} minutes"


class _Scratch:
    """Forgets everything at the end: a dry run leaves no trace."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, Any]] = {}

    def get_checkpoint(self, key: str) -> dict[str, Any] | None:
        return self._values.get(key)

    def set_checkpoint(self, key: str, value: Mapping[str, Any] | None) -> None:
        self._values[key] = dict(value or {})
        if value is None:
            del self._values[key]


def plan(
    request: CrawlRequest,
    client: Client,
    today: date | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> CrawlPlan:
    """Ask for hits and licences, and look at the metadata of a few of them; no article file is fetched.

    Raises:
        UsageError: the request can't be sent.
        SourceError: the source can't be asked.
    """
    search = open_search(request, client, _Scratch(), today=today or date.today(), say=say)
    try:
        return _plan(request, client, search)
    except FetchError as error:
        problem = str(error)
    raise SourceError(problem)


def _plan(request: CrawlRequest, client: Client, search: Search) -> CrawlPlan:
    start = search.start()
    by_licence = {}
    if request.manifest is None:
        by_licence = {code: search.count(code) for code in CODES if code not in ("TDM", "own")}
        by_licence["other or none"] = max(0, search.count(None) - sum(by_licence.values()))
    limit = None if request.manifest is not None else request.limit
    looked_at = list(islice(search.hits(), min(limit or LOOKED_THROUGH, LOOKED_THROUGH))) if start.n_hits else []
    sample = _spread(looked_at)
    taken: list[tuple[int, int]] = []
    left_out: Counter[str] = Counter()
    for hit in sample:
        found = _look_at(client, hit, Policy.parse(request.policy))
        if isinstance(found, Refusal):
            left_out[found.reason] += 1
        else:
            taken.append(_weigh(client, found))
    expected = start.n_hits * len(taken) / len(sample) if sample else 0.0
    n_articles = round(expected if limit is None else min(expected, limit))
    result = CrawlPlan(
        n_hits=start.n_hits,
        understood=start.understood,
        notes=start.notes,
        n_by_licence=by_licence,
        n_sampled=len(sample),
        n_takeable=len(taken),
        left_out=left_out,
        n_articles=n_articles,
    )
    if not taken:
        return result
    n_bytes = sum(size for size, _ in taken) / len(taken)
    n_requests = 2 * len(sample) / len(taken) + sum(n for _, n in taken) / len(taken)
    seconds = n_articles * max(
        n_bytes / ASSUMED_BYTES_PER_S, n_requests * ASSUMED_SECONDS_PER_REQUEST / client.settings.max_transfers
    )
    return CrawlPlan(
        **{name: getattr(result, name) for name in CrawlPlan.__slots__ if name not in _FROM_SIZES},
        bytes_per_article=n_bytes,
        gigabytes=n_articles * n_bytes / 1e9,
        hours=seconds / 3600,
    )


_FROM_SIZES = ("bytes_per_article", "gigabytes", "hours")


def _spread(hits: Sequence[Hit]) -> list[Hit]:
    """Return up to N_SAMPLED of them, evenly spread."""
    n = min(N_SAMPLED, len(hits))
    return [hits[i * len(hits) // n] for i in range(n)]


def _look_at(client: Client, hit: Hit, policy: Policy) -> ArticleMetadata | Refusal:
    if hit.refused is not None:
        return Refusal(*hit.refused)
    try:
        versions = [hit.version] if hit.version is not None else list_versions(client, hit.subject)
        base = client.settings.bucket_url
        return choose_version([fetch_metadata(client, hit.subject, v, base) for v in versions], policy)
    except MissingFile:
        return Refusal("no_version", "")
    except MalformedArticle as problem:
        return Refusal(problem.reason, str(problem))


def _weigh(client: Client, metadata: ArticleMetadata) -> tuple[int, int]:
    """Return bytes and number of the files that would be fetched."""
    sizes = list_sizes(client, metadata.article_id)
    assert metadata.xml is not None and metadata.pdf is not None
    names = [f"{metadata.article_id}.xml", f"{metadata.article_id}.pdf", *(ref.name for ref in metadata.images)]
    return sum(sizes.get(name, 0) for name in names), len(names)
