"""Joining catalogs: of each article the rows of one of them, of each review and model the union, whatever the order.

Every choice is the best of all candidates by an order on their content alone, so neither the order of the harvests nor
how often one is given makes a difference.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select, update

from db import models, queries
from db.models import table
from harvester.catalog_reviews import attach_reviews
from harvester.catalog_rows import sync_rows

Rows = dict[str, list[dict[str, Any]]]

ARTICLE, ASSET, SKIP = table(models.Article), table(models.Asset), table(models.Skip)
FIGURE, PANEL, SNAPSHOT = table(models.Figure), table(models.Panel), table(models.Snapshot)
ESTIMATE, EVIDENCE, RECONCILED = table(models.Estimate), table(models.Evidence), table(models.Reconciled)
REVIEW, MODEL, RUN = table(models.Review), table(models.Model), table(models.Run)
CHANGE, CHECKPOINT = table(models.Change), table(models.Checkpoint)


@dataclass(frozen=True, slots=True)
class ArticleRows:
    """All that one catalog holds of one version of an article, by table; reviews are joined apart."""

    rows: Rows

    @property
    def article(self) -> dict[str, Any]:
        """The row of the article itself."""
        return self.rows["article"][0]

    def has_files(self) -> bool:
        """Whether there is something to read."""
        return any(row["role"] in ("pdf", "media") for row in self.rows["asset"])

    def worth(self) -> tuple[Any, ...]:
        """What is compared; the least is the best: whole, nothing to fetch again, read, by the newest way, most files.

        The last part is the content itself, so that two that are equal in all else are told apart the same way always.
        """
        version = self.article["annotated_version"]
        failed = [
            row
            for row in self.rows["skip"]
            if row["subject_id"] == self.article["article_id"] and row["stage"] not in queries.FETCH_STAGES
        ]
        return (
            not self.has_files(),
            sum(not row["is_permanent"] for row in self.rows["skip"]),
            -int(version) if version is not None and version.isdecimal() else 1,
            len(failed),
            -len(self.rows["asset"]),
            as_text(self.rows),
        )


def as_text(value: Any) -> str:
    """Return plain values as text that is the same for the same content."""
    return json.dumps(value, sort_keys=True, default=str)


def read_article_ids(connection: Connection) -> list[str]:
    """Return the ids of all articles, in order."""
    return list(connection.execute(select(ARTICLE.c.article_id).order_by(ARTICLE.c.article_id)).scalars())


def read_article(connection: Connection, article_id: str) -> ArticleRows:
    """Read all rows of one article, each table in order of its keys."""
    rows: Rows = {}
    for target, scope in _scopes(article_id).items():
        found = connection.execute(select(target).where(scope).order_by(*target.primary_key.columns)).mappings()
        rows[target.name] = [dict(row) for row in found]
    return ArticleRows(rows)


def _scopes(article_id: str) -> dict[Table, ColumnElement[bool]]:
    """Return the tables of an article in the order in which rows may be written, with what is its own in each."""
    figures = select(FIGURE.c.figure_id).where(FIGURE.c.article_id == article_id)
    panels = select(PANEL.c.panel_id).where(PANEL.c.figure_id.in_(figures))
    snapshots = select(SNAPSHOT.c.snapshot_id).where(SNAPSHOT.c.panel_id.in_(panels))
    return {
        ARTICLE: ARTICLE.c.article_id == article_id,
        ASSET: ASSET.c.article_id == article_id,
        FIGURE: FIGURE.c.article_id == article_id,
        PANEL: PANEL.c.figure_id.in_(figures),
        SNAPSHOT: SNAPSHOT.c.panel_id.in_(panels),
        ESTIMATE: ESTIMATE.c.snapshot_id.in_(snapshots),
        EVIDENCE: EVIDENCE.c.panel_id.in_(panels),
        RECONCILED: RECONCILED.c.snapshot_id.in_(snapshots),
        SKIP: SKIP.c.article_id == article_id,
    }


def join_article(candidates: Sequence[ArticleRows]) -> ArticleRows:
    """Return what stands for an article that several catalogs hold.

    One of them gives the rows. The others add what only they know: estimates of models that have not seen the same
    picture here, and that the article was retracted, removed at its source, or replaced by a newer version.
    """
    ranked = sorted(candidates, key=ArticleRows.worth)
    best = ranked[0]
    article = dict(best.article)
    for name in ("is_retracted", "is_removed"):
        article[name] = any(candidate.article[name] for candidate in candidates)
    newer = [candidate.article["superseded_by"] for candidate in candidates]
    article["superseded_by"] = max((name for name in newer if name is not None), default=None)
    images = {row["snapshot_id"]: row["image_sha256"] for row in best.rows["snapshot"]}
    estimates = {(row["snapshot_id"], row["model_id"]): row for row in best.rows["estimate"]}
    for other in ranked[1:]:
        theirs = {row["snapshot_id"]: row["image_sha256"] for row in other.rows["snapshot"]}
        for row in other.rows["estimate"]:
            if images.get(row["snapshot_id"]) == theirs[row["snapshot_id"]]:
                estimates.setdefault((row["snapshot_id"], row["model_id"]), row)
    return ArticleRows(best.rows | {"article": [article], "estimate": [estimates[key] for key in sorted(estimates)]})


def write_article(connection: Connection, joined: ArticleRows) -> None:
    """Make the rows of an article equal to these; what is equal stays. Its models have to be there."""
    for target, scope in _scopes(joined.article["article_id"]).items():
        sync_rows(connection, target, joined.rows[target.name], scope)


def join_reviews(connections: Sequence[Connection]) -> list[dict[str, Any]]:
    """Return every review of every catalog once.

    One that was withdrawn in any is withdrawn, at the earliest time. Where a review stands is found again afterwards.
    """
    copies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for connection in connections:
        for row in connection.execute(select(REVIEW)).mappings():
            copies[row["review_id"]].append(dict(row))
    joined = []
    for review_id in sorted(copies):
        rows = copies[review_id]
        withdrawn = [row["withdrawn_at"] for row in rows if row["withdrawn_at"] is not None]
        best = min(rows, key=lambda row: (row["is_orphan"], as_text(row)))
        joined.append(best | {"withdrawn_at": min(withdrawn, default=None)})
    return joined


def write_reviews(connection: Connection, reviews: Iterable[Mapping[str, Any]]) -> None:
    """Add the reviews, and let each stand where the picture is that it was given for."""
    rows = list(reviews)
    sync_rows(connection, REVIEW, rows, REVIEW.c.review_id.is_not(None))
    for article_id in sorted({row["article_id"] for row in rows if row["article_id"] is not None}):
        attach_reviews(connection, article_id)


def join_models(connections: Sequence[Connection]) -> list[dict[str, Any]]:
    """Return every model once, with the worst rank it has anywhere: a harvest that put another one before it wins."""
    copies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for connection in connections:
        for row in connection.execute(select(MODEL)).mappings():
            copies[row["model_id"]].append(dict(row))
    return [min(rows, key=lambda row: (-row["rank"], as_text(row))) for _, rows in sorted(copies.items())]


def write_models(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add the models, or replace those with the same id."""
    sync_rows(connection, MODEL, rows, MODEL.c.model_id.is_not(None))


