"""What nothing refers to goes, all else stays; a harvest can be moved; programs keep out of each other's way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from harvester.catalog import Catalog
from harvester.cli import main
from harvester.fetch.store import Store
from tests.harvester.harvests import files_of, rows_of
from tests.harvester.small_harvest import add_article, open_blank, write_png


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "harvest"
    with open_blank(root) as catalog:
        add_article(catalog, 1)
        add_article(catalog, 2)
        catalog.mark_article("PMC2", "article_removed", is_removed=True)
    return root


def put(root: Path, *names: str) -> list[str]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12345678")
    return list(names)


def invoke(*args: str | Path):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_only_what_nothing_refers_to_and_this_program_wrote_is_removed(root):
    kept = files_of(root)
    mine = put(root, "articles/PMC1.1/notes.txt", "articles/local-1234abcd/scan.png", "articles/mine/x.pdf",
               "snapshots/favourites/best.png", "articles/PMC1.1/sub/x.jpg")  # fmt: skip
    old = put(root, "articles/PMC1.1/old.jpg", "articles/PMC9.1/PMC9.1.pdf", "articles/PMC9.1/PMC9.1.xml",
              "articles/PMC1.1/PMC1.1.pdf.part", "articles/PMC1.1/PMC1.1.pdf.etag")  # fmt: skip
    old.append(write_png(root, 77)[0])
    old += put(root, f"{old[-1]}.123.part")
    before = rows_of(root)

    dry = invoke("gc", root, "--dry-run")
    assert dry.exit_code == 0 and all(name in dry.output for name in old)
    assert not any(name in dry.output for name in mine) and "nothing was" in dry.output
    assert files_of(root) == kept | set(mine) | set(old)

    done = invoke("gc", root)
    assert done.exit_code == 0 and f"{len(old)} files" in done.output, done.output
    assert files_of(root) == kept | set(mine)
    assert not (root / "articles" / "PMC9.1").exists()
    assert rows_of(root) == before
    assert "Nothing to remove" in invoke("gc", root).output
    assert invoke("verify", root).exit_code == 0


def test_links_are_never_followed_or_removed(root, tmp_path):
    outside = put(tmp_path, "outside/PMC7.1/PMC7.1.pdf")[0]
    (root / "articles" / "PMC7.1").symlink_to(tmp_path / "outside" / "PMC7.1")
    (root / "articles" / "PMC1.1" / "old.jpg").symlink_to(tmp_path / outside)

    invoke("gc", root)

    assert (tmp_path / outside).is_file() and (root / "articles" / "PMC1.1" / "old.jpg").is_symlink()


def holding(root: Path) -> subprocess.Popen:
    """Start another process that holds the harvest as a running command does."""
    code = (
        "import sys; from pathlib import Path; from harvester.fetch.store import Store\n"
        "with Store(Path(sys.argv[1])).lock():\n    print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_while_another_process_writes_every_writing_command_refuses_and_looking_works(root):
    old = put(root, "articles/PMC1.1/PMC1.1.xml.part")[0]
    process = holding(root)
    try:
        for args in (
            ["gc", root], ["gc", root, "--dry-run"], ["annotate", root], ["verify", root, "--repair"],
            ["crawl", "x", "--out", root], ["crawl", "--refresh", "--out", root], ["merge", root, "--out", root],
        ):  # fmt: skip
            result = invoke(*args)
            assert result.exit_code == 2 and "Another run is writing to" in result.output, (args, result.output)
            assert "Traceback" not in result.output
        assert invoke("status", root).exit_code == 0
        assert (root / old).exists()
    finally:
        process.communicate()
    assert invoke("gc", root).exit_code == 0


def test_a_catalog_of_a_newer_program_is_refused_by_every_command_and_stays_as_it_is(root, tmp_path):
    plain = create_engine(f"sqlite:///{root / 'catalog.db'}")
    with plain.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    plain.dispose()
    before = (root / "catalog.db").read_bytes()

    for args in (["status", root], ["gc", root], ["annotate", root], ["crawl", "x", "--out", root],
                 ["merge", root, "--out", tmp_path / "out"], ["verify", root, "--repair"],
                 ["export", root, tmp_path / "set", "--format", "csv"]):  # fmt: skip
        result = invoke(*args)
        assert result.exit_code == 2 and "upgrade histology-harvester" in result.output, (args, result.output)
        assert "Traceback" not in result.output
    assert (root / "catalog.db").read_bytes() == before


def test_a_database_locked_by_another_program_is_said_and_can_be_tried_again(root, monkeypatch):
    monkeypatch.setattr("db.engine.BUSY_TIMEOUT_MS", 30)
    plain = create_engine(f"sqlite:///{root / 'catalog.db'}")
    with plain.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        result = invoke("annotate", root)
    plain.dispose()

    assert result.exit_code == 1 and "in use by another program" in result.output, result.output


def test_a_harvest_can_be_moved_to_another_place(root, tmp_path):
    moved = tmp_path / "other disk" / "été"
    before = rows_of(root)
    moved.parent.mkdir()
    shutil.move(root, moved)

    with Catalog.open(moved) as catalog:
        assert all((moved / row["image_path"]).is_file() for row in catalog.snapshots())
    assert rows_of(moved) == before
    assert invoke("verify", moved).exit_code == 0
    exported = invoke("export", moved, tmp_path / "set", "--format", "csv")
    assert exported.exit_code == 0, exported.output
    assert str(tmp_path / "harvest") not in "".join(repr(rows) for rows in rows_of(moved).values())
    with Store(moved).lock():
        pass
    assert not root.exists()
