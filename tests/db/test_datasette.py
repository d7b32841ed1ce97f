"""The catalog opens in datasette."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harvester.catalog import Catalog
from tests.harvester.small_harvest import add_article

# datasette 0.65 uses pkg_resources-era calls of its own dependencies; its warnings are not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


def test_datasette_shows_the_view_and_every_table(tmp_path: Path):
    with Catalog.open(tmp_path, create=True) as catalog:
        add_article(catalog, 1, n=3)
    from datasette.app import Datasette

    async def ask() -> tuple[list[dict[str, object]], dict[str, object], int]:
        site = Datasette([str(tmp_path / "catalog.db")], settings={"suggest_facets": False})
        await site.invoke_startup()
        rows = (await site.client.get("/catalog/snapshots.json?_shape=array&pmcid=PMC1")).json()
        tables = (await site.client.get("/catalog.json")).json()
        page = await site.client.get("/catalog/snapshots")
        return rows, tables, page.status_code

    rows, tables, status = asyncio.run(ask())

    assert [row["mpp_um"] for row in rows] == [0.5, 0.5, 0.5]
    names = {table["name"] for table in tables["tables"]}
    assert {"article", "asset", "figure", "panel", "snapshot", "estimate", "evidence", "review", "skip", "run"} <= names
    assert status == 200
