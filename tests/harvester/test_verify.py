"""Files against rows, rows against files, and what repairing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from harvester.catalog import Catalog
from harvester.records import Article
from harvester.verify import verify
from tests.harvester.small_harvest import add_article, dump, make_article, open_blank, write_pdf


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        add_article(catalog, 1, n=2)
        add_article(catalog, 2, n=1)
        yield catalog


def kinds(catalog: Catalog, *, repair: bool = False) -> list[tuple[str, str]]:
    found = verify(catalog, catalog.root, repair=repair).problems
    return [(problem.kind, problem.path) for problem in found]


def snapshot_path(catalog: Catalog) -> Path:
    return catalog.root / next(catalog.snapshots())["image_path"]


def change(catalog: Catalog, statement: str) -> None:
    engine = create_engine(f"sqlite:///{catalog.root / 'catalog.db'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_sound_harvest_has_no_problems_and_changes_nothing(catalog):
    before = dump(catalog)

    report = verify(catalog, catalog.root, repair=True)

    assert report.problems == []
    assert report.is_sound
    assert report.n_files == 5
    assert report.text() == "5 files, 0.0 MB checked: all as the catalog says."
    assert dump(catalog) == before


def test_every_file_ticks(catalog):
    ticks: list[None] = []

    verify(catalog, catalog.root, tick=lambda: ticks.append(None))

    assert len(ticks) == 5


def test_a_missing_and_a_damaged_file_are_found(catalog):
    (catalog.root / "articles/PMC1.1/PMC1.1.pdf").unlink()
    damaged = snapshot_path(catalog)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")

    report = verify(catalog, catalog.root)

    assert [(p.kind, p.path) for p in report.problems] == [
        ("missing", "articles/PMC1.1/PMC1.1.pdf"),
        ("damaged", damaged.relative_to(catalog.root).as_posix()),
    ]
    assert not report.is_sound
    assert damaged.exists()


def test_repairing_a_download_makes_its_article_due_for_the_next_crawl(catalog):
    (catalog.root / "articles/PMC1.1/PMC1.1.pdf").write_bytes(b"%PDF-1.7 other bytes")

    assert kinds(catalog, repair=True) == [("damaged", "articles/PMC1.1/PMC1.1.pdf")]

    assert not (catalog.root / "articles/PMC1.1/PMC1.1.pdf").exists()
    assert catalog.known_articles() == {"PMC2": "PMC2.1"}
    assert catalog.article_assets("PMC1.1") == []
    assert ("fetch", "file_damaged", False, 1) in catalog.funnel().skips
    assert kinds(catalog) == []


def test_a_repaired_download_that_is_fetched_again_is_annotated_again(catalog):
    (catalog.root / "articles/PMC1.1/PMC1.1.pdf").unlink()
    verify(catalog, catalog.root, repair=True)

    catalog.save_article(make_article(1), [write_pdf(catalog.root, "PMC1.1")])

    assert catalog.articles_to_annotate("1") == ["PMC1.1"]
    assert catalog.known_articles() == {"PMC1": "PMC1.1", "PMC2": "PMC2.1"}


def test_repairing_a_snapshot_makes_its_article_due_for_annotation_and_keeps_its_rows(catalog):
    snapshot_path(catalog).unlink()

    assert [kind for kind, _ in kinds(catalog, repair=True)] == ["missing"]

    assert catalog.articles_to_annotate("1") == ["PMC1.1"]
    assert catalog.funnel().snapshots == 3


def test_files_without_a_row_are_listed_and_yours_are_left_alone(catalog):
    root = catalog.root
    (root / "articles/PMC1.1/notes.txt").write_text("mine")
    stray = root / f"snapshots/ab/ab{'0' * 62}.png"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"png")
    (root / "articles/PMC2.1/PMC2.1.xml.part").write_bytes(b"<")

    report = verify(catalog, root, repair=True)

    assert report.is_sound
    assert sorted((p.kind, p.path, p.repaired) for p in report.problems) == [
        ("leftover", "articles/PMC2.1/PMC2.1.xml.part", "removed"),
        ("orphan", "articles/PMC1.1/notes.txt", ""),
        ("orphan", f"snapshots/ab/ab{'0' * 62}.png", "removed"),
    ]
    assert (root / "articles/PMC1.1/notes.txt").exists()
    assert not stray.exists()
    assert not (root / "articles/PMC2.1/PMC2.1.xml.part").exists()


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "snapshots/../../outside.png"])
def test_a_row_that_points_outside_is_reported_and_never_followed(catalog, path):
    outside = catalog.root.parent / "outside.png"
    outside.write_bytes(b"precious")
    change(catalog, f"UPDATE snapshot SET image_path = '{path}' WHERE snapshot_id = 'PMC2.1/f1/a/s1'")

    found = kinds(catalog, repair=True)

    assert ("damaged", path) in found
    assert outside.read_bytes() == b"precious"


def test_an_asset_named_like_a_path_is_never_followed(catalog):
    (catalog.root / "precious").write_bytes(b"precious")
    change(catalog, "UPDATE asset SET name = '../../precious' WHERE article_id = 'PMC1.1'")

    verify(catalog, catalog.root, repair=True)

    assert (catalog.root / "precious").exists()


def test_a_link_in_the_place_of_a_file_is_damage(catalog):
    path = snapshot_path(catalog)
    copy = catalog.root.parent / "copy.png"
    path.rename(copy)
    path.symlink_to(copy)

    assert [kind for kind, _ in kinds(catalog)] == ["damaged"]


def test_a_row_without_its_parent_is_found(catalog):
    change(catalog, "DELETE FROM panel WHERE panel_id = 'PMC1.1/f1/a'")  # a plain connection enforces no foreign keys

    report = verify(catalog, catalog.root)

    assert ("database", "catalog.db") in [(p.kind, p.path) for p in report.problems]
    assert not report.is_sound


def test_files_of_your_own_have_to_be_added_again(catalog):
    asset = write_pdf(catalog.root, "local-0123abcd")
    catalog.save_article(Article("local-0123abcd", "local"), [asset])
    (catalog.root / "articles/local-0123abcd/local-0123abcd.pdf").unlink()

    report = verify(catalog, catalog.root, repair=True)

    assert [p.repaired for p in report.problems] == ["forgotten; add it again"]
    assert (
        "missing   articles/local-0123abcd/local-0123abcd.pdf  is not there [forgotten; add it again]" in report.text()
    )
