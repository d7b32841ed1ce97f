"""The schema's history: from every released revision, holding a row, to this program's."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from setuptools import find_packages
from sqlalchemy import Engine, create_engine, text

from db import migrations
from db.engine import HEAD, open_engine, read_revision
from db.models import Base
from harvester.catalog import Catalog
from harvester.errors import CatalogError


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield engine
    engine.dispose()


def revision_of(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return read_revision(connection)


def test_the_program_reads_the_newest_revision():
    assert migrations.known_revisions()[0] == HEAD


@pytest.mark.parametrize("revision", migrations.known_revisions())
def test_a_row_of_every_released_revision_arrives_at_this_one(engine: Engine, tmp_path: Path, revision: str):
    with engine.begin() as connection:
        migrations.upgrade(connection, revision)
        connection.execute(
            text(
                "INSERT INTO article (article_id, source, pmcid, is_retracted, keywords, mesh_terms)"
                " VALUES ('PMC1.1', 'pmc', 'PMC1', 0, '[\"liver\"]', '[]')"
            )
        )

    with Catalog.open(tmp_path, upgrade=True) as catalog:
        article = catalog.load_article("PMC1.1")

    assert (article.pmcid, article.keywords) == ("PMC1", ("liver",))
    assert revision_of(engine) == HEAD


def test_a_migration_that_fails_leaves_nothing_behind(engine: Engine):
    with pytest.raises(RuntimeError, match="power cut"), engine.begin() as connection:
        migrations.upgrade(connection)
        raise RuntimeError("power cut")

    assert revision_of(engine) is None


def test_the_tables_of_the_migrations_are_those_of_the_models(engine: Engine):
    with engine.begin() as connection:
        migrations.upgrade(connection)

        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)

    assert differences == []


def test_every_constraint_has_a_name():
    unnamed = [
        (table.name, constraint)
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name is None
    ]

    assert unnamed == []


def test_the_migrations_travel_in_the_package():
    root = Path(__file__).resolve().parents[2]

    packages = find_packages(str(root), include=["db*"])

    assert {"db", "db.migrations", "db.migrations.versions"} <= set(packages)


@pytest.mark.parametrize("revision", ["9999", "from-the-future", ""])
def test_a_catalog_of_an_unknown_revision_is_refused(tmp_path: Path, revision: str):
    Catalog.open(tmp_path, create=True).close()
    plain = create_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    with plain.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    plain.dispose()

    for create in (False, True):
        with pytest.raises(CatalogError, match="newer one; upgrade histology-harvester"):
            Catalog.open(tmp_path, create=create)


def test_an_older_catalog_is_upgraded_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Catalog.open(tmp_path, create=True).close()
    monkeypatch.setattr("harvester.catalog_open.HEAD", "next")

    with pytest.raises(CatalogError, match=rf"older revision {HEAD}: keep a copy.*verify"):
        Catalog.open(tmp_path)

    Catalog.open(tmp_path, upgrade=True).close()
