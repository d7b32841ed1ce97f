"""From a query to whole articles, against a stand-in of the services that fails in the ways the real ones fail."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from harvester.catalog import Catalog
from harvester.demo.faults import Fault, Faults
from harvester.demo.served import Blob, ServedArticle
from harvester.demo.server import StandIn
from harvester.demo.services import ServiceLimits
from harvester.errors import SourceError, UsageError
from harvester.fetch.client import Client
from harvester.fetch.store import Store
from harvester.pipeline.crawl import CrawlOutcome, CrawlRequest, crawl, parse_date, plan
from harvester.pipeline.request import read_manifest
from harvester.settings import ServiceSettings

TODAY = date(2026, 3, 31)
KEY = "0123456789abcdefdeadbeef0123456789ab"


def jpg(seed: int) -> Blob:
    return Blob(b"\xff\xd8\xff\xe0" + bytes([seed % 256]) * (3000 + seed % 777))


def article(number: int, **changes) -> ServedArticle:
    """A small article with bytes of its own: PDF, XML and two pictures."""
    pmcid = f"PMC{number}"
    fields = {
        "pmcid": pmcid,
        "xml": Blob(f"<?xml version='1.0'?><article><title>adenoma {number}</title></article>".encode()),
        "pdf": Blob(f"%PDF-1.4 {number}\n".encode() + bytes([number % 251]) * 20_000 + b"\n%%EOF\n"),
        "media": (
            (f"fig {number}-g001.jpg", jpg(number)),
            (f"{number}-g002.jpg", jpg(number + 1)),
            ("s.xlsx", Blob(b"PK")),
        ),
        "title": f"An adenoma, number {number}",
        "citation": f"J Tests. 2025 Jan 2;1:{number}.",
        "released": date(2026, 1 + number % 3, 1 + number % 28),
    }
    return ServedArticle(**{**fields, **changes})


TEN = tuple(article(1000 + i) for i in range(10))


def settings_of(server: StandIn, **changes) -> ServiceSettings:
    return replace(
        ServiceSettings(server.eutils_url, server.bucket_url, server.europepmc_url, "someone@example.org"), **changes
    )


@contextmanager
def harvest(root: Path) -> Iterator[tuple[Store, Catalog]]:
    with Catalog.open(root, create=True) as catalog:
        yield Store(root), catalog


def run(server: StandIn, root: Path, request: CrawlRequest | None = None, say=None, **changes) -> CrawlOutcome:
    """Crawl once, with a tenth of the pauses between tries."""
    client = Client(settings_of(server, **changes), sleep=lambda seconds: time.sleep(seconds / 10))
    with harvest(root) as (store, catalog):
        request = request or CrawlRequest("adenoma[Title]")
        return crawl(request, store, catalog, client, today=TODAY, say=say or (lambda sentence: None))


def rows(root: Path) -> dict[str, list[tuple]]:
    """Everything the catalog holds, but the notes of runs and the port of the stand-in."""

    def plain(value: object) -> object:
        return re.sub(r"^http://127\.0\.0\.1:\d+", "", value) if isinstance(value, str) else value

    with contextlib.closing(sqlite3.connect(root / "catalog.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "run"}
    return {name: sorted((tuple(map(plain, row)) for row in found[name]), key=repr) for name in found}


def skips(root: Path) -> dict[str, str]:
    return {row[0]: row[2] for row in rows(root)["skip"]}


def files(root: Path) -> dict[str, bytes]:
    folder = root / "articles"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def expected_files(articles) -> dict[str, bytes]:
    return {
        f"{a.article_id}/{key.split('/')[1]}": blob.body
        for a in articles
        for key, blob in a.objects()
        if not key.startswith("metadata/") and not key.endswith((".txt", ".xlsx"))
    }


def test_articles_land_whole_and_a_second_run_gets_nothing_again(tmp_path: Path) -> None:
    with StandIn(TEN) as server:
        first = run(server, tmp_path)
        before = rows(tmp_path)
        server.forget_requests()
        second = run(server, tmp_path)
        requests, downloads = server.requests, server.downloads()

    assert (first.n_downloaded, first.n_files, first.complete) == (10, 40, True)
    assert files(tmp_path) == expected_files(TEN)
    assert (second.n_known, second.n_downloaded, second.n_files) == (10, 0, 0)
    assert downloads == [] and requests
    assert rows(tmp_path) == before
    assert before["checkpoint"] == []
    asset = {row[0]: row for row in before["asset"]}
    assert len(asset) == 50
    assert "PMC1000.1" in {row[0] for row in before["article"]}


def test_what_may_not_be_taken_is_left_out_with_its_reason_and_makes_room(tmp_path: Path) -> None:
    special = [
        article(2001, pdf=None),
        article(2002, is_retracted=True),
        article(2003, is_ocr=True),
        article(2004, record_pmcid="PMC9"),
        article(2005, pdf=Blob(b"<html>not a PDF</html>")),
        article(2006, missing_media=frozenset({"2006-g002.jpg"})),
        article(2007, media=(("../../evil.jpg", jpg(1)), ("C:\\a.jpg", jpg(2)), ("line\nbreak.jpg", jpg(3)),
                             ("quote\"s 'and' 😀.jpg", jpg(4)), ("not.jpg", Blob(b"<html>")))),
    ]  # fmt: skip
    special = [replace(a, released=date(2026, 3, 30)) for a in special]
    with StandIn([*special, *TEN]) as server:
        outcome = run(server, tmp_path, CrawlRequest("adenoma[Title]", limit=5))
        before = rows(tmp_path)
        server.forget_requests()
        again = run(server, tmp_path, CrawlRequest("adenoma[Title]", limit=5))
        downloads = server.downloads()

    reasons = {"PMC2001": "no_pdf", "PMC2002": "retracted", "PMC2003": "ocr", "PMC2004": "bad_metadata"}
    found = skips(tmp_path)
    assert {subject: found[subject] for subject in reasons} == reasons
    assert found["PMC2005"] == "not_a_pdf"
    assert found["PMC2006.1/2006-g002.jpg"] == "missing_file"
    assert found["PMC2007.1/not.jpg"] == "not_an_image"
    assert sum(reason == "bad_file_name" for reason in found.values()) == 3
    assert outcome.complete and outcome.n_downloaded == 5
    names = {name for name in files(tmp_path) if name.startswith("PMC2007")}
    assert "PMC2007.1/quote\"s 'and' 😀.jpg" in names and len(names) == 4
    assert not list(tmp_path.rglob("evil.jpg"))
    assert downloads == [] and again.n_known == 5 and rows(tmp_path) == before


@pytest.mark.parametrize("source", ["pmc", "europepmc"])
def test_licences_are_chosen_by_the_service_and_checked_on_the_record(tmp_path: Path, source) -> None:
    codes = ["CC BY", "CC0", "CC BY-NC", "CC BY-ND", "CC BY-NC-ND", None]
    articles = [article(3000 + i, licence_code=code, media=()) for i, code in enumerate(codes)]
    query = "adenoma[Title]" if source == "pmc" else "TITLE:adenoma"
    with StandIn(articles) as server:
        taken = {}
        for policy in ("remix", "commercial", "any", "CC BY-ND"):
            run(server, tmp_path / policy, CrawlRequest(query, source=source, policy=policy))
            taken[policy] = sorted(row[0][-3] for row in rows(tmp_path / policy)["article"])

    assert taken == {"remix": ["0", "1", "2"], "commercial": ["0", "1"], "any": list("012345"), "CC BY-ND": ["3"]}


def test_a_record_that_contradicts_the_search_is_believed(tmp_path: Path) -> None:
    tdm = article(3100, licence_code="TDM", is_open_access=False, is_manuscript=True, pdf=None, media=())
    lines = tmp_path / "list.txt"
    lines.write_text("PMC3100\nPMC3101\nPMC999999\n")
    with StandIn([tdm, article(3101, licence_code="CC BY-NC-ND")]) as server:
        outcome = run(server, tmp_path / "h", CrawlRequest(manifest=lines))

    assert skips(tmp_path / "h") == {
        "PMC3100": "licence:TDM",
        "PMC3101": "licence:CC BY-NC-ND",
        "PMC999999": "no_version",
    }
    assert outcome.complete


def test_the_best_version_is_taken_and_kept(tmp_path: Path) -> None:
    versions = [
        article(4001, version=2, is_manuscript=False),
        article(4001, version=10, is_manuscript=True),
        article(4002, version=2),
        article(4002, version=10),
        article(4003, version=1),
        article(4003, version=2, pdf=None),
    ]
    later = [*versions, article(4002, version=11)]
    with StandIn(versions, limits=ServiceLimits(list_page_keys=1)) as server:
        run(server, tmp_path)
        before = {row[0] for row in rows(tmp_path)["article"]}
    with StandIn(later) as server:
        run(server, tmp_path)
        after = {row[0] for row in rows(tmp_path)["article"]}

    assert before == {"PMC4001.2", "PMC4002.10", "PMC4003.1"}
    assert after == before


def test_a_later_retraction_is_marked(tmp_path: Path) -> None:
    with StandIn([article(4100)]) as server:
        run(server, tmp_path)
    with StandIn([article(4100, is_retracted=True)]) as server:
        run(server, tmp_path)

    with Catalog.open(tmp_path) as catalog:
        assert catalog.load_article("PMC4100.1").is_retracted
    assert skips(tmp_path) == {"PMC4100": "retracted"}


def test_limits_count_in_the_sources_order_and_grow_into_each_other(tmp_path: Path) -> None:
    with StandIn(TEN) as server:
        few = run(server, tmp_path, CrawlRequest("adenoma[Title]", limit=3))
        order = [r.path for r in server.requests if r.path.endswith(".json")]
        server.forget_requests()
        more = run(server, tmp_path, CrawlRequest("adenoma[Title]", limit=5))
        downloads = server.downloads()

    newest = sorted(TEN, key=lambda a: (a.released, a.number), reverse=True)
    assert sorted(order) == sorted(f"{a.article_id}/{a.article_id}.json" for a in newest[:3])
    assert (few.n_downloaded, more.n_downloaded, more.n_known) == (3, 2, 3)
    assert len(downloads) == 8


def test_searches_above_the_ceiling_are_cut_by_date_and_asked_lazily(tmp_path: Path) -> None:
    days = [date(2026, 3, d) for d in range(18, 21)] + [date(2026, 3, 20)] * 3 + [date(2025, 5, 5)]
    articles = [article(5000 + i, released=day, media=()) for i, day in enumerate(days)]
    said: list[str] = []
    with StandIn(articles, limits=ServiceLimits(search_ceiling=3)) as server:
        run(server, tmp_path / "few", CrawlRequest("adenoma[Title]", limit=2), api_key=KEY)
        few = [r for r in server.requests if r.path == "esearch.fcgi"]
        server.forget_requests()
        outcome = run(
            server, tmp_path / "all", CrawlRequest("adenoma[Title]", limit=None), say=said.append, api_key=KEY
        )
        searches = [r for r in server.requests if r.path == "esearch.fcgi"]

    assert len(few) < len(searches)
    assert all(r.params["retstart"] == "0" and int(r.params["retmax"]) <= 9999 for r in searches)
    assert outcome.n_downloaded == 6
    assert [sentence for sentence in said if sentence.startswith("4 articles were released on 2026-03-20")]
    assert rows(tmp_path / "all")["checkpoint"] == []


def test_an_empty_result_is_said_and_is_no_failure(tmp_path: Path) -> None:
    said: list[str] = []
    with StandIn(TEN) as server:
        outcome = run(server, tmp_path, CrawlRequest("zzz[Title]"), say=said.append)

    assert outcome.complete and outcome.n_hits == 0
    assert any("No article matches" in sentence for sentence in said)
    assert any("nothing for: " in sentence and "zzz" in sentence for sentence in said)


def test_dates_and_histology_narrow_the_search(tmp_path: Path) -> None:
    stained = article(
        6001, xml=Blob(b"<article><fig><caption><p>Hematoxylin and eosin stain</p></caption></fig></article>"), media=()
    )
    with StandIn([stained, article(6002), article(6003, released=date(2020, 5, 6))]) as server:
        run(server, tmp_path / "a", CrawlRequest("adenoma[Title]", histology=True))
        run(server, tmp_path / "b", CrawlRequest("adenoma[Title]", date_from=parse_date("2026")))
        run(server, tmp_path / "c", CrawlRequest("adenoma[Title]", date_until=parse_date("2020-05", last=True)))
        run(server, tmp_path / "d", CrawlRequest("TITLE:adenoma", source="europepmc", histology=True))

    ids = {name: {row[0] for row in rows(tmp_path / name)["article"]} for name in "abcd"}
    assert ids == {"a": {"PMC6001.1"}, "b": {"PMC6001.1", "PMC6002.1"}, "c": {"PMC6003.1"}, "d": {"PMC6001.1"}}


def test_a_busy_europe_pmc_and_hits_that_are_elsewhere(tmp_path: Path) -> None:
    many = [article(7000 + i, media=()) for i in range(7)]
    faults = Faults((Fault("empty", r"^europepmc/"),))
    with StandIn(many, faults) as server:
        outcome = run(server, tmp_path, CrawlRequest("TITLE:adenoma", source="europepmc"))
        sources = {row[1] for row in rows(tmp_path)["article"]}

    assert outcome.n_downloaded == 7
    assert sources == {"europepmc"}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["pmc", "europepmc"])
def test_every_article_lands_through_every_fault(tmp_path: Path, source) -> None:
    query = "adenoma[Title]" if source == "pmc" else "TITLE:adenoma"
    articles = TEN[:6]
    with StandIn(articles) as server:
        run(server, tmp_path / "calm", CrawlRequest(query, source=source))
    with StandIn(articles, Faults(mixed_tries=2, seed=3)) as server:
        outcome = run(server, tmp_path / "rough", CrawlRequest(query, source=source))
        seen = {r.fault for r in server.requests}
        server.forget_requests()
        second = run(server, tmp_path / "rough", CrawlRequest(query, source=source))
        downloads, busiest, violations = server.downloads(), server.busiest_second, server.violations

    assert len(seen) >= 8
    assert outcome.complete, outcome
    assert files(tmp_path / "rough") == expected_files(articles)
    assert rows(tmp_path / "rough") == rows(tmp_path / "calm")
    assert downloads == [] and second.n_known == 6
    assert busiest <= 3 and violations == []


@pytest.mark.parametrize("kind", ["429", "502", "503", "truncated", "short", "damaged", "challenge", "reset_midway"])
def test_no_fault_of_a_file_leaves_a_wrong_byte(tmp_path: Path, kind) -> None:
    faults = Faults((Fault(kind, r"bucket/.*\.(pdf|xml|jpg)$", retry_after_s=1),))
    with StandIn(TEN[:2], faults) as server:
        outcome = run(server, tmp_path)

    assert outcome.complete and files(tmp_path) == expected_files(TEN[:2])


def test_what_fails_in_the_first_round_is_tried_once_more(tmp_path: Path) -> None:
    damaged_twice = Faults(
        (Fault("damaged", r"1000\.1\.pdf$", first_tries=2), Fault("500", r"1001.*g001", first_tries=3))
    )
    with StandIn(TEN[:2], damaged_twice) as server:
        outcome = run(server, tmp_path, max_tries=3)

    assert outcome.complete and outcome.n_downloaded == 2 and files(tmp_path) == expected_files(TEN[:2])


def test_truncated_files_are_resumed_by_range(tmp_path: Path) -> None:
    with StandIn(TEN[:1], Faults((Fault("truncated", r"\.pdf$"),))) as server:
        run(server, tmp_path)
        ranges = [r.headers.get("range") for r in server.requests if r.path.endswith(".pdf")]

    assert ranges[0] is None and len(ranges) == 2
    assert ranges[1] is not None and int(ranges[1][6:-1]) > 5000


def test_a_bucket_that_is_down_leaves_work_for_later(tmp_path: Path) -> None:
    down = Faults((Fault("503", r"bucket/PMC1003", first_tries=1000, retry_after_s=None),))
    with StandIn(TEN, down) as server:
        outcome = run(server, tmp_path, max_tries=2)

    assert (outcome.complete, outcome.n_failed, outcome.n_downloaded) == (False, 1, 9)
    (skip,) = rows(tmp_path)["skip"]
    assert skip[0] == "PMC1003" and skip[2] == "fetch_failed" and not skip[-1]

    with StandIn(TEN) as server:
        again = run(server, tmp_path)
    assert again.complete and again.n_downloaded == 1 and again.n_known == 9
    assert rows(tmp_path)["skip"] == []


def test_a_picture_that_fails_does_not_hold_back_its_article(tmp_path: Path) -> None:
    down = Faults((Fault("500", r"g002\.jpg$", first_tries=1000),))
    with StandIn(TEN[:1], down) as server:
        outcome = run(server, tmp_path, max_tries=2)
    assert not outcome.complete and len(rows(tmp_path)["asset"]) == 4

    with StandIn(TEN[:1]) as server:
        assert run(server, tmp_path).complete
        assert len(server.downloads()) == 1
    assert len(rows(tmp_path)["asset"]) == 5 and rows(tmp_path)["skip"] == []


def test_a_bucket_that_fails_for_all_stops_the_run(tmp_path: Path) -> None:
    many = [article(8000 + i, media=()) for i in range(40)]
    with StandIn(many, Faults((Fault("503", r"bucket/", first_tries=1000),))) as server:
        outcome = run(server, tmp_path, max_tries=1)
        n_asked = len({r.path + r.params.get("prefix", "") for r in server.requests if r.service == "bucket"})

    assert not outcome.complete and outcome.problem is not None and "PMC bucket" in outcome.problem
    assert n_asked < 35


def test_a_wish_to_wait_for_long_stops_the_run(tmp_path: Path) -> None:
    with StandIn(TEN, Faults((Fault("503", r"\.pdf$", first_tries=9, retry_after_s=100_000),))) as server:
        outcome = run(server, tmp_path)
    assert not outcome.complete and "asks to wait 100000 s" in (outcome.problem or "")

    with (
        StandIn(TEN, Faults((Fault("429", r"esearch", first_tries=9, retry_after_s=100_000),))) as server,
        pytest.raises(SourceError, match="asks to wait"),
    ):
        run(server, tmp_path / "other")


def test_an_unreachable_source_is_said_at_once(tmp_path: Path) -> None:
    nowhere = ServiceSettings(*["http://127.0.0.1:9"] * 3, email="someone@example.org", max_tries=2)
    with harvest(tmp_path) as (store, catalog), pytest.raises(SourceError, match="could not be reached"):
        crawl(CrawlRequest("x"), store, catalog, Client(nowhere, sleep=lambda s: None))


def test_a_search_that_breaks_off_keeps_what_it_has_and_goes_on_later(tmp_path: Path) -> None:
    articles = [article(8100 + i, released=date(2026, 3, 27 + i), media=()) for i in range(5)]
    limits = ServiceLimits(search_ceiling=2)
    broken = Faults((Fault("500", r"esearch.*2026.{1,3}03.{1,3}28", first_tries=99),))
    with StandIn(articles, broken, limits) as server:
        outcome = run(server, tmp_path, max_tries=2, api_key=KEY)
    assert not outcome.complete and outcome.n_downloaded == 3
    assert rows(tmp_path)["checkpoint"]

    with StandIn(articles, limits=limits) as server:
        again = run(server, tmp_path, api_key=KEY)
        asked = [r.params["term"] for r in server.requests if r.path == "esearch.fcgi"]
    assert again.complete and (again.n_known, again.n_downloaded) == (3, 2)
    assert not any("2026/03/31:" in term for term in asked), "finished slices are not asked again"
    assert rows(tmp_path)["checkpoint"] == []


def test_the_key_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with StandIn(TEN[:2], Faults(mixed_tries=1, seed=1)) as server:
        run(server, tmp_path, api_key=KEY)
        busiest = server.busiest_second

    assert busiest <= 10
    assert KEY not in caplog.text
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_missing_email_is_asked_for_before_the_real_service_is(tmp_path: Path) -> None:
    client = Client(ServiceSettings(), sleep=lambda s: None)
    with harvest(tmp_path) as (store, catalog), pytest.raises(UsageError, match="HARVESTER_EMAIL"):
        crawl(CrawlRequest("x"), store, catalog, client)


def crawl_for_ever(urls: tuple[str, str, str], root: Path) -> None:
    client = Client(ServiceSettings(*urls, "someone@example.org"))
    with harvest(root) as (store, catalog):
        crawl(CrawlRequest("adenoma[Title]"), store, catalog, client, today=TODAY)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_crawl_is_continued_to_the_same_catalog(tmp_path: Path, sign) -> None:
    articles = TEN[:6]
    with StandIn(articles) as server:
        run(server, tmp_path / "calm")
    slow = Faults((Fault("drip", r"bucket/.*\.(pdf|jpg)$"),))
    context = multiprocessing.get_context("spawn")
    with StandIn(articles, slow) as server:
        urls = (server.eutils_url, server.bucket_url, server.europepmc_url)
        for n_wanted in (2, 12, 25):
            process = context.Process(target=crawl_for_ever, args=(urls, tmp_path / "rough"))
            process.start()
            deadline = time.monotonic() + 40
            server.forget_requests()
            while len(server.downloads()) < n_wanted and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.is_alive():
                os.kill(process.pid, sign)
            process.join(30)
            assert process.exitcode is not None
        outcome = run(server, tmp_path / "rough")

    assert outcome.complete
    assert files(tmp_path / "rough") == expected_files(articles)
    assert rows(tmp_path / "rough") == rows(tmp_path / "calm")


def test_a_full_disk_stops_the_run_with_one_sentence(tmp_path: Path) -> None:

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with StandIn(TEN) as server, harvest(tmp_path) as (store, catalog):
        client = Client(settings_of(server), sleep=lambda s: None)
        # room for the catalog's pages and small files, none for the PDFs
        big = [replace(a, pdf=Blob(b"%PDF-1.4\n" + bytes(3_000_000))) for a in TEN]
        with StandIn(big) as full:
            client = Client(settings_of(full), sleep=lambda s: None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
            try:
                outcome = crawl(CrawlRequest("adenoma[Title]"), store, catalog, client, today=TODAY)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not outcome.complete and outcome.problem is not None and "Could not write" in outcome.problem
        assert crawl(CrawlRequest("adenoma[Title]"), store, catalog, Client(settings_of(server)), today=TODAY).complete


def test_progress_sees_every_article(tmp_path: Path) -> None:
    class Bar:
        total = done = 0

        def grow(self, n: int = 1) -> None:
            self.total += n

        def advance(self, n: int = 1, **counts: int) -> None:
            self.done += n

    bar = Bar()
    with StandIn(TEN) as server, harvest(tmp_path) as (store, catalog):
        crawl(CrawlRequest("adenoma[Title]", limit=4), store, catalog, Client(settings_of(server)), bar, today=TODAY)
    assert (bar.total, bar.done) == (4, 4)


def test_a_dry_run_says_what_to_expect_and_fetches_no_file(tmp_path: Path) -> None:
    articles = [*TEN, article(2001, pdf=None), article(3001, licence_code="CC BY-NC-ND")]
    with StandIn(articles) as server:
        found = plan(CrawlRequest("adenoma", limit=None), Client(settings_of(server)), TODAY)
        downloads = server.downloads()

    text = "\n".join(found.lines())
    assert downloads == []
    assert found.n_hits == 11 and found.n_by_licence["CC BY"] == 11 and found.n_by_licence["CC BY-NC-ND"] == 1
    assert found.n_sampled == 11 and found.n_takeable == 10 and found.left_out == {"no_pdf": 1}
    mean = sum(len(body) for name, body in expected_files(TEN).items() if not name.endswith(".json")) / 10
    assert found.bytes_per_article == pytest.approx(mean)
    assert found.gigabytes == pytest.approx(10 * mean / 1e9)
    assert "No field is named for adenoma" in text and "11 articles match" in text and "All Fields" in text
    assert "sampled articles" in text and "GB" in text


@pytest.mark.parametrize(
    "content",
    [
        "PMC5.1\nPMC6\n\n# a note\nnonsense\n",
        "snapshot,article_id,x\nPMC5.1/f1/a/s1,PMC5.1,1\nPMC5.1/f1/b/s1,PMC5.1,1\nPMC6/f1,PMC6,2\n,local-1f2e3d4c,3\n",
        '{"pmcid": "PMC5", "version": 1}\n{"article_id": "PMC6"}\nnot json\n',
        "\ufeffpmcid,version\nPMC5,1\nPMC6,\nx,\n",
    ],
)
def test_manifests_of_every_kind_name_the_same_articles(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest"
    path.write_text(content, "utf-8")

    hits, n_other = read_manifest(path)

    assert [(hit.subject, hit.version) for hit in hits] == [("PMC5", 1), ("PMC6", None)]
    assert n_other == 1


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"nothing here\n", b"{" * 5000])
def test_a_manifest_without_articles_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="manifest"):
        read_manifest(path)


@pytest.mark.parametrize(
    "fields",
    [{}, {"query": "x", "manifest": Path("y")}, {"query": "x", "limit": 0}, {"query": "x", "policy": "free"},
     {"query": "x", "date_from": date(2026, 1, 2), "date_until": date(2026, 1, 1)}],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(fields) -> None:
    with pytest.raises(UsageError):
        CrawlRequest(**fields)


def test_dates_are_read_to_the_end_of_what_they_name() -> None:
    assert parse_date("2024") == date(2024, 1, 1) and parse_date("2024", last=True) == date(2024, 12, 31)
    assert parse_date("2024-02", last=True) == date(2024, 2, 29) and parse_date("2024/12", last=True) == date(
        2024, 12, 31
    )
    assert parse_date("2024-05-06", last=True) == date(2024, 5, 6) and parse_date(None) is None
    for wrong in ("24", "2024-13", "2023-02-30", "soon", "0000", "9999-12-32"):
        with pytest.raises(UsageError, match="no date"):
            parse_date(wrong)


def test_threads_of_one_run_share_rate_and_transfers(tmp_path: Path) -> None:
    with StandIn([article(9000 + i) for i in range(30)]) as server:
        outcome = run(server, tmp_path, CrawlRequest("adenoma[Title]", limit=None))
        assert outcome.n_files == 120
        assert server.busiest_second <= 3 and server.violations == []
        assert server.max_transfers <= 8
