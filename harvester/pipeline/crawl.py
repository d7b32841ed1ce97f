"""Search and download: from a query to whole articles in the store and their rows in the catalog.

One thread leads: it goes through the hits in the source's order, takes what may be taken, and alone writes to the
catalog. Up to eight threads ask the bucket. An article is saved in one transaction once all its files lie whole in the
store; until then only parts and whole files are there, which the next run finds and goes on with.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Protocol

from harvester.catalog import Catalog
from harvester.errors import CatalogError, FetchError, HarvestError, MalformedArticle, RateLimited, SourceError
from harvester.fetch.answers import MissingFile
from harvester.fetch.client import Client
from harvester.fetch.download import fetch_file
from harvester.fetch.store import DiskError, Store
from harvester.licences import Policy
from harvester.pipeline.interrupts import Interrupts
from harvester.pipeline.plan import CrawlPlan, plan
from harvester.pipeline.refresh import Held
from harvester.pipeline.request import CrawlRequest, open_search, parse_date
from harvester.records import Asset, AssetRef, Skip
from harvester.sources import Hit, Search
from harvester.sources.bucket import (
    ArticleMetadata,
    Refusal,
    choose_version,
    fetch_metadata,
    list_versions,
)

__all__ = ["CrawlOutcome", "CrawlPlan", "CrawlProgress", "CrawlRequest", "crawl", "parse_date", "plan"]

logger = logging.getLogger(__name__)

LOOK_AHEAD = 16
"""Hits whose versions are asked for before their turn has come."""
GIVE_UP_AFTER = 10
"""So many articles in a row that fail mean that it is not about the article."""
INTERRUPT_SECONDS = 0.2
"""How long a Ctrl-C may stay unnoticed while transfers are under way."""
ROUNDS = 2
"""What failed is tried once more at the end, when a busy server may have recovered."""


class CrawlProgress(Protocol):
    """Shows how far a crawl is."""

    def grow(self, n: int = 1) -> None:
        """There are `n` more articles to take."""
        ...

    def advance(self, n: int = 1, **counts: int) -> None:
        """`n` of them are done; counts are of downloaded, known, skipped and failed."""
        ...


class _Quiet:
    def grow(self, n: int = 1) -> None: ...

    def advance(self, n: int = 1, **counts: int) -> None: ...


@dataclass(frozen=True, slots=True)
class CrawlOutcome:
    """What a crawl did.

    Attributes:
        n_hits: Articles the source found.
        n_downloaded: Articles of which files came in this run.
        n_known: Articles that were whole before.
        n_files, n_bytes: Files that came in this run.
        skipped: Articles left out for good, by reason.
        refreshed: Of held articles: how many version (taken in a newer one), retracted, removed.
        n_failed: Articles that a later run may get.
        complete: Nothing is left for a later run; exit code 0, else 1.
        problem: Why the crawl stopped early, one sentence, or None.
    """

    n_hits: int
    n_downloaded: int = 0
    n_known: int = 0
    n_files: int = 0
    n_bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    refreshed: Counter[str] = field(default_factory=Counter)
    n_failed: int = 0
    complete: bool = True
    problem: str | None = None

    def line(self) -> str:
        """Return one line for a person."""
        parts = [f"{self.n_downloaded:,} articles downloaded ({self.n_bytes / 1e6:,.1f} MB)"]
        if self.n_known:
            parts.append(f"{self.n_known:,} already there")
        words = {"version": "in a newer version", "retracted": "newly retracted", "removed": "removed at the source"}
        parts += [f"{self.refreshed[what]:,} {said}" for what, said in words.items() if self.refreshed[what]]
        if self.skipped:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.skipped.most_common(6))
            parts.append(f"{self.skipped.total():,} left out ({reasons})")
        if self.n_failed:
            parts.append(f"{self.n_failed:,} failed and can be tried again")
        return ", ".join(parts) + "."


def crawl(
    request: CrawlRequest,
    store: Store,
    catalog: Catalog,
    client: Client,
    progress: CrawlProgress | None = None,
    say: Callable[[str], None] = logger.info,
    today: date | None = None,
    search: Search | None = None,
) -> CrawlOutcome:
    """Search, choose versions, download what is missing, and save every whole article.

    The caller holds `store.lock()`. After KeyboardInterrupt everything whole is saved, and a later run goes on.

    Args:
        say: Takes what the user should know, one sentence each.
        today: Stands for an open end of the dates.
        search: Names the articles in the place of the request's query.

    Raises:
        UsageError: the request can't be sent.
        SourceError: the source can't be asked at all.
        CatalogError: the catalog refuses.
    """
    search = search or open_search(request, client, catalog, today=today or date.today(), say=say)
    problem = ""
    try:
        start = search.start()
    except FetchError as error:
        problem = str(error)
    if problem:
        raise SourceError(problem)
    for note in start.notes:
        say(note)
    if start.n_hits == 0 and not request.refresh:
        say("No article matches this query under this licence policy; try fewer or other words, or another --license.")
        say(f"The service understood: {start.understood}")
        search.forget()
        return CrawlOutcome(0)
    loop = _Loop(request, store, catalog, client, progress or _Quiet(), search, start.n_hits)
    outcome = loop.run()
    if outcome.problem is None:
        search.forget()
    return outcome


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An article whose files are in the store, or why it can't be; `refused` is remembered for its announced files."""

    assets: tuple[Asset, ...]
    skips: tuple[Skip, ...]
    n_new: int
    n_bytes: int
    refused: dict[str, dict[str, str]]


