"""What became of the articles a harvest holds, at their source: `crawl --refresh`.

Their metadata are asked for again (a listing and a small JSON each); a file is fetched only when it is announced with
another hash. Nothing is deleted: articles are marked, and exports leave marked ones out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from harvester.catalog import Catalog
from harvester.pipeline.request import ListedSearch
from harvester.records import Skip
from harvester.shards import Shard
from harvester.sources import Hit
from harvester.sources.bucket import ArticleMetadata, Refusal

REMOVED = ("no_version", "not_open_access")
"""Refusals that mean, of an article that was taken before, that its source took it back."""


def failed_articles(catalog: Catalog) -> ListedSearch:
    """Return the articles that failed, or a file of theirs did; what was refused for good is asked for, too."""
    hits = [Hit(pmcid) for pmcid in sorted(catalog.refused_subjects(failed_only=True))]
    for row in catalog.rows("SELECT key FROM checkpoint WHERE key LIKE 'refused/%'"):
        catalog.set_checkpoint(row["key"], None)
    return ListedSearch(hits, "what failed before")


class Held:
    """The articles held when the run began, and what is found out about them.

    Attributes:
        counts: Of held articles: version (taken in a newer one), retracted, removed.
    """

    def __init__(self, catalog: Catalog, shard: Shard | None) -> None:
        self._catalog = catalog
        self._versions = {
            pmcid: rows for pmcid, rows in catalog.held_articles().items() if shard is None or shard.holds(pmcid)
        }
        self._whole = set(catalog.known_articles().values())
        self._refused = catalog.refused_subjects()
        self._seen: set[str] = set()
        self._gone: dict[str, str] = {}
        self._n_there = 0
        self.counts: Counter[str] = Counter()

    def __contains__(self, pmcid: str) -> bool:
        return pmcid in self._versions

    def __len__(self) -> int:
        return len(self._versions)

    def see(self, pmcid: str) -> bool:
        """Note that an article is being looked at; return whether it was not before."""
        is_first = pmcid not in self._seen
        self._seen.add(pmcid)
        return is_first

    def unseen(self) -> Iterator[Hit]:
        """Yield the held articles that nothing has looked at yet."""
        for pmcid in self._versions:
            if self.see(pmcid):
                yield Hit(pmcid)

    def is_unchanged(self, metadata: ArticleMetadata) -> bool:
        """Return whether the current version is held, whole, under these very metadata: nothing is to be fetched."""
        rows = self._versions.get(metadata.pmcid)
        if rows is None or metadata.article_id not in self._whole:
            return False
        return rows[-1] == (metadata.article_id, hashlib.md5(metadata.content, usedforsecurity=False).hexdigest())

    def keep(self, metadata: ArticleMetadata) -> None:
        """Note that a version lies here whole and stands for its article."""
        if metadata.pmcid in self._versions:
            self._n_there += 1
            self.counts["version"] += self._catalog.mark_current(metadata.pmcid, metadata.article_id)
            if metadata.pmcid in self._refused:
                self._catalog.replace_fetch_skips(metadata.pmcid, [])

    def refuse(self, pmcid: str, refusal: Refusal) -> bool:
        """Note why a held article would not be taken now; return whether that was all there is to do."""
        if pmcid not in self._versions:
            return False
        if refusal.reason == "retracted":
            self._n_there += 1
            self.counts["retracted"] += self._catalog.mark_article(pmcid, "article_retracted", is_retracted=True) > 0
            self._skip(pmcid, "retracted", refusal.detail)
        elif refusal.reason in REMOVED:
            self._gone[pmcid] = refusal.detail
        elif refusal.reason.startswith("licence:") and refusal.metadata is not None:
            # exports judge the licence by themselves; what was taken under another one stays
            self._n_there += 1
            self._catalog.mark_article(pmcid, "licence_changed", licence_code=refusal.metadata.licence_code)
        else:
            self._n_there += 1
        return True

    def mark_gone(self) -> str | None:
        """Mark what was not found any more, once all was looked at; return why not, when that can't be true."""
        if not self._n_there and len(self._gone) > 1:
            return (
                f"The source holds none of the {len(self._gone):,} articles of this harvest any more, which is hard to"
                " believe: nothing was marked as removed. Check HARVESTER_PMC_BUCKET_URL."
            )
        for pmcid, detail in self._gone.items():
            self.counts["removed"] += self._catalog.mark_article(pmcid, "article_removed", is_removed=True) > 0
            self._skip(pmcid, "removed", f"No longer at its source. {detail}")
        return None

    def _skip(self, pmcid: str, reason: str, detail: str) -> None:
        self._catalog.replace_fetch_skips(pmcid, [Skip(pmcid, pmcid, "fetch", reason, detail)])
