"""Whole harvests through real sockets and real processes: faults, kills, second runs, bad disks."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from harvester.demo.articles import draw_articles
from harvester.demo.faults import Faults
from harvester.demo.served import served_from_shared
from harvester.demo.server import StandIn
from tests.harvester.harvests import command, files_of, harvester, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUERY = ("run", "histology", "--limit", "all")


@pytest.fixture(scope="module")
def drawn():
    """The articles of the demo, as the services serve them."""
    return [article.served for article in draw_articles()]


@pytest.fixture(scope="module")
def undisturbed(drawn, tmp_path_factory):
    """A harvest nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed") / "harvest"
    with StandIn(drawn) as services:
        done = harvester(*QUERY, "--out", root, env=services.environment())
    assert done.returncode == 0, done.stderr
    return root


def test_a_second_identical_run_downloads_nothing_and_changes_no_row(drawn, undisturbed):
    before = rows_of(undisturbed)

    with StandIn(drawn) as services:
        done = harvester(*QUERY, "--out", undisturbed, env=services.environment())

        assert done.returncode == 0, done.stderr
        assert services.downloads() == []
    assert rows_of(undisturbed) == before


def test_the_manifest_of_a_data_set_gets_its_articles_again(drawn, undisturbed, tmp_path):
    """Text alone is enough: from the same files the same snapshots follow, as the test above shows."""
    done = harvester("export", undisturbed, tmp_path / "set", "--format", "csv")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "set" / "manifest.csv").read_text(encoding="utf-8").splitlines()
    named = {row["article_id"] for row in csv.DictReader(lines)}
    assert named

    with StandIn(drawn) as services:
        again = harvester(
            "crawl", "--manifest", tmp_path / "set" / "manifest.csv", "--out", tmp_path / "again",
            env=services.environment(),
        )  # fmt: skip

    assert again.returncode == 0, again.stderr
    articles = {path.name for path in (tmp_path / "again" / "articles").iterdir()}
    assert articles == named
    for article in articles:
        theirs, ours = (root / "articles" / article for root in (undisturbed, tmp_path / "again"))
        assert {p.name: p.read_bytes() for p in theirs.iterdir()} == {p.name: p.read_bytes() for p in ours.iterdir()}


def test_the_page_on_data_flow_shows_the_rows_that_are_really_left(undisturbed):
    page = (Path(__file__).resolve().parents[2] / "docs" / "data-flow.md").read_text(encoding="utf-8")
    listed = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in page.splitlines() if "PMC99" in line]
    with sqlite3.connect(f"file:{undisturbed / 'catalog.db'}?mode=ro", uri=True) as db:
        skips = db.execute("select subject_id, stage, reason, detail from skip where stage = 'fetch'").fetchall()
        figure = db.execute(
            "select figure_id, label, page_number, page_x0_pt, page_y0_pt, page_x1_pt, page_y1_pt, width_px, height_px,"
            " pixels_from from figure where figure_id = 'PMC99000001.1/f1'"
        ).fetchone()
        panels = db.execute(
            "select panel_id, label, x0_px, y0_px, x1_px, y1_px, native_width_px, native_height_px, caption from panel"
            " where figure_id = 'PMC99000001.1/f1'"
        ).fetchall()
        snapshots = db.execute(
            "select snapshot_id, x0_px, y0_px, x1_px, y1_px, width_px, height_px from snapshot"
            " where panel_id like 'PMC99000001.1/f1/%'"
        ).fetchall()

    expected = [list(row) for row in skips]
    box = ", ".join(f"{v:.1f}" for v in figure[3:7])
    expected.append([figure[0], figure[1], str(figure[2]), box, f"{figure[7]} x {figure[8]}", figure[9]])
    expected += [[p[0], p[1], ", ".join(map(str, p[2:6])), f"{p[6]} x {p[7]}", p[8]] for p in panels]
    expected += [[s[0], ", ".join(map(str, s[1:5])), f"{s[5]} x {s[6]}"] for s in snapshots]
    assert sorted(row for row in listed if len(row) > 1) == sorted(expected)


