"""Harvests made apart and joined: the order makes no difference, nor how often; four shards are one run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harvester.catalog import Catalog
from harvester.cli import main
from harvester.demo.server import StandIn
from harvester.fetch.store import Store
from harvester.merge import merge, open_sources
from harvester.pipeline.annotate import annotate
from harvester.pipeline.crawl import CrawlRequest
from harvester.pipeline.read import ANNOTATION_VERSION
from harvester.records import Skip
from harvester.review.verdicts import Verdict, save_verdict, withdraw_newest
from harvester.settings import AnnotateSettings
from harvester.shards import Shard
from tests.harvester.engines.chores import Says
from tests.harvester.engines.inline import run_inline
from tests.harvester.harvests import files_of, rows_of
from tests.harvester.small_harvest import (
    add_article,
    make_article,
    make_estimate,
    open_blank,
    save_model,
    write_pdf,
)  # fmt: skip
from tests.harvester.test_crawl import article as served_article
from tests.harvester.test_crawl import run as crawl_once

# what may be true of an article in one of the harvests
STATES = ("read", "read otherwise", "newer reading", "not read", "by another model", "retracted", "removed", "refused",
          "failed in passing", "reviewed", "review withdrawn")  # fmt: skip


def fill(root: Path, states: dict[int, str]) -> None:
    """Make a harvest in which each article is as said."""
    with open_blank(root) as catalog:
        for number, state in states.items():
            pmcid, article_id = f"PMC{number}", f"PMC{number}.1"
            if state in ("refused", "failed in passing"):
                lasts = state == "refused"
                catalog.save_skips([Skip(pmcid, pmcid, "fetch", "no_pdf" if lasts else "timeout", state, lasts)])
                continue
            if state == "not read":
                catalog.save_article(make_article(number), [write_pdf(root, article_id)])
                continue
            ids = add_article(catalog, number, n=1, caption="Otherwise." if state == "read otherwise" else "Liver.")
            if state == "newer reading":
                with catalog.writing() as connection:
                    connection.exec_driver_sql(
                        f"UPDATE article SET annotated_version = '9' WHERE article_id = '{article_id}'"
                    )
            if state == "by another model":
                save_model(catalog, "other@1", rank=1)
                catalog.save_estimates([make_estimate(ids[0], 0.25, model_id="other@1")])
            if state == "retracted":
                catalog.mark_article(pmcid, "article_retracted", is_retracted=True)
            if state == "removed":
                catalog.mark_article(pmcid, "article_removed", is_removed=True)
            if state.startswith("review"):
                save_verdict(catalog, Verdict(ids[0], "correct", "ann", magnification_x=20.0), seen=None, blind=False)
            if state == "review withdrawn":
                withdraw_newest(catalog, "ann")


def join(out: Path, *roots: Path) -> dict[str, list[tuple]]:
    with open_sources(roots, out) as sources, Catalog.open(out, create=True) as catalog:
        merge(sources, catalog)
    return rows_of(out)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.integers(1, 3), st.sampled_from(STATES)), min_size=2, max_size=3), st.randoms())
def test_the_order_makes_no_difference_and_joining_again_changes_nothing(harvests, draw):
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / f"h{n}" for n in range(len(harvests))]
        for root, states in zip(roots, harvests, strict=True):
            fill(root, states)
        shuffled = draw.sample(roots, len(roots))

        once = join(Path(folder) / "one", *roots)
        other = join(Path(folder) / "two", *shuffled)
        again = join(Path(folder) / "one", *shuffled, roots[0])

        assert other == once
        assert again == once
        assert files_of(Path(folder) / "two") == files_of(Path(folder) / "one")
        with Catalog.open(Path(folder) / "one") as catalog:
            funnel = catalog.funnel()
            assert catalog.integrity_problems() == []
        assert funnel.articles_found == len({number for states in harvests for number in states})


@pytest.fixture
def pair(tmp_path):
    return tmp_path / "a", tmp_path / "b", tmp_path / "out"


def article_rows(root: Path, columns: str = "article_id, annotated_version, is_retracted") -> list[tuple]:
    with Catalog.open(root) as catalog:
        return [tuple(row.values()) for row in catalog.rows(f"SELECT {columns} FROM article ORDER BY article_id")]


def test_the_rules_for_one_article_in_two_harvests(pair):
    a, b, out = pair
    fill(a, {1: "not read", 2: "read", 3: "retracted", 4: "refused", 5: "failed in passing"})
    fill(b, {1: "read", 2: "newer reading", 3: "by another model", 4: "read", 5: "refused"})

    join(out, a, b)

    assert article_rows(out) == [
        ("PMC1.1", "1", 0), ("PMC2.1", "9", 0), ("PMC3.1", "1", 1), ("PMC4.1", "1", 0)
    ]  # fmt: skip
    with Catalog.open(out) as catalog:
        assert [s["reason"] for s in catalog.rows("SELECT reason FROM skip WHERE stage = 'fetch'")] == ["no_pdf"]
        assert len(catalog.rows("SELECT 1 FROM estimate WHERE snapshot_id LIKE 'PMC3.%'")) == 2


def test_every_review_is_kept_and_two_people_who_differ_are_flagged(pair):
    a, b, out = pair
    fill(a, {1: "read"})
    shutil.copytree(a, b)
    for root, name, x in ((a, "ann", 20.0), (b, "bob", 40.0)):
        with Catalog.open(root) as catalog:
            save_verdict(catalog, Verdict("PMC1.1/f1/a/s1", "correct", name, magnification_x=x), seen=None, blind=False)

    join(out, a, b)

    with Catalog.open(out) as catalog:
        assert [row["reviewer"] for row in catalog.rows("SELECT reviewer FROM review ORDER BY created_at")] == [
            "ann", "bob"
        ]  # fmt: skip
        assert next(catalog.snapshots())["agreement"] == "reviews_differ"


def test_a_review_withdrawn_in_a_copy_is_withdrawn(pair):
    a, b, out = pair
    fill(a, {1: "reviewed"})
    shutil.copytree(a, b)
    with Catalog.open(b) as catalog:
        withdraw_newest(catalog, "ann")

    join(out, a, b)

    with Catalog.open(out) as catalog:
        assert next(catalog.snapshots())["review_verdict"] is None
        assert len(catalog.rows("SELECT 1 FROM review")) == 1


def test_of_two_versions_of_an_article_the_newer_stands(pair):
    a, b, out = pair
    fill(a, {1: "read"})
    with open_blank(b) as catalog:
        later = make_article(1)
        later = type(later)(**{f: getattr(later, f) for f in later.__slots__} | {"article_id": "PMC1.2", "version": 2})
        catalog.save_article(later, [write_pdf(b, "PMC1.2")])

    join(out, a, b)

    assert article_rows(out, "article_id, superseded_by") == [("PMC1.1", "PMC1.2"), ("PMC1.2", None)]


def test_what_cannot_be_joined_is_said_in_one_sentence_and_changes_nothing(pair, monkeypatch):
    a, b, out = pair
    fill(a, {1: "read"})
    invoke = lambda *args: CliRunner().invoke(main, ["merge", *map(str, args)])  # noqa: E731

    missing = invoke(a, b, "--out", out)
    assert (missing.exit_code, "no harvest at" in missing.output) == (2, True)
    with Store(a).lock():
        held = invoke(a, "--out", out)
    assert (held.exit_code, "Another run is writing" in held.output) == (2, True)
    next((a / "snapshots").rglob("*.png")).write_bytes(b"damaged")
    damaged = invoke(a, "--out", out)
    assert (damaged.exit_code, "verify" in damaged.output) == (1, True)
    assert article_rows(out) == []
    monkeypatch.setenv("HARVESTER_CATALOG_URL", f"sqlite:///{a}/catalog.db")
    assert "unset HARVESTER_CATALOG_URL" in invoke(a, "--out", out).output


def test_four_shards_joined_are_one_run_row_by_row(tmp_path, monkeypatch):
    run_inline(monkeypatch)
    served = [served_article(2000 + n) for n in range(11)]
    served += [served_article(2020, pdf=None), served_article(2021, missing_media=frozenset({"2021-g002.jpg"}))]
    roots = {number: tmp_path / str(number) for number in (None, 1, 2, 3, 4)}
    with StandIn(served) as server:
        for number, root in roots.items():
            shard = Shard(number, 4) if number else None
            crawl_once(server, root, CrawlRequest("adenoma[Title]", limit=None, shard=shard))
    for number, root in roots.items():
        with Catalog.open(root) as catalog:
            # one of the parts is annotated in parts, too
            for shard in [Shard(1, 2), Shard(2, 2)] if number == 1 else [None]:
                annotate(catalog, root, AnnotateSettings(), Says("says@1", 0.5), shard=shard)

    rows = join(tmp_path / "joined", *(roots[n] for n in (3, 1, 4, 2)))

    assert rows == rows_of(roots[None])
    assert len(rows["article"]) == 12 and {row[1] for row in rows["skip"]} == {"fetch", "stain"}
    assert all(rows[name] for name in ("snapshot", "estimate", "evidence", "reconciled"))
    assert sum(bool(rows_of(roots[n])["article"]) for n in (1, 2, 3, 4)) >= 3
    assert files_of(tmp_path / "joined") == files_of(roots[None])
    with Catalog.open(tmp_path / "joined") as catalog, Catalog.open(roots[None]) as whole:
        assert catalog.funnel() == whole.funnel()
        assert catalog.known_articles() == whole.known_articles()
        assert not catalog.articles_to_annotate(ANNOTATION_VERSION)


def test_a_joined_harvest_is_refreshed_whole(tmp_path):
    with Catalog.open(tmp_path, create=True) as catalog:
        catalog.start_run("crawl", {"query": "adenoma", "shard": "2/4"})
        assert catalog.newest_search() == {"query": "adenoma", "shard": "2/4"}
        catalog.start_run("merge", {"harvests": ["a", "b"]})
        assert catalog.newest_search() == {"query": "adenoma"}
