"""A harvest asked for again after things happened at the source: what is marked, what is fetched, what stays."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harvester.catalog import Catalog
from harvester.demo.faults import Fault, Faults
from harvester.demo.served import Blob
from harvester.demo.server import StandIn
from harvester.errors import CatalogError
from harvester.fetch.client import Client
from harvester.fetch.store import Store
from harvester.pipeline.crawl import CrawlOutcome, CrawlRequest, crawl
from harvester.pipeline.refresh import failed_articles
from harvester.shards import Shard
from harvester.status import status_text
from tests.harvester.harvests import harvester
from tests.harvester.test_crawl import TODAY, article, files, rows, run, settings_of, skips

QUERY = "adenoma[Title]"
REFRESH = CrawlRequest(QUERY, refresh=True)
FIVE = [article(1000 + i) for i in range(5)]


def marks(root: Path) -> dict[str, tuple[bool, bool, str | None]]:
    """Return (is_retracted, is_removed, superseded_by) of every article."""
    with Catalog.open(root) as catalog:
        found = catalog.rows("SELECT article_id, is_retracted, is_removed, superseded_by FROM article")
    return {r["article_id"]: (bool(r["is_retracted"]), bool(r["is_removed"]), r["superseded_by"]) for r in found}


def refresh(server: StandIn, root: Path, **changes) -> CrawlOutcome:
    server.forget_requests()
    return run(server, root, CrawlRequest(QUERY, refresh=True, **changes))


def test_nothing_happened_so_nothing_is_fetched_and_no_row_changes(tmp_path):
    with StandIn(FIVE) as server:
        run(server, tmp_path)
        before, were = rows(tmp_path), files(tmp_path)

        outcome = refresh(server, tmp_path)

        assert (outcome.n_known, outcome.n_downloaded, outcome.complete) == (5, 0, True)
        assert server.downloads() == []
    assert rows(tmp_path) == before
    assert files(tmp_path) == were


def test_a_month_at_the_source(tmp_path):
    with StandIn(FIVE) as server:
        run(server, tmp_path)
        were = files(tmp_path)
        server.retract("PMC1000")
        server.remove("PMC1001")
        later = server.add_version("PMC1002", pdf=FIVE[3].pdf)
        server.add(article(1009))

        outcome = refresh(server, tmp_path)
        fetched = {request.path.split("/")[0] for request in server.downloads()}
        again = refresh(server, tmp_path)

        assert server.downloads() == []
    assert fetched == {"PMC1002.2", "PMC1009.1"}
    assert outcome.refreshed == {"retracted": 1, "removed": 1, "version": 1}
    assert (outcome.n_downloaded, outcome.complete) == (2, True)
    assert "1 newly retracted" in outcome.line() and "1 removed at the source" in outcome.line()
    assert marks(tmp_path) == {
        "PMC1000.1": (True, False, None),
        "PMC1001.1": (False, True, None),
        "PMC1002.1": (False, False, "PMC1002.2"),
        "PMC1002.2": (False, False, None),
        "PMC1003.1": (False, False, None),
        "PMC1004.1": (False, False, None),
        "PMC1009.1": (False, False, None),
    }
    assert skips(tmp_path) == {"PMC1000": "retracted", "PMC1001": "removed"}
    assert were.items() <= files(tmp_path).items()
    assert files(tmp_path)["PMC1002.2/PMC1002.2.pdf"] == later.pdf.body
    assert (again.refreshed, again.n_downloaded) == ({}, 0)


def test_what_comes_back_counts_again(tmp_path):
    with StandIn(FIVE[:3]) as server:
        run(server, tmp_path)
        server.retract("PMC1000")
        server.remove("PMC1001")
        refresh(server, tmp_path)
        server.add(*FIVE[:2])

        refresh(server, tmp_path)

        assert server.downloads() == []
    assert set(marks(tmp_path).values()) == {(False, False, None)}
    assert skips(tmp_path) == {}


def test_held_articles_beyond_the_limit_and_the_query_are_looked_after(tmp_path):
    with StandIn([*FIVE, article(1020, title="A polyp")]) as server:
        run(server, tmp_path, CrawlRequest("polyp[Title]"))
        run(server, tmp_path, CrawlRequest(QUERY))
        server.retract("PMC1020")
        server.retract("PMC1000")

        outcome = refresh(server, tmp_path, limit=1)

    assert outcome.refreshed == {"retracted": 2}
    assert outcome.n_known == 6


def test_a_new_licence_is_written_down_and_the_article_stays(tmp_path):
    with StandIn(FIVE[:2]) as server:
        run(server, tmp_path)
        server.add(article(1000, licence_code="CC BY-ND"))

        outcome = refresh(server, tmp_path)

    with Catalog.open(tmp_path) as catalog:
        assert catalog.load_article("PMC1000.1").licence_code == "CC BY-ND"
    assert outcome.complete and skips(tmp_path) == {}


def test_a_source_that_holds_nothing_any_more_is_not_believed(tmp_path):
    with StandIn(FIVE) as server:
        run(server, tmp_path)
    with StandIn([]) as server:
        outcome = refresh(server, tmp_path)

    assert not outcome.complete and "hard to believe" in outcome.problem
    assert set(marks(tmp_path).values()) == {(False, False, None)}


def test_a_failure_marks_nothing_as_removed_and_the_next_refresh_does(tmp_path):
    with StandIn(FIVE) as server:
        run(server, tmp_path)
    with StandIn(FIVE[1:], Faults((Fault("503", r"bucket/\?.*PMC1000", first_tries=99),))) as server:
        outcome = run(server, tmp_path, REFRESH)
    assert (outcome.complete, outcome.n_failed) == (False, 1)
    assert marks(tmp_path)["PMC1000.1"] == (False, False, None)

    with StandIn(FIVE[1:]) as server:
        assert run(server, tmp_path, REFRESH).complete
    assert marks(tmp_path)["PMC1000.1"] == (False, True, None)


def test_shards_share_the_articles_and_need_no_limit(tmp_path):
    ids = []
    with StandIn(FIVE) as server:
        for number in (1, 2, 3):
            root = tmp_path / str(number)
            run(server, root, CrawlRequest(QUERY, limit=None, shard=Shard(number, 3)))
            ids.append(set(marks(root)))

    assert sorted(article_id for part in ids for article_id in part) == [a.article_id for a in FIVE]


def test_what_changed_since_a_run_is_counted_and_named(tmp_path):
    with StandIn(FIVE) as server:
        with Catalog.open(tmp_path, create=True) as catalog:
            first = catalog.start_run("crawl", {})
        run_in(server, tmp_path, "crawl", CrawlRequest(QUERY))
        server.retract("PMC1000")
        server.remove("PMC1001")
        server.add_version("PMC1002")
        second = run_in(server, tmp_path, "crawl", REFRESH)

    with Catalog.open(tmp_path) as catalog:
        all_of_it, nothing = catalog.changes_since(first), catalog.changes_since(second)
        before = catalog.rows("SELECT run_id FROM run ORDER BY run_id")[-2]["run_id"]
        newest_only = catalog.changes_since(before)
        text = status_text(catalog.funnel(), newest_only)
        with pytest.raises(CatalogError, match=rf"no run of .* newest runs: .*{re.escape(second)}"):
            catalog.changes_since("yesterday")

    assert all_of_it.counts["article_new"] == 6
    assert newest_only.counts == {
        "article_new": 1, "article_new_version": 1, "article_retracted": 1, "article_removed": 1,
    }  # fmt: skip
    assert newest_only.subjects["article_removed"] == ("PMC1001.1",)
    assert nothing.counts == {} and nothing.runs == ()
    assert "kept back" in text and "removed 1, retracted 1, superseded 1, not exported" in text
    assert "articles removed at the source" in text and "PMC1001.1" in text


def run_in(server: StandIn, root: Path, command: str, request: CrawlRequest) -> str:
    """Crawl as the command does, with the run noted."""
    client = Client(settings_of(server))
    with Catalog.open(root) as catalog:
        run_id = catalog.start_run(command, {"query": request.query})
        crawl(request, Store(root), catalog, client, today=TODAY)
        catalog.finish_run(run_id, 0)
    return run_id


def test_what_failed_is_tried_again_alone_and_what_rules_forbid_is_not(tmp_path):
    bad = article(1001, pdf=Blob(b"<html>no PDF</html>"))
    lost = article(1002, missing_media=frozenset({"1002-g002.jpg"}))
    with StandIn([FIVE[0], bad, lost, article(1003, pdf=None)]) as server:
        run(server, tmp_path)
    assert set(skips(tmp_path)) == {"PMC1001", "PMC1002.1/1002-g002.jpg", "PMC1003"}
    with Catalog.open(tmp_path) as catalog:
        assert [hit.subject for hit in failed_articles(catalog).hits()] == ["PMC1001", "PMC1002"]

    mended = [FIVE[0], article(1001), article(1002), article(1003, pdf=None)]
    with StandIn(mended) as server, Catalog.open(tmp_path) as catalog:
        client = Client(settings_of(server))
        search = failed_articles(catalog)
        outcome = crawl(CrawlRequest(QUERY), Store(tmp_path), catalog, client, today=TODAY, search=search)
        asked = {request.path.split("/")[0] for request in server.downloads()}
        assert not [request for request in server.requests if request.service == "eutils"]

    assert outcome.complete and asked == {"PMC1001.1", "PMC1002.1"}
    assert skips(tmp_path) == {"PMC1003": "no_pdf"}


def test_a_file_refused_for_good_is_asked_for_again_though_its_hash_is_the_same(tmp_path):
    lost = article(1002, missing_media=frozenset({"1002-g002.jpg"}))
    with StandIn([lost]) as server:
        run(server, tmp_path)
        run(server, tmp_path)
        server.forget_requests()
        run(server, tmp_path)
        assert server.downloads() == []

    with StandIn([article(1002)]) as server, Catalog.open(tmp_path) as catalog:
        search = failed_articles(catalog)
        crawl(CrawlRequest(QUERY), Store(tmp_path), catalog, Client(settings_of(server)), today=TODAY, search=search)
        assert [request.path for request in server.downloads()] == ["PMC1002.1/1002-g002.jpg"]
    assert skips(tmp_path) == {}


@pytest.mark.slow
def test_the_command_asks_as_the_newest_search_did(tmp_path):
    root = tmp_path / "harvest"
    with StandIn([*FIVE, article(1020, title="A polyp")]) as server:
        env = server.environment()
        assert harvester("crawl", QUERY, "--limit", "3", "--out", root, env=env).returncode == 0
        server.retract("PMC1000")
        server.add(article(1021, title="Another polyp"))
        done = harvester("crawl", "--refresh", "--limit", "all", "--out", root, env=env)
        again = harvester("crawl", "--retry-failed", "--out", root, env=env)

    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert "Nothing failed" in again.stderr
    assert {"PMC1020.1", "PMC1021.1"}.isdisjoint(marks(root)) and len(marks(root)) >= 4
    shown = harvester("status", root, "--since", "2020-01", "--json")
    assert json.loads(shown.stdout)["changes"]["counts"]["article_new"] == len(marks(root))


def test_refresh_and_retry_say_what_they_need(tmp_path):
    for args in (["--refresh"], ["--retry-failed"]):
        done = harvester("crawl", *args, "--out", tmp_path / "none")
        assert done.returncode == 2 and "no harvest" in done.stderr
    done = harvester("crawl", QUERY, "--shard", "1/2", "--out", tmp_path / "none")
    assert done.returncode == 2 and "--limit all" in done.stderr
    done = harvester("crawl", QUERY, "--shard", "3/2", "--limit", "all", "--out", tmp_path / "none")
    assert done.returncode == 2 and "2/4" in done.stderr
