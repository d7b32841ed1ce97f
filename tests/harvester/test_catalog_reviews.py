"""Reviews stay with the place they were given for, whatever a new annotation calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harvester.catalog import Catalog
from harvester.geometry import BoxPt, BoxPx
from harvester.records import ArticleResult, FigureRow, PanelRow, SnapshotRow
from harvester.review.verdicts import Verdict, save_verdict
from tests.harvester.small_harvest import make_article, open_blank, write_pdf, write_png

PAGE = BoxPt(100.0, 100.0, 300.0, 200.0)


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path) as catalog:
        article = make_article(1)
        catalog.save_article(article, [write_pdf(tmp_path, article.article_id)])
        yield catalog


def annotate(catalog: Catalog, *boxes: tuple[int, int, int, int], figure: str = "f1", page: int | None = 2) -> None:
    """One panel of 200 x 100 px, a snapshot for each box in it; without a page it is a picture of its own."""
    figure_id, path = f"PMC1.1/{figure}", write_png(catalog.root, 1)
    page_box = PAGE if page else None
    panel = PanelRow(f"{figure_id}/a", figure_id, "A", "", BoxPx(0, 0, 200, 100), page_box, 200, 100, "he", 0.9)
    snapshots = [
        SnapshotRow(f"{figure_id}/a/s{n}", panel.panel_id, BoxPx(*box), 0.9, 0.7, *path, "0" * 16)
        for n, box in enumerate(boxes, start=1)
    ]
    row = FigureRow(figure_id, "Figure 1", "", None, page, page_box, 200, 100, "pdf")
    catalog.save_result(ArticleResult("PMC1.1", figures=(row,), panels=(panel,), snapshots=tuple(snapshots)))


def review(catalog: Catalog, snapshot_id: str, x: float = 40.0) -> None:
    verdict = Verdict(snapshot_id, "correct", "ann", magnification_x=x)
    save_verdict(catalog, verdict, seen=None, blind=False)


def standing(catalog: Catalog) -> list[tuple[str, bool]]:
    rows = catalog.rows("SELECT snapshot_id, is_orphan FROM review ORDER BY created_at")
    return [(row["snapshot_id"], bool(row["is_orphan"])) for row in rows]


@pytest.mark.parametrize("page", [2, None], ids=["on a page", "own picture"])
def test_a_review_follows_its_region_to_another_id(catalog, page):
    annotate(catalog, (0, 0, 80, 100), (90, 0, 200, 100), page=page)
    review(catalog, "PMC1.1/f1/a/s2")

    annotate(catalog, (92, 2, 200, 100), page=page)

    assert standing(catalog) == [("PMC1.1/f1/a/s1", False)]
    assert next(catalog.snapshots())["magnification_source"] == "review"


def test_it_follows_to_another_figure_number_on_the_same_page(catalog):
    annotate(catalog, (0, 0, 80, 100))
    review(catalog, "PMC1.1/f1/a/s1")

    annotate(catalog, (0, 0, 80, 100), figure="f7")

    assert standing(catalog) == [("PMC1.1/f7/a/s1", False)]


def test_the_region_that_overlaps_best_gets_it(catalog):
    annotate(catalog, (0, 0, 100, 100))
    review(catalog, "PMC1.1/f1/a/s1")

    annotate(catalog, (0, 0, 60, 100), (0, 0, 95, 100))

    assert standing(catalog) == [("PMC1.1/f1/a/s2", False)]


@pytest.mark.parametrize("change", [{"page": 3}, {"boxes": [(60, 0, 200, 100)]}, {"boxes": []}])
def test_without_such_a_region_it_is_an_orphan_that_counts_for_nothing_and_comes_back(catalog, change):
    annotate(catalog, (0, 0, 100, 100))
    review(catalog, "PMC1.1/f1/a/s1")

    annotate(catalog, *change.get("boxes", [(0, 0, 100, 100)]), page=change.get("page", 2))
    assert standing(catalog) == [("PMC1.1/f1/a/s1", True)]
    assert [row["magnification_source"] for row in catalog.snapshots() if row["review_verdict"]] == []

    annotate(catalog, (0, 0, 100, 100))
    assert standing(catalog) == [("PMC1.1/f1/a/s1", False)]
    assert next(catalog.snapshots())["review_verdict"] == "correct"