def test_a_run_killed_again_and_again_ends_as_an_undisturbed_one(drawn, undisturbed, tmp_path):
    """SIGKILL of the whole process group at random moments; HARVESTER_TEST_KILLS says how often (10 for the record)."""
    root, draw = tmp_path / "harvest", random.Random(7)
    n_kills = int(os.environ.get("HARVESTER_TEST_KILLS", "3"))
    with StandIn(drawn) as services:
        env = {**os.environ, **services.environment()}
        start = time.monotonic()
        whole = harvester(*QUERY, "--out", tmp_path / "timed", env=services.environment())
        assert whole.returncode == 0, whole.stderr
        whole_s = time.monotonic() - start
        for _ in range(n_kills):
            process = subprocess.Popen(
                command(*QUERY, "--out", root), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
            time.sleep(draw.uniform(0.1, 0.9) * whole_s)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        done = harvester(*QUERY, "--out", root, env=services.environment())

    assert done.returncode == 0, done.stderr
    assert rows_of(root) == rows_of(undisturbed)
    assert files_of(root) >= files_of(undisturbed)
    assert harvester("verify", root, "--repair").returncode == 0
    assert files_of(root) == files_of(undisturbed)


def test_the_parent_alone_killed_leaves_no_process_behind(drawn, tmp_path):
    import psutil

    with StandIn(drawn) as services:
        process = subprocess.Popen(
            command(*QUERY, "--out", tmp_path / "harvest"), env={**os.environ, **services.environment()},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end, children = time.monotonic() + 60, []
        while len(children) < 2 and time.monotonic() < end:
            children = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    gone, alive = psutil.wait_procs(children, timeout=30)
    assert len(gone) >= 2 and not alive


def test_real_articles_all_land_whole_through_every_kind_of_fault(shared_dir, tmp_path):
    served = served_from_shared(shared_dir)
    root = tmp_path / "harvest"
    faults = Faults(mixed_tries=2, seed=11, retry_after_s=1)

    with StandIn(served, faults) as services:
        env = services.environment()
        codes = [harvester("crawl", "the", "--limit", "all", "--license", "any", "--out", root, env=env).returncode]
        while codes[-1] == 1 and len(codes) < 4:
            codes.append(
                harvester("crawl", "the", "--limit", "all", "--license", "any", "--out", root, env=env).returncode
            )

        assert codes[-1] == 0
        assert services.violations == []
        assert services.busiest_second <= 3
        assert services.max_transfers <= 8
        assert {r.fault for r in services.requests} >= {"429", "503", "truncated", "damaged", "challenge"}

        services.forget_requests()
        again = harvester("crawl", "the", "--limit", "all", "--license", "any", "--out", root, env=env)
        assert again.returncode == 0
        assert services.downloads() == []

    for article in served:
        folder = root / "articles" / article.article_id
        assert hashlib.md5((folder / f"{article.article_id}.pdf").read_bytes()).hexdigest() == article.pdf.md5
        assert hashlib.md5((folder / f"{article.article_id}.xml").read_bytes()).hexdigest() == article.xml.md5
    assert not [name for name in files_of(root) if name.endswith((".part", ".etag"))]


def test_ctrl_c_ends_at_once_with_one_sentence_and_the_next_run_goes_on(drawn, undisturbed, tmp_path):
    root = tmp_path / "harvest"
    with StandIn(drawn) as services:
        env = {**os.environ, **services.environment()}
        process = subprocess.Popen(
            command(*QUERY, "--out", root), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 60
        while not (root / "articles").exists() and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

        assert process.returncode == 1
        assert "nterrupted" in said and "Traceback" not in said
        assert harvester(*QUERY, "--out", root, env=services.environment()).returncode == 0
    assert rows_of(root) == rows_of(undisturbed)


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(drawn, undisturbed, tmp_path):
    """A limit on the size of files stands for the full disk; both refuse the write."""
    root = tmp_path / "harvest"
    with StandIn(drawn) as services:
        done = subprocess.run(
            command(*QUERY, "--out", root),
            env={**os.environ, **services.environment()},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert "larger than" in done.stderr or "full" in done.stderr
        assert harvester(*QUERY, "--out", root, env=services.environment()).returncode == 0

    assert rows_of(root) == rows_of(undisturbed)


def test_two_runs_in_one_folder_the_second_is_refused(drawn, tmp_path):
    root = tmp_path / "harvest"
    with StandIn(drawn) as services:
        env = {**os.environ, **services.environment()}
        first = subprocess.Popen(
            command(*QUERY, "--out", root), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 60
        while not (root / ".lock").exists() and time.monotonic() < end:
            time.sleep(0.02)
        second = harvester(*QUERY, "--out", root, env=services.environment())
        first.kill()
        first.wait()

    assert second.returncode == 2
    assert "nother run" in second.stderr
