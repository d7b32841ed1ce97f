"""Helpers for tests that run whole harvests: the command in a process of its own, the catalog as comparable rows."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

TIMELESS = ("article", "asset", "figure", "panel", "snapshot", "estimate", "evidence", "reconciled", "review", "skip",
            "model")  # fmt: skip
"""Every table but `run` and `change`, which note when things happened."""


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "harvester.cli", *map(str, args)]


def harvester(
    *args: str | Path, env: dict[str, str] | None = None, timeout: float = 240
) -> subprocess.CompletedProcess:
    """Run the command to its end, in the environment of a stand-in when one is given."""
    return subprocess.run(
        command(*args), env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout, check=False
    )


def rows_of(root: Path) -> dict[str, list[tuple]]:
    """Return every row of every timeless table, sorted."""
    with sqlite3.connect(f"file:{root / 'catalog.db'}?mode=ro", uri=True) as db:
        return {table: sorted(map(_portless, db.execute(f"select * from {table}")), key=repr) for table in TIMELESS}


def _portless(row: tuple) -> tuple:
    """A stand-in is on another port each time; its addresses stand in the asset rows."""
    return tuple(re.sub(r"http://127\.0\.0\.1:\d+", "http://stand-in", v) if isinstance(v, str) else v for v in row)


def files_of(root: Path) -> set[str]:
    """Return the relative names of all article files and snapshots."""
    return {
        p.relative_to(root).as_posix()
        for top in ("articles", "snapshots")
        for p in (root / top).rglob("*")
        if p.is_file()
    }
