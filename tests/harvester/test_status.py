"""The funnel: its sums, and how it is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harvester.catalog import Catalog
from harvester.records import Skip
from harvester.stain.detect import model_card
from harvester.status import status_json, status_text
from tests.harvester.small_harvest import add_article, make_article, make_result, open_blank, write_pdf, write_png


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path) as catalog:
        yield catalog


def fill(catalog: Catalog) -> None:
    """Ten articles, one for each way an article can go."""
    add_article(catalog, 1, n=3)
    add_article(catalog, 2, n=2, abstained=True)
    waiting = make_article(3)
    catalog.save_article(waiting, [write_pdf(catalog.root, waiting.article_id)])
    catalog.save_article(make_article(4), [], [Skip("PMC4.1", "PMC4.1", "fetch", "no_pdf")])
    catalog.save_article(make_article(5), [], [Skip("PMC5.1", "PMC5.1", "fetch", "server", is_permanent=False)])
    catalog.save_article(make_article(6), [])
    catalog.save_skips([Skip("PMC7", "PMC7", "search", "licence"), Skip("PMC7", "PMC7", "search", "retracted")])
    catalog.save_skips(
        [Skip("a.pdf", "local-unreadable", "add", "empty"), Skip("b.pdf", "local-unreadable", "add", "empty")]
    )
    unseen = make_article(8)
    catalog.save_article(unseen, [write_pdf(catalog.root, unseen.article_id)])
    catalog.save_result(make_result("PMC8.1", [write_png(catalog.root, 8)]))


def test_the_numbers_add_up(catalog):
    fill(catalog)

    funnel = catalog.funnel()

    assert funnel.articles_found == 10
    assert funnel.articles_left_out == {"empty": 2, "licence": 1, "no_pdf": 1, "not_fetched_yet": 1, "server": 1}
    assert funnel.articles_found == funnel.articles_downloaded + sum(funnel.articles_left_out.values())
    assert (funnel.articles_downloaded, funnel.articles_annotated, funnel.articles_waiting) == (4, 3, 1)
    assert (funnel.figures, funnel.articles_with_figures) == (3, 3)
    assert funnel.panels_by_kind == {"he": 6, "chart": 3}
    assert funnel.panels == sum(funnel.panels_by_kind.values())
    assert (funnel.snapshots, funnel.estimated, funnel.abstained, funnel.waiting) == (6, 3, 2, 1)
    assert funnel.with_scale == 3


def test_an_article_skipped_under_its_pmcid_and_saved_later_counts_once(catalog):
    catalog.save_skips([Skip("PMC1", "PMC1", "search", "licence")])
    add_article(catalog, 1)

    funnel = catalog.funnel()

    assert (funnel.articles_found, funnel.articles_downloaded, funnel.articles_left_out) == (1, 1, {})


def test_skips_are_counted_by_stage_and_reason_in_the_order_of_the_work(catalog):
    fill(catalog)

    skips = catalog.funnel().skips

    assert skips == (
        ("search", "licence", True, 1),
        ("search", "retracted", True, 1),
        ("add", "empty", True, 2),
        ("fetch", "no_pdf", True, 1),
        ("fetch", "server", False, 1),
        ("stain", "not_he", True, 3),
    )


def test_an_empty_harvest_has_a_funnel_too(catalog):
    funnel = catalog.funnel()

    assert (funnel.articles_found, funnel.snapshots, funnel.skips) == (0, 0, ())
    assert "articles found" in status_text(funnel)


def test_a_person_reads_aligned_lines(catalog):
    fill(catalog)

    lines = status_text(catalog.funnel()).splitlines()

    assert "articles found          10" in lines
    assert "  abstained              2  the model would not say" in lines
    gate = next(line for line in lines if line.startswith("H&E panels"))
    assert gate.endswith(
        f"H&E probability from 0.50, precision {model_card()['held_out']['he_precision']:.2f} expected"
    )
    assert "  fetch: server          1  a later run may succeed" in lines
    assert all(line.isprintable() for line in lines)


def test_a_program_reads_the_same_numbers(catalog):
    fill(catalog)

    shown = json.loads(status_json(catalog.funnel()))

    assert shown["articles_found"] == 10
    assert shown["panels_by_kind"] == {"he": 6, "chart": 3}
    assert {"stage": "fetch", "reason": "server", "is_permanent": False, "count": 1} in shown["skips"]
