"""The connection: settings of SQLite, and writers that wait instead of failing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import READING, open_engine


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'a b%20c.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 1), ("busy_timeout", 10_000), ("foreign_keys", 1)],
)
def test_sqlite_is_set_up_for_many_readers_and_a_writer(engine, pragma, value):
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == value


def test_writers_that_read_first_wait_for_each_other(engine):
    # with a deferred BEGIN this fails at once: "database is locked", whatever the busy timeout
    def count_up() -> None:
        for _ in range(50):
            with engine.begin() as connection:
                n = connection.execute(text("SELECT n FROM counter")).scalar_one()
                connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with engine.connect().execution_options(**READING) as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar() == 150


def test_a_reader_does_not_wait_for_a_writer(engine):
    with engine.begin() as writer:
        writer.execute(text("UPDATE counter SET n = 7"))
        with engine.connect().execution_options(**READING) as reader:
            assert reader.execute(text("SELECT n FROM counter")).scalar() == 0
