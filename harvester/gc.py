"""What lies in a harvest's folder although nothing refers to it any more, and removing it.

Only files that this program writes are candidates: snapshots named by their hash, parts of interrupted transfers, and
files of PMC articles, which can be fetched again. Whatever a row of the catalog names stays, so do articles that were
retracted, removed at their source or superseded, your own files (`local-...`), and anything of another name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harvester.catalog import Catalog
from harvester.catalog_rows import SNAPSHOT_PATH
from harvester.names import is_article_id, is_image_name

Kind = Literal["snapshot", "part", "article_file"]

WORDS: dict[Kind, str] = {
    "snapshot": "snapshots of no row",
    "part": "parts of interrupted transfers",
    "article_file": "files of articles that no row names",
}


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file that nothing refers to; `path` is relative to the harvest's folder."""

    kind: Kind
    path: str
    n_bytes: int


@dataclass(slots=True)
class GcReport:
    """What was found, and whether it was removed."""

    is_dry: bool
    found: list[Garbage] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        """Bytes of all that was found."""
        return sum(item.n_bytes for item in self.found)

    def text(self) -> str:
        """Return a line per file when nothing was removed, then a line per kind and one that sums up."""
        lines = []
        if self.is_dry:
            # a name on disk may hold what a terminal obeys
            lines += ["".join(c if c.isprintable() else "?" for c in item.path) for item in self.found]
        counts, sizes = Counter(item.kind for item in self.found), Counter[Kind]()
        for item in self.found:
            sizes[item.kind] += item.n_bytes
        lines += [
            f"{counts[kind]:,} {words} ({sizes[kind] / 1e6:,.1f} MB)" for kind, words in WORDS.items() if counts[kind]
        ]
        if not self.found:
            return "Nothing to remove: everything is referred to."
        done = "would be removed; nothing was" if self.is_dry else "removed"
        lines.append(f"{len(self.found):,} files, {self.n_bytes / 1e6:,.1f} MB {done}.")
        return "\n".join(lines)


def collect_garbage(catalog: Catalog, root: Path, *, dry_run: bool = False) -> GcReport:
    """Find what nothing refers to, and remove it unless `dry_run`.

    The caller holds the folder's lock: files of a running command have no rows yet.

    Raises:
        CatalogError: when the catalog can't be read; nothing was removed then.
        OSError: when a file can't be removed.
    """
    report = GcReport(dry_run, list(_find(catalog, root)))
    if not dry_run:
        for item in report.found:
            path = root / item.path
            path.unlink(missing_ok=True)
            # an emptied folder goes, too; one that still holds something refuses
            with suppress(OSError):
                path.parent.rmdir()
    return report


def _find(catalog: Catalog, root: Path) -> Iterator[Garbage]:
    used = {f"articles/{row['article_id']}/{row['name']}" for row in catalog.rows("SELECT article_id, name FROM asset")}
    used |= {row["image_path"] for row in catalog.rows("SELECT DISTINCT image_path FROM snapshot")}
    for top in ("articles", "snapshots"):
        for path in sorted((root / top).rglob("*")):
            relative = path.relative_to(root).as_posix()
            # links may lead anywhere
            if relative in used or path.is_symlink() or not path.is_file():
                continue
            kind = _kind_of(relative)
            if kind is not None:
                yield Garbage(kind, relative, path.stat().st_size)


def _kind_of(relative: str) -> Kind | None:
    """Return what kind of garbage a file without a row is; None for what is left alone."""
    if SNAPSHOT_PATH.fullmatch(relative):
        return "snapshot"
    top, folder, *rest = relative.split("/")
    if not rest or len(rest) > 1:
        return None
    name = rest[0]
    if top == "snapshots":
        return "part" if SNAPSHOT_PATH.match(relative) and name.endswith(".part") else None
    if not is_article_id(folder):
        return None
    if name.endswith((".part", ".etag")):
        return "part"
    is_fetched = is_image_name(name) or name.removeprefix(folder) in (".pdf", ".xml", ".json")
    return "article_file" if folder.startswith("PMC") and is_fetched else None
