"""Harvests made apart, joined into one: rows by `harvester/catalog_merge.py`, files copied and checked by their hash.

Article by article, each in a transaction of its own after its files lie whole in the store: an interrupted merge is
continued by running it again. The harvests that are read are not changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harvester import catalog_merge as rules
from harvester.catalog import Catalog
from harvester.catalog_rows import SNAPSHOT_PATH
from harvester.errors import HarvestError, UsageError
from harvester.fetch.store import Store
from harvester.names import is_article_id, is_plain_file_name
from harvester.pipeline.judging import MODELS_NAME, judge_of


@dataclass(slots=True)
class MergeOutcome:
    """What a merge did.

    Attributes:
        n_articles: Articles in all harvests, each version once.
        n_shared: Of these, how many are in more than one.
        n_files, n_bytes: Files copied.
        notes: What a person should know, a sentence each.
    """

    n_articles: int = 0
    n_shared: int = 0
    n_files: int = 0
    n_bytes: int = 0
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """Return one line for a person."""
        return (
            f"{self.n_articles:,} articles ({self.n_shared:,} of them in more than one harvest),"
            f" {self.n_files:,} files copied ({self.n_bytes / 1e6:,.1f} MB)."
        )


@contextmanager
def open_sources(roots: Sequence[Path], out: Path) -> Iterator[list[Catalog]]:
    """Open the harvests to be read, each once and `out` not among them; none may be written to meanwhile.

    Raises:
        UsageError: a folder is no harvest, another run writes to it, or one catalog is named for all.
        CatalogError: a catalog can't be read, or is of another revision.
    """
    if os.environ.get("HARVESTER_CATALOG_URL"):
        raise UsageError("merge joins the catalog.db of each folder: unset HARVESTER_CATALOG_URL.")
    with ExitStack() as stack:
        catalogs = []
        for root in dict.fromkeys(root.resolve() for root in roots):
            if root == out.resolve():
                continue
            if not (root / "catalog.db").is_file():
                raise UsageError(f"There is no harvest at {str(root)!r}.")
            if os.access(root, os.W_OK):
                stack.enter_context(Store(root).lock())
            catalogs.append(stack.enter_context(Catalog.open(root)))
        yield catalogs


def merge(sources: Sequence[Catalog], catalog: Catalog, tick: Callable[[], None] = lambda: None) -> MergeOutcome:
    """Join harvests into the one that `catalog` is of; what is there takes part like the others.

    The caller holds the lock of the folder.

    Raises:
        HarvestError: a file that is needed is missing or damaged everywhere; nothing of its article was written.
        DiskError: the disk refuses.
    """
    outcome = MergeOutcome()
    everyone = [*sources, catalog]
    holders: dict[str, list[Catalog]] = defaultdict(list)
    with ExitStack() as stack:
        connections = [stack.enter_context(each.reading()) for each in everyone]
        for each, connection in zip(everyone, connections, strict=True):
            for article_id in rules.read_article_ids(connection):
                holders[article_id].append(each)
        models, reviews = rules.join_models(connections), rules.join_reviews(connections)
        skips, refused = rules.join_loose_skips(connections), rules.join_refused(connections)
        history = rules.join_history(connections)
    with catalog.writing() as connection:
        rules.write_models(connection, models)
        rules.write_history(connection, *history)
    for article_id in sorted(holders):
        _merge_article(article_id, holders[article_id], catalog, outcome)
        outcome.n_articles += 1
        outcome.n_shared += len(holders[article_id]) > 1
        tick()
    with catalog.writing() as connection:
        rules.write_loose_skips(connection, skips)
        rules.mark_superseded(connection)
        rules.write_reviews(connection, reviews)
    for key, value in refused.items():
        catalog.set_checkpoint(key, value)
    outcome.notes = _merge_error_models([each.root for each in everyone], catalog.root)
    catalog.reconcile(judge_of(catalog.root))
    return outcome


def _merge_article(article_id: str, holders: Sequence[Catalog], catalog: Catalog, outcome: MergeOutcome) -> None:
    if not is_article_id(article_id):
        raise HarvestError(f"{holders[0].root} holds an article of the impossible id {article_id!r}; nothing is taken.")
    if all(holder is catalog for holder in holders):
        return
    candidates = []
    for holder in holders:
        with holder.reading() as connection:
            candidates.append(rules.read_article(connection, article_id))
    joined = rules.join_article(candidates)
    roots = [holder.root for holder in holders if holder is not catalog]
    for row in joined.rows["asset"]:
        if not is_plain_file_name(row["name"]):
            raise HarvestError(f"A file of {article_id} has the impossible name {row['name']!r}; nothing is taken.")
        _take(f"articles/{article_id}/{row['name']}", row["sha256"], roots, catalog.root, outcome)
    for row in joined.rows["snapshot"]:
        match = SNAPSHOT_PATH.fullmatch(row["image_path"])
        if match is None or match[2] != row["image_sha256"]:
            raise HarvestError(f"{row['snapshot_id']} has the impossible path {row['image_path']!r}; nothing is taken.")
        _take(row["image_path"], row["image_sha256"], roots, catalog.root, outcome)
    with catalog.writing() as connection:
        rules.write_article(connection, joined)


def _take(relative: str, sha256: str, roots: Sequence[Path], out: Path, outcome: MergeOutcome) -> None:
    """Copy a file from the first harvest that has it whole, unless it lies here already."""
    target = out / relative
    if _sha256_of(target) == sha256:
        return
    for root in roots:
        if (root / relative).is_symlink() or _sha256_of(root / relative) != sha256:
            continue
        part = target.with_name(f"{target.name}.part")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(root / relative, part)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(target)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        outcome.n_files += 1
        outcome.n_bytes += target.stat().st_size
        return
    where = ", ".join(map(str, roots)) or str(out)
    raise HarvestError(f"{relative} is missing or damaged in {where}: run 'harvester verify DIR --repair' there first.")


def _sha256_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _merge_error_models(roots: Sequence[Path], out: Path) -> tuple[str, ...]:
    """Take over what `evaluate --refit` learnt when the harvests agree; what `out` has learnt itself stays."""
    found = {(root / MODELS_NAME).read_bytes() for root in roots if (root / MODELS_NAME).is_file()}
    if not found or (out / MODELS_NAME).is_file():
        return ()
    if len(found) == 1:
        (out / MODELS_NAME).write_bytes(next(iter(found)))
        return ()
    return ("Their error models differ, so those of the package are used: run `harvester evaluate DIR --refit` anew.",)
