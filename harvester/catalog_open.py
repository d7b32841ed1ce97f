"""Opening a catalog: is it ours, is it of this revision; and what it says when it refuses, in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from db.engine import HEAD, READING, open_engine, open_immutable, read_revision
from harvester import __version__
from harvester.errors import CatalogError, FetchError, HarvestError

CATALOG_NAME = "catalog.db"


def open_checked(root: Path, *, create: bool, upgrade: bool) -> Engine:
    """Return an engine on the catalog of a folder, or of HARVESTER_CATALOG_URL, at this program's revision.

    Raises:
        CatalogError: missing, unreadable, no catalog, or of a revision this program does not read.
    """
    url = os.environ.get("HARVESTER_CATALOG_URL", "").strip()
    path = root / CATALOG_NAME
    if not url:
        _check_file(path, create=create)
    try:
        if not (url or create or upgrade) and _is_frozen(path):
            engine = open_immutable(path)
        else:
            engine = open_engine(url or f"sqlite:///{path}")
    except (ArgumentError, NoSuchModuleError) as error:
        raise CatalogError(
            "HARVESTER_CATALOG_URL is not understood: give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
        ) from error
    except ImportError as error:
        raise CatalogError(
            f"The driver for HARVESTER_CATALOG_URL is not installed ({error.name}): install it, for PostgreSQL with"
            " 'pip install psycopg[binary]'."
        ) from error
    place = "The database of HARVESTER_CATALOG_URL" if url else str(path)
    try:
        _check_revision(engine, place, root, create=create, upgrade=upgrade)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _is_frozen(path: Path) -> bool:
    """Return whether we may only read here, and no write-ahead log holds rows that are not in the file yet."""
    return not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()


def _check_file(path: Path, *, create: bool) -> None:
    if path.is_file():
        return
    if path.exists():
        raise CatalogError(f"{path} is not a file, so it cannot hold a catalog; choose another folder.")
    if not create:
        raise CatalogError(
            f"There is no catalog in {path.parent}: check the folder, or start a harvest in it with"
            " 'harvester run QUERY --out DIR' or 'harvester add PATH --out DIR'."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(f"The folder {path.parent} cannot be made: {error.strerror or error}.") from error


def _check_revision(engine: Engine, place: str, root: Path, *, create: bool, upgrade: bool) -> None:
    try:
        with clear_errors(root), engine.connect().execution_options(**READING) as connection:
            revision = read_revision(connection)
    except LookupError as error:
        raise CatalogError(f"{place} is a database of another program; choose another folder.") from error
    if revision == HEAD:
        return
    if revision is None and not create:
        raise CatalogError(f"{place} is empty: start a harvest in this folder with 'harvester run' or 'harvester add'.")
    # Alembic is slow to import and only needed when something has to be built
    from db import migrations

    if revision is not None and revision not in migrations.known_revisions():
        raise CatalogError(
            f"{place} is at revision {revision}, which this program ({__version__}) does not know:"
            " it was written by a newer one; upgrade histology-harvester to read it."
        )
    if not upgrade:
        raise CatalogError(
            f"{place} is at the older revision {revision}: keep a copy, then upgrade it with"
            f" 'harvester verify {root} --repair'."
        )
    with clear_errors(root), engine.begin() as connection:
        migrations.upgrade(connection)


def _first_line(error: DBAPIError) -> str:
    return next(iter(str(error.orig).splitlines()), "it gave no reason")


@contextmanager
def clear_errors(root: Path) -> Iterator[None]:
    """Turn what the database says into one sentence.

    Raises:
        FetchError: what may be better the next time (disk full, another writer).
        CatalogError: anything else the database refuses.
    """
    try:
        yield
    except DBAPIError as error:
        words = str(error.orig).lower()
        for sign, (kind, sentence) in _SENTENCES.items():
            if sign in words:
                raise kind(sentence.format(root=root)) from error
        raise CatalogError(f"The catalog in {root} refused: {_first_line(error)}.") from error
    except SQLAlchemyError as error:
        raise CatalogError(f"The catalog in {root} refused: {error}.") from error


_SENTENCES: dict[str, tuple[type[HarvestError], str]] = {
    "file is not a database": (
        CatalogError,
        "The catalog.db in {root} is not a SQLite database; restore it or choose another folder.",
    ),
    "malformed": (
        CatalogError,
        "The catalog in {root} is damaged; restore a copy, or recover it with 'sqlite3 catalog.db .recover'.",
    ),
    "readonly": (CatalogError, "The catalog in {root} is read-only; make it writable or choose another folder."),
    "unable to open": (
        CatalogError,
        "The catalog in {root} cannot be opened; check that you may read and write the folder.",
    ),
    "locked": (FetchError, "The catalog in {root} is in use by another program."),
    "disk is full": (FetchError, "The disk that holds the catalog in {root} is full; make room."),
    "disk i/o error": (FetchError, "The disk that holds the catalog in {root} fails or is full; make room."),
}
