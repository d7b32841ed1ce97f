"""Opening the database: SQLite in WAL mode by default, PostgreSQL by its URL.

Source of the settings: SQLite documentation, "Write-Ahead Logging" and "PRAGMA synchronous". A deferred BEGIN that
reads and then writes fails at once under WAL when another writer came between, whatever the busy timeout; so a
transaction takes the write lock when it begins, unless it was announced as reading only.
"""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import connect
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, text

HEAD = "0004"
"""The revision this program reads and writes; equals the newest file in migrations/versions."""

READING = {"reading": True}
"""Execution options of a connection that only reads: `engine.connect().execution_options(**READING)`."""

BUSY_TIMEOUT_MS = 10_000


def open_engine(url: str) -> Engine:
    """Return an engine for a SQLAlchemy URL; no connection is made yet.

    Raises:
        sqlalchemy.exc.ArgumentError, NoSuchModuleError: when the URL is none or names an unknown database.
        ImportError: when the driver of that database is not installed.
    """
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    # with isolation_level None the driver opens no transaction of its own; the `begin` event below does
    return _listen(create_engine(url, connect_args={"isolation_level": None}))


def open_immutable(path: Path) -> Engine:
    """Return an engine on a SQLite file that nobody can write to now, such as one on a read-only medium.

    WAL mode wants to write even to read; SQLite leaves that when told that the file cannot change.
    """
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    return _listen(
        create_engine(
            "sqlite://",
            poolclass=NullPool,
            creator=lambda: connect(address, uri=True, isolation_level=None, check_same_thread=False),
        )
    )


def _listen(engine: Engine) -> Engine:
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: SqliteConnection, _record: Any) -> None:
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "cache_size = -65536",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def read_revision(connection: Connection) -> str | None:
    """Return the revision the database is stamped with; None when it holds no table at all.

    Raises:
        LookupError: when it holds tables but no stamp, so it is another program's database.
    """
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        stamp = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if stamp is not None:
            return str(stamp)
    if names:
        raise LookupError("tables without a revision")
    return None
