"""Whatever is handed over: one sentence each, nothing else lost, the right exit code."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.harvester import bad_files
from tests.harvester.harvests import files_of, harvester, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def harvest(tmp_path_factory):
    """A harvest of everything odd and bad at once, and what the two commands said."""
    source = tmp_path_factory.mktemp("bad input")
    for name in ("odd", "images", "pdfs"):
        (source / name).mkdir()
    bad_files.write_odd_images(source / "odd")
    bad_files.write_bad_images(source / "images")
    bad_files.write_bad_pdfs(source / "pdfs")
    (source / "good.pdf").write_bytes(bad_files.pdf())
    for name, xml in (("expands", bad_files.ENTITY_BOMB), ("points", bad_files.FILE_ENTITY), ("broken", b"<article>")):
        folder = source / name
        folder.mkdir()
        # another page count, so that each is an article of its own
        (folder / "fulltext.pdf").write_bytes(bad_files.pdf(pages=2 + len(name)))
        (folder / "fulltext.xml").write_bytes(xml)
    root = tmp_path_factory.mktemp("harvest") / "out"
    added = harvester("add", source, "--out", root, "--license", "own")
    annotated = harvester("annotate", root)
    return root, added, annotated


def column(root, query):
    with sqlite3.connect(f"file:{root / 'catalog.db'}?mode=ro", uri=True) as db:
        return [row[0] for row in db.execute(query)]


def test_both_commands_end_well_and_show_no_traceback(harvest):
    _, added, annotated = harvest

    assert (added.returncode, annotated.returncode) == (0, 0), added.stderr + annotated.stderr
    assert "Traceback" not in added.stderr + annotated.stderr


def test_every_bad_file_is_a_skip_with_its_reason(harvest):
    root, _, _ = harvest
    details = " ".join(column(root, "select reason || ': ' || detail || ' ' || subject_id from skip"))

    for expected in (
        "pdf_encrypted", "pdf_damaged", "not_a_pdf", "too_many_pages", "xml_entities", "image_unreadable", "empty",
    ):  # fmt: skip
        assert expected in details, expected


def test_the_odd_but_readable_ones_all_have_a_figure(harvest):
    root, _, _ = harvest
    titles = column(root, "select title from article join figure using (article_id)")

    readable = {"sixteen bit.tif", "cmyk.jpg", "palette.png", "alpha.png", "animated.gif", "one pixel.png", "wide.png"}
    assert readable <= {title.split("/")[-1] for title in titles}
    assert any("😀" in title for title in titles)


def test_hostile_xml_costs_neither_the_pdf_nor_a_secret(harvest):
    root, _, _ = harvest
    hostname = Path("/etc/hostname").read_text().strip() if Path("/etc/hostname").exists() else "no such name"

    captions = column(root, "select caption from figure")
    assert sum("A picture of noise" in caption for caption in captions) == 4
    assert hostname not in " ".join(str(value) for value in column(root, "select title from article"))


def test_no_name_from_outside_names_a_file(harvest):
    root, _, _ = harvest

    assert not [name for name in files_of(root) if ".." in name or "\n" in name or "'" in name]


def test_a_second_annotate_does_nothing(harvest):
    root, _, _ = harvest
    before = rows_of(root)

    assert harvester("annotate", root).returncode == 0
    assert rows_of(root) == before


def test_a_catalog_of_another_revision_is_refused_in_one_sentence(harvest, tmp_path):
    root, _, _ = harvest
    other = tmp_path / "later"
    other.mkdir()
    with sqlite3.connect(root / "catalog.db") as source, sqlite3.connect(other / "catalog.db") as target:
        source.backup(target)
        target.execute("update alembic_version set version_num = '9999'")

    for args in (("status", other), ("annotate", other)):
        done = harvester(*args)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_model_file_that_is_no_model_is_refused_in_one_sentence(harvest, tmp_path):
    root, _, _ = harvest
    fake = tmp_path / "fake.safetensors"
    fake.write_bytes(b"\x08\0\0\0\0\0\0\0{}      not weights")

    done = harvester("annotate", root, "--model", fake)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "fake.safetensors" in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder here that refuses even root")
def test_a_folder_that_takes_no_files_is_named(tmp_path):
    (tmp_path / "a.pdf").write_bytes(bad_files.pdf())

    done = harvester("add", tmp_path / "a.pdf", "--out", "/proc/harvest")

    assert done.returncode == 2
    assert "/proc/harvest" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    (tmp_path / "a.pdf").write_bytes(bad_files.pdf())

    done = harvester("add", tmp_path / "a.pdf", "--out", folder / "harvest")

    assert done.returncode == 2
    assert "locked" in done.stderr and "Traceback" not in done.stderr
