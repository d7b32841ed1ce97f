"""How much of a harvest is left after each step."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from db import queries


@dataclass(frozen=True, slots=True)
class Funnel:
    """How much of a harvest is left after each step. The sums hold by construction:

    articles_found = articles_downloaded + sum(articles_left_out.values());
    articles_downloaded = articles_annotated + articles_waiting; panels = sum(panels_by_kind.values());
    snapshots = estimated + abstained + waiting. What is kept back is counted in all of them, too.

    Attributes:
        articles_left_out: Articles without anything to read, each counted once, by reason.
        articles_kept_back: Articles with files that exports leave out, each counted once: retracted, removed (by the
            source) or superseded (by a newer version).
        snapshots_kept_back: Their snapshots.
        skips: (stage, reason, is_permanent, how many) of everything left out on the way.
        with_scale: Snapshots with a reconciled pixel size.
        conflict_articles: (article_id, how many snapshots) whose scale bars contradict their tissue, most first.
    """

    articles_found: int
    articles_downloaded: int
    articles_left_out: dict[str, int]
    articles_annotated: int
    articles_waiting: int
    articles_with_figures: int
    articles_with_snapshots: int
    figures: int
    panels: int
    panels_by_kind: dict[str, int]
    he_panels: int
    snapshots: int
    estimated: int
    abstained: int
    waiting: int
    with_scale: int
    conflicts: int
    reviewed: int
    skips: tuple[tuple[str, str, bool, int], ...]
    conflict_articles: tuple[tuple[str, int], ...] = ()
    articles_kept_back: dict[str, int] = field(default_factory=dict)
    snapshots_kept_back: int = 0


def count_funnel(connection: Connection) -> Funnel:
    """Count a catalog, step by step."""
    articles, left_out = queries.count_articles(connection), queries.count_left_out(connection)
    kinds, shots = queries.count_panels(connection), queries.count_snapshots(connection)
    figures, skips = queries.count_figures(connection), queries.count_skips(connection)
    return Funnel(
        articles_found=articles["n_downloaded"] + sum(left_out.values()),
        articles_downloaded=articles["n_downloaded"],
        articles_left_out=left_out,
        articles_annotated=articles["n_annotated"],
        articles_waiting=articles["n_downloaded"] - articles["n_annotated"],
        articles_with_figures=articles["n_with_figures"],
        articles_with_snapshots=articles["n_with_snapshots"],
        figures=figures,
        panels=sum(kinds.values()),
        panels_by_kind=kinds,
        he_panels=kinds.get("he", 0),
        snapshots=shots["n_snapshots"],
        estimated=shots["n_estimated"],
        abstained=shots["n_abstained"],
        waiting=shots["n_waiting"],
        with_scale=shots["n_with_scale"],
        conflicts=shots["n_conflicts"],
        reviewed=shots["n_reviewed"],
        skips=tuple(skips),
        articles_kept_back=queries.count_kept_back(connection),
        snapshots_kept_back=shots["n_kept_back"],
        conflict_articles=tuple(queries.count_conflict_articles(connection)),
    )