def join_loose_skips(connections: Sequence[Connection]) -> list[dict[str, Any]]:
    """Return the skips that name no row of `article`: articles turned away (by PMCID), and files that were not taken.

    Of each subject one catalog's word counts: of one that holds the article if any does, then for good before in
    passing.
    """
    said: dict[str, list[tuple[tuple[Any, ...], list[dict[str, Any]]]]] = defaultdict(list)
    held = [set(connection.execute(select(ARTICLE.c.pmcid)).scalars()) for connection in connections]
    everywhere = set().union(*held)
    for connection, own in zip(connections, held, strict=True):
        by_subject: dict[str, list[dict[str, Any]]] = defaultdict(list)
        ids = select(ARTICLE.c.article_id)
        query = select(SKIP).where(SKIP.c.article_id.not_in(ids)).order_by(*SKIP.primary_key.columns)
        for row in connection.execute(query).mappings():
            by_subject[row["subject_id"]].append(dict(row))
        silent = {subject: list[dict[str, Any]]() for subject in own if subject is not None}
        for subject, rows in (silent | by_subject).items():
            # a catalog that holds the article and says nothing of it says that nothing is wrong with it
            is_passing = any(not row["is_permanent"] for row in rows)
            key = (subject in everywhere and subject not in own, is_passing, not rows, as_text(rows))
            said[subject].append((key, rows))
    return [row for _, words in sorted(said.items()) for row in min(words, key=lambda word: word[0])[1]]


def write_loose_skips(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Make the skips that name no row of `article` equal to these."""
    ids = set(connection.execute(select(ARTICLE.c.article_id)).scalars())
    loose = [row for row in rows if row["article_id"] not in ids]
    sync_rows(connection, SKIP, loose, SKIP.c.article_id.not_in(select(ARTICLE.c.article_id)))


def mark_superseded(connection: Connection) -> None:
    """Of two versions of an article that both stand, as harvests made at different times have, let the newer stand."""
    query = (
        select(ARTICLE)
        .where(ARTICLE.c.pmcid.is_not(None), ARTICLE.c.source != "local", ARTICLE.c.superseded_by.is_(None))
        .where(ASSET.c.article_id == ARTICLE.c.article_id)
        .distinct()
        .order_by(ARTICLE.c.version.desc())
    )
    standing: dict[str, str] = {}
    for row in connection.execute(query).mappings().all():
        newer = standing.setdefault(row["pmcid"], row["article_id"])
        if newer != row["article_id"]:
            match = ARTICLE.c.article_id == row["article_id"]
            connection.execute(update(ARTICLE).where(match).values(superseded_by=newer))


def join_history(connections: Sequence[Connection]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return every run (a finished one before its copy that was still going) and every change of every catalog."""
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    changes: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for connection in connections:
        for row in connection.execute(select(RUN)).mappings():
            runs[row["run_id"]].append(dict(row))
        for row in connection.execute(select(CHANGE)).mappings():
            changes[(row["run_id"], row["subject_id"], row["what"])].append(dict(row))
    return (
        [min(rows, key=lambda row: (row["finished_at"] is None, as_text(row))) for _, rows in sorted(runs.items())],
        [max(rows, key=lambda row: row["n"]) for _, rows in sorted(changes.items())],
    )


def write_history(
    connection: Connection, runs: Iterable[Mapping[str, Any]], changes: Iterable[Mapping[str, Any]]
) -> None:
    """Add runs and changes; rows of other runs stay."""
    for target, rows in ((RUN, list(runs)), (CHANGE, list(changes))):
        for row in rows:
            match = [target.c[column.name] == row[column.name] for column in target.primary_key]
            scope = match[0]
            for part in match[1:]:
                scope &= part
            sync_rows(connection, target, [row], scope)


def join_refused(connections: Sequence[Connection]) -> dict[str, dict[str, Any]]:
    """Return what is remembered of files that can't be had, by key of the table `checkpoint`."""
    copies: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for connection in connections:
        query = select(CHECKPOINT).where(CHECKPOINT.c.key.like("refused/%"))
        for row in connection.execute(query).mappings():
            copies[row["key"]].append(row["value"])
    return {key: min(values, key=as_text) for key, values in sorted(copies.items())}
