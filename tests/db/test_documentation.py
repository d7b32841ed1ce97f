"""docs/catalog.md names every table and column there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from db.models import Base
from harvester.catalog import Catalog

PAGE = Path(__file__).resolve().parents[2] / "docs" / "catalog.md"


def documented() -> dict[str, list[str]]:
    """Section name to its columns, in order."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## (?:View )?`(\w+)`", line):
            name = heading[1]
            sections[name] = []
        elif (row := re.fullmatch(r"\| (\w+) \| .+ \|", line)) and row[1] != "column":
            sections[name].append(row[1])
    return sections


def test_every_table_and_column_is_documented():
    tables = {table.name: {column.name for column in table.columns} for table in Base.metadata.tables.values()}

    written = {name: set(columns) for name, columns in documented().items() if name != "snapshots"}

    assert written == tables


def test_the_view_is_documented_column_by_column_in_its_order(tmp_path: Path):
    with Catalog.open(tmp_path, create=True) as catalog:
        columns = [row["name"] for row in catalog.rows("SELECT name FROM pragma_table_info('snapshots')")]

    assert documented()["snapshots"] == columns
