"""Every file against its hash, every row against its file. Problems come back as values; nothing is raised for them.

Repairing removes what is damaged or left over and makes its article due again, so that the next `crawl`, `add` or
`annotate` brings it back. It never touches a file outside the folders `articles` and `snapshots`, nor one of yours that
it does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harvester.catalog import Catalog
from harvester.catalog_rows import SNAPSHOT_PATH
from harvester.names import is_article_id, is_plain_file_name

ProblemKind = Literal["missing", "damaged", "orphan", "leftover", "database"]

_LEFTOVER_SUFFIXES = (".part", ".etag")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as the catalog says.

    Attributes:
        kind: missing (a row without its file), damaged (the file's bytes are not the row's), orphan (a file without a
            row), leftover (of an interrupted transfer), database (the catalog itself).
        subject_id: The asset, snapshot or article it is about; empty for files without a row.
        path: Relative to the harvest folder.
        detail: One sentence for a person.
        repaired: What was done about it, or an empty text.
    """

    kind: ProblemKind
    subject_id: str
    path: str
    detail: str
    repaired: str = ""


@dataclass(slots=True)
class VerifyReport:
    """What was looked at and what was found.

    Attributes:
        n_files, n_bytes: Files whose hash was computed, and their size.
    """

    n_files: int = 0
    n_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Return whether every row has its file, whole; orphans and leftovers harm nothing."""
        return not any(problem.kind in ("missing", "damaged", "database") for problem in self.problems)

    def text(self) -> str:
        """Return a line per problem and a last line that sums up."""
        lines = []
        for problem in self.problems:
            after = f" [{problem.repaired}]" if problem.repaired else ""
            # a name on disk or in a foreign catalog may hold what a terminal obeys
            path = "".join(c if c.isprintable() else "?" for c in problem.path)
            lines.append(f"{problem.kind:<8}  {path}  {problem.detail}{after}")
        found = f"{len(self.problems):,} problems" if self.problems else "all as the catalog says"
        lines.append(f"{self.n_files:,} files, {self.n_bytes / 1e6:,.1f} MB checked: {found}.")
        return "\n".join(lines)


def verify(
    catalog: Catalog, root: Path, *, repair: bool = False, tick: Callable[[], None] = lambda: None
) -> VerifyReport:
    """Check a harvest folder against its catalog.

    With `repair` the caller must hold the folder's lock: the parts of a running transfer look like leftovers.

    Args:
        tick: Called once per file, for a progress bar.

    Raises:
        CatalogError: when the database can't be read at all.
        OSError: when a damaged file can't be removed.
    """
    report = VerifyReport()
    report.problems += _check_database(catalog)
    report.problems += _check_assets(catalog, root, report, tick, repair=repair)
    report.problems += _check_snapshots(catalog, root, report, tick, repair=repair)
    report.problems += _check_strays(catalog, root, repair=repair)
    return report


def _check_database(catalog: Catalog) -> Iterator[Problem]:
    for sentence in catalog.integrity_problems():
        yield Problem("database", "", "catalog.db", sentence)


def _check_assets(
    catalog: Catalog, root: Path, report: VerifyReport, tick: Callable[[], None], *, repair: bool
) -> Iterator[Problem]:
    query = (
        "SELECT s.asset_id, s.article_id, s.name, s.sha256, a.source FROM asset s"
        " JOIN article a ON a.article_id = s.article_id ORDER BY s.asset_id"
    )
    for row in catalog.rows(query):
        tick()
        relative = f"articles/{row['article_id']}/{row['name']}"
        if not (is_article_id(row["article_id"]) and is_plain_file_name(row["name"])):
            yield Problem("damaged", row["asset_id"], relative, "is no name the store gives; never touched")
            continue
        kind = _compare(root / relative, row["sha256"], report)
        if kind is None:
            continue
        again = "add it again" if row["source"] == "local" else "crawl again to fetch it"
        repaired = ""
        if repair:
            (root / relative).unlink(missing_ok=True)
            catalog.forget_asset(row["article_id"], row["name"], reason=f"file_{kind}")
            repaired = f"forgotten; {again}"
        yield Problem(kind, row["asset_id"], relative, _WORDS[kind], repaired)


def _check_snapshots(
    catalog: Catalog, root: Path, report: VerifyReport, tick: Callable[[], None], *, repair: bool
) -> Iterator[Problem]:
    query = (
        "SELECT s.image_path, s.image_sha256, MIN(s.snapshot_id) AS snapshot_id FROM snapshot s"
        " GROUP BY s.image_path, s.image_sha256 ORDER BY s.image_path"
    )
    for row in catalog.rows(query):
        tick()
        path = row["image_path"]
        match = SNAPSHOT_PATH.fullmatch(path)
        if match is None or match[2] != row["image_sha256"]:
            yield Problem("damaged", row["snapshot_id"], path, "is no name the store gives; never touched")
            continue
        kind = _compare(root / path, row["image_sha256"], report)
        if kind is None:
            continue
        repaired = ""
        if repair:
            (root / path).unlink(missing_ok=True)
            catalog.annotate_again(path)
            repaired = "its article will be annotated again"
        yield Problem(kind, row["snapshot_id"], path, _WORDS[kind], repaired)


_WORDS = {"missing": "is not there", "damaged": "does not have the bytes it was stored with"}


def _compare(path: Path, sha256: str, report: VerifyReport) -> Literal["missing", "damaged"] | None:
    digest = hashlib.sha256()
    try:
        if path.is_symlink():
            return "damaged"
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                report.n_bytes += len(chunk)
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "damaged"
    report.n_files += 1
    return None if digest.hexdigest() == sha256 else "damaged"


def _check_strays(catalog: Catalog, root: Path, *, repair: bool) -> Iterator[Problem]:
    assets = {f"articles/{r['article_id']}/{r['name']}" for r in catalog.rows("SELECT article_id, name FROM asset")}
    snapshots = {r["image_path"] for r in catalog.rows("SELECT DISTINCT image_path FROM snapshot")}
    for folder in ("articles", "snapshots"):
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.is_dir() or relative in assets or relative in snapshots:
                continue
            if path.name.endswith(_LEFTOVER_SUFFIXES):
                yield Problem("leftover", "", relative, "is left of an interrupted run", _remove(path, repair))
            elif folder == "snapshots" and SNAPSHOT_PATH.fullmatch(relative):
                # named by its content and used by no row: the next annotation writes it again if it is wanted
                yield Problem("orphan", "", relative, "belongs to no snapshot", _remove(path, repair))
            else:
                yield Problem("orphan", "", relative, "is unknown to the catalog; left alone")


def _remove(path: Path, repair: bool) -> str:
    if not repair:
        return ""
    path.unlink(missing_ok=True)
    return "removed"