class _RefusedFile(MalformedArticle):
    """A file without which the article is nothing can't be had; carries what is remembered of it."""

    def __init__(self, message: str, reason: str, refused: dict[str, dict[str, str]]) -> None:
        super().__init__(message, reason)
        self.refused = refused


@dataclass(slots=True)
class _Job:
    """A hit on its way; `round` counts how often it was tried. One that `is_check` was held before, and is no hit."""

    hit: Hit
    round: int = 1
    is_check: bool = False
    metadata: ArticleMetadata | None = None
    problem: str = ""

    @property
    def subject(self) -> str:
        return self.hit.subject


class _Loop:
    """The state of one crawl; every method but the two that run in threads belongs to the leading thread."""

    def __init__(
        self,
        request: CrawlRequest,
        store: Store,
        catalog: Catalog,
        client: Client,
        progress: CrawlProgress,
        search: Search,
        n_hits: int,
    ) -> None:
        self._store, self._catalog, self._client, self._progress = store, catalog, client, progress
        self._request, self._policy = request, Policy.parse(request.policy)
        self._limit = None if request.manifest is not None else request.limit
        self._hits: Iterator[Hit] | None = search.hits() if n_hits else None
        self._n_hits = n_hits
        self._held = Held(catalog, request.shard) if request.refresh else None
        self._unseen: Iterator[Hit] | None = self._held.unseen() if self._held else None
        self._known = catalog.known_articles()
        self._resolving: deque[tuple[_Job, Future[ArticleMetadata | Refusal]]] = deque()
        self._fetching: dict[Future[_Fetched], _Job] = {}
        self._again: deque[_Job] = deque()
        self._n_taken = self._n_handled = self._n_failed_in_a_row = 0
        self._outcome = CrawlOutcome(n_hits)
        self._problem: str | None = None
        self._search_problem: str | None = None
        self._pool = ThreadPoolExecutor(client.settings.max_transfers, thread_name_prefix="transfer")

    def run(self) -> CrawlOutcome:
        with Interrupts() as interrupts:
            return self._run(interrupts)

    def _run(self, interrupts: Interrupts) -> CrawlOutcome:
        self._progress.grow(self._n_hits if self._limit is None else min(self._limit, self._n_hits))
        try:
            while self._look_ahead():
                interrupts.check()
                waiting: list[Future[Any]] = [*self._fetching]
                if self._resolving and len(self._fetching) < LOOK_AHEAD:
                    waiting.append(self._resolving[0][1])
                wait(waiting, INTERRUPT_SECONDS, FIRST_COMPLETED)
                interrupts.check()
                while self._resolving and self._resolving[0][1].done() and len(self._fetching) < LOOK_AHEAD:
                    self._take(*self._resolving.popleft())
                for future in [future for future in self._fetching if future.done()]:
                    self._keep(self._fetching.pop(future), future)
            for job in self._again:
                self._leave_for_later(job)
            if self._held is not None and self._problem is None and self._search_problem is None:
                self._search_problem = self._held.mark_gone()
        except CatalogError as problem:
            if not self._n_handled:
                raise
            # a full disk or another program: what is whole in the store is found by the next run
            self._problem = self._problem or str(problem)
        except BaseException:
            self._client.cancel()
            raise
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._keep_what_is_whole()
        stopped = self._problem or self._search_problem
        refreshed = self._held.counts if self._held is not None else Counter[str]()
        self._outcome = replace(self._outcome, refreshed=+refreshed)
        return replace(self._outcome, complete=stopped is None and not self._outcome.n_failed, problem=stopped)

    def _look_ahead(self) -> bool:
        """Ask for the versions of the next hits; False when nothing is under way any more."""
        while self._problem is None and len(self._resolving) < LOOK_AHEAD:
            job = self._next_job()
            if job is None:
                break
            self._resolving.append((job, self._pool.submit(self._resolve, job.hit)))
        if self._problem is not None:
            for _, future in self._resolving:
                future.cancel()
            self._resolving.clear()
        return bool(self._resolving or self._fetching)

    def _next_job(self) -> _Job | None:
        n_hoped = sum(job.round == 1 and not job.is_check for job, _ in self._resolving)
        while self._hits is not None and (self._limit is None or self._n_taken + n_hoped < self._limit):
            hit = self._next_hit()
            if hit is None:
                break
            if not self._is_ours(hit):
                continue
            if hit.refused is None:
                return _Job(hit)
            self._leave_out(hit.subject, *hit.refused)
        # the held ones come last: what the search finds counts under the limit, what is only looked after does not
        hit = next(self._unseen, None) if self._unseen is not None and not n_hoped else None
        if hit is not None:
            return _Job(hit, is_check=True)
        under_way = [job for job, _ in self._resolving] + list(self._fetching.values())
        if self._again and all(job.round > 1 for job in under_way):
            return self._again.popleft()
        return None

    def _next_hit(self) -> Hit | None:
        assert self._hits is not None
        try:
            hit = next(self._hits, None)
        except (SourceError, FetchError) as error:
            if not self._n_handled and not self._resolving and not self._fetching:
                raise
            # what is under way is finished; the search goes on in the next run
            self._search_problem, self._hits = str(error), None
            return None
        if hit is None:
            self._hits = None
        return hit

    def _is_ours(self, hit: Hit) -> bool:
        """Whether a hit is of this job's part, and was not looked at in this run."""
        if self._request.shard is not None and not self._request.shard.holds(hit.subject):
            return False
        return self._held is None or self._held.see(hit.subject)

    # in threads

    def _resolve(self, hit: Hit) -> ArticleMetadata | Refusal:
        """Look at all versions and choose one."""
        pmcid, base = hit.subject, self._client.settings.bucket_url
        versions = [hit.version] if hit.version is not None else list_versions(self._client, pmcid)
        candidates = []
        for version in versions:
            try:
                candidates.append(fetch_metadata(self._client, pmcid, version, base))
            except MissingFile:
                continue
        if self._held is not None and hit.version is None:
            return choose_version(candidates, self._policy)
        article_id = self._known.get(pmcid, "")
        have = int(article_id.rpartition(".")[2]) if article_id.startswith(f"{pmcid}.") else None
        return choose_version(candidates, self._policy, have=have)

    def _fetch(self, metadata: ArticleMetadata, is_last_round: bool, refused: dict[str, dict[str, str]]) -> _Fetched:
        """Bring all files of an article into the store; a picture that can't be had is noted and left out."""
        article_id, base = metadata.article_id, self._client.settings.bucket_url
        json_asset = self._store.write_file(article_id, metadata.json_ref(base), metadata.content)
        assets, skips = [json_asset], []
        n_new = n_bytes = 0
        remembered: dict[str, dict[str, str]] = {}
        assert metadata.xml is not None and metadata.pdf is not None
        for ref in (metadata.xml, metadata.pdf, *metadata.images):
            before = self._store.find(article_id, ref)
            try:
                asset = before or self._fetch_one(article_id, ref, refused.get(ref.name), remembered)
            except MalformedArticle as problem:
                if ref.role != "media":
                    raise _RefusedFile(str(problem), problem.reason, remembered) from None
                skips.append(Skip(f"{article_id}/{ref.name}", article_id, "fetch", problem.reason, str(problem)))
                continue
            except (DiskError, RateLimited):
                raise
            except FetchError as problem:
                if ref.role != "media" or not is_last_round:
                    raise
                skips.append(Skip(f"{article_id}/{ref.name}", article_id, "fetch", "fetch_failed", str(problem), False))
                continue
            assets.append(asset)
            if before is None:
                n_new, n_bytes = n_new + 1, n_bytes + asset.n_bytes
        for name in metadata.bad_names:
            detail = f"The name {name} can't be given to a file here."
            skips.append(Skip(f"{article_id}/{name}", article_id, "fetch", "bad_file_name", detail))
        return _Fetched(tuple(assets), tuple(skips), n_new, n_bytes, remembered)

    def _fetch_one(
        self, article_id: str, ref: AssetRef, refusal: dict[str, str] | None, remembered: dict[str, dict[str, str]]
    ) -> Asset:
        """Fetch a file, unless it is known that the very file announced can't be had."""
        if refusal is not None and refusal["md5"] == (ref.md5 or ""):
            remembered[ref.name] = refusal
            raise MalformedArticle(refusal["detail"], refusal["reason"])
        try:
            return fetch_file(self._client, self._store, article_id, ref)
        except MissingFile as problem:
            reason, detail = "missing_file", str(problem)
        except MalformedArticle as problem:
            reason, detail = problem.reason, str(problem)
        remembered[ref.name] = {"md5": ref.md5 or "", "reason": reason, "detail": detail}
        raise MalformedArticle(detail, reason)

    # what became of them

    def _take(self, job: _Job, future: Future[ArticleMetadata | Refusal]) -> None:
        """Start the download of an article whose version is chosen, or note why there is none."""
        try:
            found = future.result()
        except MalformedArticle as problem:
            self._give_up(job, problem.reason, str(problem))
            return
        except FetchError as problem:
            self._n_taken += job.round == 1 and not job.is_check
            self._fail(job, problem)
            return
        if isinstance(found, Refusal):
            if self._held is not None and self._held.refuse(job.subject, found):
                self._count_known(job)
                return
            self._give_up(job, found.reason, found.detail, found.metadata)
            return
        self._n_taken += job.round == 1 and not job.is_check
        if self._held is not None and self._held.is_unchanged(found):
            self._held.keep(found)
            self._count_known(job)
            return
        job.metadata = found
        refused = self._catalog.get_checkpoint(f"refused/{found.article_id}") or {}
        self._fetching[self._pool.submit(self._fetch, found, job.round >= ROUNDS, refused)] = job

    def _keep(self, job: _Job, future: Future[_Fetched]) -> None:
        """Save an article whose files are whole, or note why they are not."""
        assert job.metadata is not None
        try:
            fetched = future.result()
        except _RefusedFile as problem:
            self._remember(job.metadata.article_id, problem.refused)
            self._give_up(job, problem.reason, str(problem), is_taken=True)
            return
        except MalformedArticle as problem:
            self._give_up(job, problem.reason, str(problem), is_taken=True)
            return
        except FetchError as problem:
            self._fail(job, problem)
            return
        self._save(job.metadata, fetched)

    def _save(self, metadata: ArticleMetadata, fetched: _Fetched) -> None:
        self._catalog.save_article(
            metadata.as_article(self._request.source, self._request.query), fetched.assets, fetched.skips
        )
        self._remember(metadata.article_id, fetched.refused)
        if self._held is not None:
            self._held.keep(metadata)
        self._n_failed_in_a_row = 0
        self._n_handled += 1
        o = self._outcome
        is_new = fetched.n_new > 0 or metadata.pmcid not in self._known
        n_failed = sum(not skip.is_permanent for skip in fetched.skips)
        self._outcome = replace(
            o,
            n_downloaded=o.n_downloaded + is_new,
            n_known=o.n_known + (not is_new),
            n_files=o.n_files + fetched.n_new,
            n_bytes=o.n_bytes + fetched.n_bytes,
            n_failed=o.n_failed + (n_failed > 0),
        )
        self._progress.advance(1, **{"downloaded" if is_new else "known": 1})

    def _count_known(self, job: _Job) -> None:
        """Count an article of which nothing is to be fetched."""
        self._n_failed_in_a_row = 0
        self._n_handled += 1
        self._outcome = replace(self._outcome, n_known=self._outcome.n_known + 1)
        self._progress.advance(0 if job.is_check else 1, known=1)

    def _remember(self, article_id: str, refused: dict[str, dict[str, str]]) -> None:
        key = f"refused/{article_id}"
        if refused != (self._catalog.get_checkpoint(key) or {}):
            self._catalog.set_checkpoint(key, refused or None)

    def _give_up(
        self, job: _Job, reason: str, detail: str, metadata: ArticleMetadata | None = None, *, is_taken: bool = False
    ) -> None:
        """Note an article that can't be had for good; it makes room for another one under the limit."""
        if (is_taken or job.round > 1) and not job.is_check:
            self._n_taken -= 1
        self._n_failed_in_a_row = 0
        if metadata is not None and metadata.is_retracted and metadata.article_id in self._known.values():
            self._catalog.mark_article(metadata.pmcid, "article_retracted", is_retracted=True)
        self._leave_out(job.subject, reason, detail)

    def _leave_out(self, subject: str, reason: str, detail: str) -> None:
        self._catalog.replace_fetch_skips(subject, [Skip(subject, subject, "fetch", reason, detail)])
        self._n_handled += 1
        self._outcome.skipped[reason] += 1
        self._progress.advance(0 if self._limit is not None else 1, skipped=1)

    def _fail(self, job: _Job, problem: FetchError) -> None:
        """Keep an article for the second round, or note that a later run has to get it; stop when all would fail."""
        logger.info("%s: %s", job.subject, problem)
        job.problem = str(problem)
        self._n_failed_in_a_row += 1
        if isinstance(problem, DiskError | RateLimited) or self._n_failed_in_a_row >= GIVE_UP_AFTER:
            self._problem = self._problem or job.problem
        if job.round < ROUNDS:
            self._again.append(_Job(job.hit, job.round + 1, job.is_check, problem=job.problem))
        else:
            self._leave_for_later(job)

    def _leave_for_later(self, job: _Job) -> None:
        self._n_handled += 1
        self._outcome = replace(self._outcome, n_failed=self._outcome.n_failed + 1)
        skip = Skip(job.subject, job.subject, "fetch", "fetch_failed", job.problem, is_permanent=False)
        self._catalog.replace_fetch_skips(job.subject, [skip])
        self._progress.advance(1, failed=1)

    def _keep_what_is_whole(self) -> None:
        """Save what was finished while the run was being stopped."""
        for future, job in self._fetching.items():
            if future.done() and not future.cancelled() and future.exception() is None and job.metadata is not None:
                try:
                    self._save(job.metadata, future.result())
                except (CatalogError, HarvestError):
                    logger.info("%s was not saved; the next run finds its files.", job.subject)
        self._fetching.clear()
