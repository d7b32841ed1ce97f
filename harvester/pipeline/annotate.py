"""The loop that turns downloaded articles into estimated snapshots.

    article ids -> pool of workers (PDF, figures, panels, H&E) -> model process (batches across articles) -> one writer

An article is written in one transaction once its last estimate is there; until then nothing of it is in the catalog, so
a run that is killed at any moment is continued by simply running again. Only ids, paths and rows travel between
processes, and only a bounded number of articles is open at a time: memory does not grow with the harvest.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from harvester.catalog import Catalog
from harvester.engines.batch import Answered, BatchWorker
from harvester.engines.local import Done, Failed, WorkerPool
from harvester.errors import CatalogError, HarvestError
from harvester.magnification import Estimators, ModelInfo, SnapshotItem
from harvester.pipeline.judging import judge_of
from harvester.pipeline.read import ANNOTATION_VERSION, ArticleJob, read_article
from harvester.progress import Progress, say
from harvester.records import ArticleResult, EstimateRow, Skip
from harvester.settings import AnnotateSettings
from harvester.shards import Shard

Model: TypeAlias = BatchWorker[SnapshotItem, list[EstimateRow]]

UNJUDGED = "unjudged"
"""The checkpoint that stands while estimates are there that no pixel size takes into account yet."""
MAX_OPEN = 16
"""Articles being read or waiting for their estimates at a time."""


@dataclass(slots=True)
class AnnotateOutcome:
    """What a run of `annotate` did."""

    n_articles: int = 0
    n_failed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    """Time per stage added up over the workers."""


@dataclass(slots=True)
class _Open:
    """An article whose rows are ready but for some estimates."""

    result: ArticleResult
    missing: set[str]
    estimates: list[EstimateRow] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)


def annotate(
    catalog: Catalog,
    root: Path,
    settings: AnnotateSettings,
    estimators: Estimators,
    *,
    retry_failed: bool = False,
    shard: Shard | None = None,
    models_first: bool = False,
) -> AnnotateOutcome:
    """Annotate every article of a harvest that is not yet, and every snapshot a model has not seen.

    Args:
        retry_failed: Also articles that were given up for good.
        shard: Only this part of the articles.
        models_first: Show the answers of these models before those of all others; otherwise only of those that the
            catalog meets for the first time. The others keep their order, and all keep their estimates.

    Raises:
        CatalogError: when a newer version of this program has annotated the harvest.
        HarvestError: when the models can't be loaded, or the disk or the catalog refuse a write. What was written
            stays; the next run goes on from there.
    """
    outcome = AnnotateOutcome()
    _refuse_newer(catalog)
    article_ids = catalog.articles_to_annotate(retry_failed=retry_failed, annotation_version=ANNOTATION_VERSION)
    if shard is not None:
        article_ids = [article_id for article_id in article_ids if shard.holds(article_id)]
    todo = _snapshots_to_estimate(catalog, estimators.model_ids, shard)
    known = catalog.models_in_order()
    first = [model_id for model_id in estimators.model_ids if models_first or model_id not in known]
    if not article_ids and not todo:
        if catalog.order_models(first) or catalog.get_checkpoint(UNJUDGED):
            _judge_all(catalog, root)
        return outcome
    with BatchWorker[SnapshotItem, list[EstimateRow]](estimators) as model:
        infos: list[ModelInfo] = model.about
        for info in infos:
            catalog.save_model(info.model_id, info.name, info.version, info.weights_sha256, info.card)
        is_other_order = catalog.order_models(first)
        if todo or is_other_order or catalog.get_checkpoint(UNJUDGED):
            catalog.set_checkpoint(UNJUDGED, {"estimates": len(todo)})
            _estimate_known_snapshots(catalog, root, model, todo)
            _judge_all(catalog, root)
        if article_ids:
            _Loop(catalog, root, settings, model, outcome).run(article_ids)
    return outcome


def _refuse_newer(catalog: Catalog) -> None:
    """Leave alone what a newer version of this program has read: reading it again would take its work back."""
    found = catalog.rows("SELECT DISTINCT annotated_version FROM article WHERE annotated_version IS NOT NULL")
    newest = max((int(row["annotated_version"]) for row in found if row["annotated_version"].isdecimal()), default=0)
    if newest > int(ANNOTATION_VERSION):
        raise CatalogError(
            f"A newer version of this program has annotated {catalog.root} (annotation {newest}, this one gives"
            f" {ANNOTATION_VERSION}): upgrade histology-harvester; looking, reviewing and exporting still work."
        )


def _snapshots_to_estimate(catalog: Catalog, model_ids: Sequence[str], shard: Shard | None) -> set[tuple[str, str]]:
    todo = {pair for model_id in model_ids for pair in catalog.snapshots_without(model_id)}
    return todo if shard is None else {pair for pair in todo if shard.holds(pair[0])}


def _estimate_known_snapshots(catalog: Catalog, root: Path, model: Model, todo: set[tuple[str, str]]) -> None:
    """Give snapshots of earlier runs the estimates of models that were added since."""
    with Progress("snapshots", total=len(todo)) as progress:
        ordered = sorted(todo)
        for chunk in (ordered[i : i + 256] for i in range(0, len(ordered), 256)):
            model.submit([SnapshotItem(snapshot_id, root / path) for snapshot_id, path in chunk])
            rows: list[EstimateRow] = []
            while model.n_open:
                for answered in model.poll(0.5):
                    rows.extend(answered.answer or ())
                    progress.advance()
            catalog.save_estimates(rows)


def _judge_all(catalog: Catalog, root: Path) -> None:
    catalog.reconcile(judge_of(root))
    catalog.set_checkpoint(UNJUDGED, None)


class _Loop:
    """The state of one run: articles to read, articles open, and what came of them."""

    def __init__(
        self, catalog: Catalog, root: Path, settings: AnnotateSettings, model: Model, outcome: AnnotateOutcome
    ) -> None:
        self.catalog, self.root, self.settings = catalog, root, settings
        self.model, self.outcome = model, outcome
        self.judge = judge_of(root)
        self.open: dict[str, _Open] = {}
        self.owner: dict[str, str] = {}
        """Article of every snapshot that is with the model."""
        self.suspects: deque[ArticleJob] = deque()
        """Articles that broke their worker once: each is read again alone when all others are done."""
        self.is_second_try = False

    def run(self, article_ids: Sequence[str]) -> None:
        queue = deque(article_ids)
        limits = self.settings.workers
        n_workers = limits.workers or max(1, (os.cpu_count() or 1) - 1)
        with (
            Progress("articles", total=len(queue)) as progress,
            WorkerPool[ArticleJob, ArticleResult](
                read_article,
                workers=min(n_workers, len(queue)),
                task_seconds=limits.article_seconds,
                extra_bytes=limits.article_bytes,
            ) as pool,
        ):
            while queue or self.suspects or pool.n_busy or self.open:
                self._hand_out(queue, pool)
                waiting = pool.n_busy > 0
                for report in pool.poll(0.05 if waiting else 0.0):
                    self._take(report, progress)
                for answered in self.model.poll(0.0 if waiting else 0.2):
                    self._take_estimate(answered, progress)

    def _hand_out(self, queue: deque[str], pool: WorkerPool[ArticleJob, ArticleResult]) -> None:
        while queue and pool.has_room and len(self.open) + pool.n_busy < MAX_OPEN:
            article_id = queue.popleft()
            pool.submit(ArticleJob(self.root, self.catalog.article_files(article_id, self.root), self.settings))
        if not queue and self.suspects and not pool.n_busy:
            self.is_second_try = True
            pool.submit(self.suspects.popleft())

    def _take(self, report: Done[ArticleJob, ArticleResult] | Failed[ArticleJob], progress: Progress) -> None:
        article_id = report.task.files.article_id
        if isinstance(report, Failed):
            if report.reason == "internal_error" and report.detail.startswith("FetchError"):
                raise HarvestError(report.detail.removeprefix("FetchError: "))
            # what raised would raise again; what hung or died may have been unlucky in its company
            if report.reason != "internal_error" and not self.is_second_try:
                self.suspects.append(report.task)
                return
            self.outcome.n_failed += 1
            skip = Skip(article_id, article_id, "annotate", report.reason, f"{article_id}: {report.detail}.")
            say(f"{skip.detail} It is left out; --retry-failed tries it again.")
            self._write(_Open(ArticleResult(article_id, skips=(skip,)), set()), progress)
            return
        result = report.result
        self.outcome.seconds.update(result.seconds)
        entry = _Open(result, {row.snapshot_id for row in result.snapshots})
        if not entry.missing:
            self._write(entry, progress)
            return
        self.open[article_id] = entry
        for row in result.snapshots:
            self.owner[row.snapshot_id] = article_id
        self.model.submit([SnapshotItem(row.snapshot_id, self.root / row.image_path) for row in result.snapshots])

    def _take_estimate(self, answered: Answered[SnapshotItem, list[EstimateRow]], progress: Progress) -> None:
        snapshot_id = answered.item.snapshot_id
        article_id = self.owner.pop(snapshot_id)
        entry = self.open[article_id]
        entry.missing.discard(snapshot_id)
        entry.estimates.extend(answered.answer or ())
        if answered.error:
            entry.skips.append(Skip(snapshot_id, article_id, "magnification", "internal_error", answered.error))
        if not entry.missing:
            del self.open[article_id]
            self._write(entry, progress)

    def _write(self, entry: _Open, progress: Progress) -> None:
        result = replace(entry.result, skips=(*entry.result.skips, *entry.skips))
        self.catalog.save_result(result, entry.estimates, annotation_version=ANNOTATION_VERSION, judge=self.judge)
        self.outcome.n_articles += 1
        self.outcome.counts.update(
            figures=len(result.figures),
            panels=len(result.panels),
            he_panels=sum(panel.kind == "he" for panel in result.panels),
            snapshots=len(result.snapshots),
        )
        progress.advance(figures=len(result.figures), panels=len(result.panels), snapshots=len(result.snapshots))
