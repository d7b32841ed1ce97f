"""The catalog: records in, rows out. With export/ and review/ the only door to the database.

Every save is one transaction that compares with what is there and writes only what differs, so a second identical run
changes no row. Reviews outlive their snapshots: they know the place they speak of (harvester/catalog_reviews.py).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, bindparam, delete, select, tuple_, update

from db import models, queries
from db.engine import READING
from db.models import table
from harvester import __version__
from harvester.catalog_changes import (
    Changes,
    held_articles,
    mark_article,
    mark_current,
    note_changes,
    read_changes,
    snapshot_changes,
)
from harvester.catalog_funnel import Funnel, count_funnel
from harvester.catalog_open import clear_errors, open_checked
from harvester.catalog_reviews import attach_reviews
from harvester.catalog_rows import (
    article_from_row,
    article_values,
    asset_from_row,
    asset_values,
    estimate_values,
    evidence_values,
    figure_values,
    panel_values,
    skip_values,
    snapshot_values,
    sync_rows,
    text_values,
)
from harvester.catalog_witnesses import Judge, load_witnesses, reconcile_rows
from harvester.errors import CatalogError
from harvester.records import Article, ArticleFiles, ArticleResult, Asset, EstimateRow, Skip, SnapshotRow, Witnesses

BY_RULE = frozenset(
    ("licence", "retracted", "removed", "ocr", "not_open_access", "no_version", "no_pdf", "no_xml", "bad_file_name")
)
"""Why an article or a file is not fetched although nothing went wrong."""
DEFAULT_RANK = 100
"""Rank of a model that nobody ranked; lower is better."""
BATCH = 300
"""Rows looked up by key in one statement; SQLite takes at most 999 values in older builds."""

__all__ = ["DEFAULT_RANK", "Catalog", "Funnel"]

_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}(T[0-9:.+]*)?")
_SECRET = re.compile(r"api_?key|password|secret|token", re.IGNORECASE)


class Catalog:
    """An open catalog. Use it in a `with` block; safe for threads, each call is its own transaction."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self._engine = engine
        self.root = root
        self._run_id: str | None = None

    @classmethod
    def open(cls, root: Path, *, create: bool = False, upgrade: bool = False) -> Catalog:
        """Open the catalog of a harvest folder, or the database that HARVESTER_CATALOG_URL names.

        Args:
            create: Make folder and catalog when they are missing; bring an older catalog to this revision.
            upgrade: Bring an older catalog to this revision, but make none.

        Raises:
            CatalogError: missing, unreadable, no catalog, or of a revision this program does not read.
        """
        engine = open_checked(root, create=create, upgrade=upgrade or create)
        return cls(engine, root)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # runs

    def start_run(self, command: str, settings: Mapping[str, object]) -> str:
        """Note that a command has begun; returns its run_id. Values whose name says secret are not stored."""
        started_at = _now()
        run_id = f"{started_at}-{os.getpid()}"
        row = {
            "run_id": run_id,
            "command": command,
            "settings": _as_json(_without_secrets(settings)),
            "started_at": started_at,
            "version": __version__,
        }
        with self._writing() as connection:
            connection.execute(table(models.Run).insert(), row)
        self._run_id = run_id
        return run_id

    def finish_run(self, run_id: str, exit_code: int) -> None:
        """Note how the command ended."""
        run = table(models.Run)
        with self._writing() as connection:
            connection.execute(
                update(run).where(run.c.run_id == run_id), {"finished_at": _now(), "exit_code": exit_code}
            )
        self._run_id = None

    def changes_since(self, since: str) -> Changes:
        """Add up what the runs that began after `since` changed.

        Args:
            since: A run_id, or a date such as 2026-11 or 2026-11-24T10:00; times are UTC.

        Raises:
            CatalogError: when it is neither.
        """
        with self._reading() as connection:
            ids = [row["run_id"] for row in queries.select_rows(connection, "SELECT run_id FROM run ORDER BY run_id")]
            if since not in ids and not _DATE.fullmatch(since):
                newest = "; ".join(ids[-3:]) or "none yet"
                raise CatalogError(f"{since!r} is no run of {self.root} and no date; its newest runs: {newest}.")
            return read_changes(connection, since)

    def newest_search(self) -> dict[str, Any] | None:
        """Return what the newest `run` or `crawl` with a query or a manifest was asked for, or None.

        A shard is forgotten when shards were joined since.
        """
        query = "SELECT command, settings FROM run WHERE command IN ('run', 'crawl', 'merge') ORDER BY run_id DESC"
        is_joined = False
        for row in self.rows(query):
            is_joined = is_joined or row["command"] == "merge"
            settings: dict[str, Any] = (
                json.loads(row["settings"]) if isinstance(row["settings"], str) else row["settings"]
            )
            if settings.get("query") or settings.get("manifest"):
                return {name: value for name, value in settings.items() if not (is_joined and name == "shard")}
        return None

    def get_checkpoint(self, key: str) -> dict[str, Any] | None:
        """Return what set_checkpoint stored under the key, or None."""
        checkpoint = table(models.Checkpoint)
        with self._reading() as connection:
            value: dict[str, Any] | None = connection.scalar(select(checkpoint.c.value).where(checkpoint.c.key == key))
        return value

    def set_checkpoint(self, key: str, value: Mapping[str, Any] | None) -> None:
        """Store a JSON object under a key; None forgets it."""
        checkpoint = table(models.Checkpoint)
        rows = [] if value is None else [{"key": key, "value": _as_json(value)}]
        with self._writing() as connection:
            sync_rows(connection, checkpoint, rows, checkpoint.c.key == key)

    # articles

    def save_article(self, article: Article, assets: Sequence[Asset], skips: Sequence[Skip] = ()) -> None:
        """Store an article with all files it has in the store, and why anything is missing.

        Assets and skips of the search, fetch and add stages are replaced by the given ones. A value never gives way to
        None, the first query stays, and what the article's own text said stays once it was read. Changed files make the
        article due for annotation.
        """
        target, asset, skip = table(models.Article), table(models.Asset), table(models.Skip)
        with self._writing() as connection:
            found = connection.execute(select(target).where(target.c.article_id == article.article_id)).mappings()
            old = found.one_or_none()
            values = article_values(article, old) | {"is_removed": False}
            sync_rows(connection, target, [values], target.c.article_id == article.article_id)
            query = select(asset.c.name, asset.c.sha256).where(asset.c.article_id == article.article_id)
            # a server's JSON changes without the article; yours is what you know of the picture
            passing = "" if article.source == "local" else "json"
            before = {(row.name, row.sha256) for row in connection.execute(query.where(asset.c.role != passing))}
            rows = [asset_values(article.article_id, item) for item in assets]
            sync_rows(connection, asset, rows, asset.c.article_id == article.article_id)
            after = {(item.name, item.sha256) for item in assets if item.role != passing}
            is_changed = old is not None and before != after
            if is_changed:
                connection.execute(
                    update(target).where(target.c.article_id == article.article_id), {"annotated_version": None}
                )
            noted = {
                "article_new": old is None and bool(assets),
                "files_changed": is_changed,
                "article_retracted": old is not None and article.is_retracted and not old["is_retracted"],
                "article_back": old is not None
                and (old["is_removed"] or (old["is_retracted"] and not article.is_retracted)),
            }
            note_changes(connection, self._run_id, article.article_id, noted)
            owners = [article.article_id] + ([article.pmcid] if article.pmcid else [])
            scope = skip.c.article_id.in_(owners) & skip.c.stage.in_(queries.FETCH_STAGES)
            sync_rows(connection, skip, [skip_values(item) for item in skips], scope)

    def save_skips(self, skips: Iterable[Skip]) -> None:
        """Add skips, or replace the ones with the same subject, stage and reason."""
        with self._writing() as connection:
            for item in skips:
                _upsert_skip(connection, item)

    def refused_subjects(self, *, failed_only: bool = False) -> set[str]:
        """Return the PMCIDs of articles that have a skip of the fetch stage, of their own or of one of their files.

        Args:
            failed_only: Leave out what was refused by rule (a licence, a retraction, no PDF): only what went wrong.
        """
        rows = self.rows("SELECT DISTINCT article_id, reason FROM skip WHERE stage = 'fetch'")
        kept = [row for row in rows if not (failed_only and row["reason"].partition(":")[0] in BY_RULE)]
        return {row["article_id"].partition(".")[0] for row in kept if row["article_id"].startswith("PMC")}

    def replace_fetch_skips(self, subject_id: str, skips: Iterable[Skip]) -> None:
        """Store why a subject was not fetched, in the place of all that was said of its search and fetch before."""
        skip = table(models.Skip)
        scope = (skip.c.subject_id == subject_id) & skip.c.stage.in_(queries.FETCH_STAGES)
        with self._writing() as connection:
            sync_rows(connection, skip, [skip_values(item) for item in skips], scope)

    def mark_article(self, pmcid: str, what: str, **values: Any) -> int:
        """Set columns of every version of an article, such as is_removed; return how many rows changed."""
        with self._writing() as connection:
            return mark_article(connection, self._run_id, pmcid, what, **values)

    def mark_current(self, pmcid: str, article_id: str) -> bool:
        """Let one version stand for its article, which its source holds; return whether another one stood before."""
        with self._writing() as connection:
            return mark_current(connection, self._run_id, pmcid, article_id)

    def held_articles(self) -> dict[str, list[tuple[str, str | None]]]:
        """Return PMCID to (article_id, md5 of its metadata) of every version with files, the current one last."""
        with self._reading() as connection:
            return held_articles(connection)

    def load_article(self, article_id: str) -> Article:
        """Return an article as stored.

        Raises:
            CatalogError: when there is none of this id.
        """
        target = table(models.Article)
        with self._reading() as connection:
            row = connection.execute(select(target).where(target.c.article_id == article_id)).mappings().one_or_none()
        if row is None:
            raise CatalogError(f"The catalog in {self.root} holds no article {article_id!r}.")
        return article_from_row(row)

    def has_article(self, article_id: str) -> bool:
        """Return whether an article of this id was saved."""
        with self._reading() as connection:
            query = "SELECT 1 FROM article WHERE article_id = :article_id"
            return bool(queries.select_rows(connection, query, article_id=article_id))

    def article_files(self, article_id: str, root: Path) -> ArticleFiles:
        """Return where the files of an article lie; pictures without a PDF or XML are the article themselves."""
        folder = root / "articles" / article_id
        paths: dict[str, list[Path]] = {"pdf": [], "xml": [], "json": [], "media": []}
        for asset in self.article_assets(article_id):
            paths[asset.role].append(folder / asset.name)
        pictures = tuple(paths["media"])
        is_document = bool(paths["pdf"] or paths["xml"])
        return ArticleFiles(
            article_id,
            folder,
            pdf=next(iter(paths["pdf"]), None),
            xml=next(iter(paths["xml"]), None),
            media=pictures if is_document else (),
            images=() if is_document else pictures,
        )

    def article_assets(self, article_id: str) -> list[Asset]:
        """Return the files of an article, by name."""
        asset = table(models.Asset)
        with self._reading() as connection:
            query = select(asset).where(asset.c.article_id == article_id).order_by(asset.c.name)
            return [asset_from_row(row) for row in connection.execute(query).mappings()]

    def known_articles(self) -> dict[str, str]:
        """Return PMCID to article_id (of the newest version) of articles whose fetching is over.

        Over is: whole, or refused for a reason that lasts. Articles with a passing failure are left out, so that they
        are asked for again.
        """
        with self._reading() as connection:
            return queries.select_known_articles(connection)

    def articles_to_annotate(self, annotation_version: str | None = None, *, retry_failed: bool = False) -> list[str]:
        """Return ids of articles that have a PDF or pictures and no finished annotation, in order.

        Args:
            annotation_version: Also those annotated by another version than this one.
            retry_failed: Also those that an earlier run gave up for good.
        """
        with self._reading() as connection:
            return queries.select_articles_to_annotate(connection, annotation_version, retry_failed=retry_failed)

    def forget_asset(self, article_id: str, name: str, *, reason: str) -> None:
        """Drop the row of a file that is no longer whole, and note that its article has to be fetched again."""
        asset, article = table(models.Asset), table(models.Article)
        lost = Skip(f"{article_id}/{name}", article_id, "fetch", reason, f"{name} is no longer whole.", False)
        with self._writing() as connection:
            connection.execute(delete(asset).where(asset.c.article_id == article_id, asset.c.name == name))
            connection.execute(update(article).where(article.c.article_id == article_id), {"annotated_version": None})
            _upsert_skip(connection, lost)

    def annotate_again(self, image_path: str) -> None:
        """Make the articles due again that have a snapshot stored at this path."""
        article, figure, panel = table(models.Article), table(models.Figure), table(models.Panel)
        snapshot = table(models.Snapshot)
        owners = (
            select(figure.c.article_id)
            .join(panel, panel.c.figure_id == figure.c.figure_id)
            .join(snapshot, snapshot.c.panel_id == panel.c.panel_id)
            .where(snapshot.c.image_path == image_path)
        )
        with self._writing() as connection:
            connection.execute(update(article).where(article.c.article_id.in_(owners)), {"annotated_version": None})

    # results

    def save_result(
        self,
        result: ArticleResult,
        estimates: Sequence[EstimateRow] = (),
        annotation_version: str = "1",
        judge: Judge | None = None,
    ) -> None:
        """Replace what is known of an article's figures, panels, evidence and snapshots, and mark it as annotated.

        Rows that are equal stay as they are. Estimates of a snapshot stay when its image is the same. `judge` says what
        the witnesses of each snapshot say together; that is written, too. Reviews go to the snapshots that now lie
        where they were given.

        Raises:
            CatalogError: when the article was never saved, or the database refuses.
        """
        article, skip = table(models.Article), table(models.Skip)
        figure, panel, snapshot = table(models.Figure), table(models.Panel), table(models.Snapshot)
        own_figures = select(figure.c.figure_id).where(figure.c.article_id == result.article_id)
        own_panels = select(panel.c.panel_id).where(panel.c.figure_id.in_(own_figures))
        with self._writing() as connection:
            query = select(article).where(article.c.article_id == result.article_id)
            old = connection.execute(query).mappings().one_or_none()
            if old is None:
                raise CatalogError(f"The catalog in {self.root} holds no article {result.article_id!r} to annotate.")
            values = {**old, **text_values(result.text, old), "annotated_version": annotation_version}
            sync_rows(connection, article, [values], article.c.article_id == result.article_id)

            figures = [figure_values(result.article_id, row) for row in result.figures]
            sync_rows(connection, figure, figures, figure.c.article_id == result.article_id)
            panels = [panel_values(row) for row in result.panels]
            sync_rows(connection, panel, panels, panel.c.figure_id.in_(own_figures))
            evidence = table(models.Evidence)
            said = [evidence_values(row) for row in result.evidence]
            sync_rows(connection, evidence, said, evidence.c.panel_id.in_(own_panels))
            boxes = select(snapshot.c.snapshot_id, snapshot.c.image_sha256, snapshot.c.x0_px, snapshot.c.y0_px)
            found = connection.execute(boxes.where(snapshot.c.panel_id.in_(own_panels)))
            before = {row[0]: tuple(row[1:]) for row in found}
            snapshots = [snapshot_values(row) for row in result.snapshots]
            sync_rows(connection, snapshot, snapshots, snapshot.c.panel_id.in_(own_panels))
            other_image = [
                (row.snapshot_id,)
                for row in result.snapshots
                if before.get(row.snapshot_id, (row.image_sha256,))[0] != row.image_sha256
            ]
            _delete_where(connection, table(models.Estimate), "snapshot_id", other_image)
            self._save_estimates(connection, estimates)
            noted = snapshot_changes(before, {row.snapshot_id: _whereabouts(row) for row in result.snapshots})
            noted["read_again"] = old["annotated_version"] not in (None, annotation_version)
            noted |= attach_reviews(connection, result.article_id)
            if judge is not None:
                noted["scales_changed"] = reconcile_rows(connection, judge, result.article_id)
            note_changes(connection, self._run_id, result.article_id, noted)

            scope = (skip.c.article_id == result.article_id) & skip.c.stage.not_in(queries.FETCH_STAGES)
            sync_rows(connection, skip, [skip_values(item) for item in result.skips], scope)

    def save_model(
        self,
        model_id: str,
        name: str,
        version: str,
        weights_sha256: str,
        card: Mapping[str, Any],
        *,
        rank: int | None = None,
    ) -> None:
        """Store a model; of those that have seen a snapshot the view shows the one with the lowest rank.

        Without a rank a known model keeps the one it has, and a new one comes last.
        """
        if rank is None:
            found = self.rows("SELECT rank FROM model WHERE model_id = :model_id", model_id=model_id)
            rank = found[0]["rank"] if found else DEFAULT_RANK
        row = {
            "model_id": model_id,
            "name": name,
            "version": version,
            "weights_sha256": weights_sha256,
            "card": _as_json(card),
            "rank": rank,
        }
        model = table(models.Model)
        with self._writing() as connection:
            sync_rows(connection, model, [row], model.c.model_id == model_id)

    def models_in_order(self) -> list[str]:
        """Return the ids of the models, first the one whose answers are shown where it has given any."""
        return [
            row["model_id"] for row in self.rows("SELECT model_id FROM model ORDER BY rank, version DESC, model_id")
        ]

    def order_models(self, first: Sequence[str]) -> bool:
        """Put these models before all others, which keep their order; return whether that was another one.

        Ids that the catalog does not know are passed over.
        """
        before = self.models_in_order()
        known = [model_id for model_id in dict.fromkeys(first) if model_id in before]
        after = known + [model_id for model_id in before if model_id not in known]
        if after == before:
            return False
        model = table(models.Model)
        with self._writing() as connection:
            for rank, model_id in enumerate(after):
                connection.execute(update(model).where(model.c.model_id == model_id).values(rank=rank))
        return True

    def has_snapshots(self) -> bool:
        """Return whether there is any snapshot."""
        with self._reading() as connection:
            return bool(queries.select_rows(connection, "SELECT 1 FROM snapshot LIMIT 1"))

    def snapshots_without(self, model_id: str) -> list[tuple[str, str]]:
        """Return (snapshot_id, image_path) of snapshots the model has not seen, by id."""
        query = (
            "SELECT s.snapshot_id, s.image_path FROM snapshot s WHERE NOT EXISTS (SELECT 1 FROM estimate e"
            " WHERE e.snapshot_id = s.snapshot_id AND e.model_id = :model_id) ORDER BY s.snapshot_id"
        )
        with self._reading() as connection:
            rows = queries.select_rows(connection, query, model_id=model_id)
        return [(row["snapshot_id"], row["image_path"]) for row in rows]

    def save_estimates(self, rows: Sequence[EstimateRow]) -> None:
        """Store estimates, each in the place of an earlier one of the same model and snapshot."""
        with self._writing() as connection:
            self._save_estimates(connection, rows)

    def reconcile(self, judge: Judge) -> None:
        """Let the witnesses of every snapshot be judged anew; only what differs is written."""
        with self._writing() as connection:
            n = reconcile_rows(connection, judge)
            note_changes(connection, self._run_id, "all", {"scales_changed": n})

    # reading

    def witnesses(self) -> list[Witnesses]:
        """Return what speaks of the scale of every snapshot, by id."""
        with self._reading() as connection:
            return load_witnesses(connection)

    def funnel(self) -> Funnel:
        """Count the harvest, step by step."""
        with self._reading() as connection:
            return count_funnel(connection)

    def snapshots(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the view `snapshots` by id; a few hundred in memory at a time."""
        with self._reading() as connection:
            yield from map(dict, queries.stream_snapshots(connection))

    def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of one SELECT, for what is small enough to hold."""
        with self._reading() as connection:
            return [dict(row) for row in queries.select_rows(connection, query, **values)]

    def stream(self, query: str, **values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one SELECT as tuples, a few thousand in memory at a time."""
        with self._reading() as connection:
            yield from queries.stream_rows(connection, query, values)

    def integrity_problems(self) -> list[str]:
        """Return what the database itself finds wrong, a sentence each; nothing for databases that do not say."""
        if self._engine.dialect.name != "sqlite":
            return []
        with self._reading() as connection:
            pages = [str(word) for word in connection.exec_driver_sql("PRAGMA quick_check").scalars() if word != "ok"]
            keys = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return pages + [f"row {row[1]} of table {row[0]} refers to a row of {row[2]} that is not there" for row in keys]

    def reading(self) -> AbstractContextManager[Connection]:
        """Return a transaction that only reads, for review/, the other door to the database."""
        return self._reading()

    def writing(self) -> AbstractContextManager[Connection]:
        """Return a transaction that writes; it holds the lock from its beginning."""
        return self._writing()

    def _save_estimates(self, connection: Connection, rows: Sequence[EstimateRow]) -> None:
        estimate = table(models.Estimate)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            scope = tuple_(estimate.c.snapshot_id, estimate.c.model_id).in_(
                [(row.snapshot_id, row.model_id) for row in batch]
            )
            known = Counter(connection.execute(select(estimate.c.model_id).where(scope)).scalars())
            changed = Counter(key[1] for key in sync_rows(connection, estimate, map(estimate_values, batch), scope))
            for model_id, n in Counter(row.model_id for row in batch).items():
                noted = {"estimates_new": n - known[model_id], "estimates_changed": changed[model_id]}
                note_changes(connection, self._run_id, model_id, noted)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with clear_errors(self.root), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with clear_errors(self.root), self._engine.connect().execution_options(**READING) as connection:
            yield connection


def _upsert_skip(connection: Connection, item: Skip) -> None:
    skip, row = table(models.Skip), skip_values(item)
    scope = (skip.c.subject_id == row["subject_id"]) & (skip.c.stage == row["stage"])
    sync_rows(connection, skip, [row], scope & (skip.c.reason == row["reason"]))


def _whereabouts(row: SnapshotRow) -> tuple[Any, ...]:
    return row.image_sha256, row.box.x0, row.box.y0


def _delete_where(connection: Connection, target: Table, column: str, keys: Sequence[tuple[Any, ...]]) -> None:
    if keys:
        match = target.c[column] == bindparam("owner")
        connection.execute(delete(target).where(match), [{"owner": key[0]} for key in keys])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what JSON gives back, so that a stored value compares equal to the same value given again."""
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain


def _without_secrets(settings: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            kept[name] = _without_secrets(value)
        elif not _SECRET.search(name):
            kept[name] = value
    return kept
