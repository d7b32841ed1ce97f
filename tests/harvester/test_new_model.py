"""A harvest meets a new model, and a newer way of reading articles: what is added, what stays, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from db import migrations
from db.engine import open_engine
from harvester.catalog import Catalog
from harvester.geometry import BoxPx
from harvester.pipeline.annotate import annotate
from harvester.pipeline.judging import judge_of
from harvester.pipeline.read import ANNOTATION_VERSION
from harvester.records import ArticleResult
from harvester.review.verdicts import Verdict, save_verdict
from harvester.settings import AnnotateSettings
from tests.harvester.engines.chores import Says
from tests.harvester.engines.inline import run_inline
from tests.harvester.small_harvest import (
    MODEL,
    dump,
    make_article,
    make_estimate,
    make_result,
    open_blank,
    save_model,
    write_pdf,
    write_png,
)  # fmt: skip

A, B = "PMC1.1/f1/a/s1", "PMC1.1/f1/b/s1"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One article of two snapshots, read by an older way, with a review of each."""
    run_inline(monkeypatch)
    with open_blank(tmp_path) as catalog:
        article = make_article(1)
        catalog.save_article(article, [write_pdf(tmp_path, article.article_id)])
        save_model(catalog)
        read(catalog, as_read(tmp_path), version=ANNOTATION_VERSION)
        save_verdict(catalog, Verdict(A, "correct", "ann", magnification_x=40.0), seen=None, blind=False)
        save_verdict(catalog, Verdict(B, "accept", "ann"), seen=None, blind=False)
        yield catalog


def as_read(root: Path) -> ArticleResult:
    """Panels beside each other on the page, each with its snapshot."""
    result = make_result("PMC1.1", [write_png(root, n) for n in (1, 2)])
    a, b, chart = result.panels
    left, right = (replace(a.page_box, x1=180.0), replace(a.page_box, x0=190.0))
    return replace(result, panels=(replace(a, page_box=left), replace(b, page_box=right), chart))


def read(catalog: Catalog, result: ArticleResult, version: str = "next") -> None:
    catalog.save_result(
        result, [make_estimate(row.snapshot_id) for row in result.snapshots], version, judge_of(catalog.root)
    )


def use(catalog: Catalog, model: Says, *, named: bool = True) -> str:
    """Annotate with a model, as the command does; return the run."""
    run_id = catalog.start_run("annotate", {})
    annotate(catalog, catalog.root, AnnotateSettings(), model, models_first=named)
    catalog.finish_run(run_id, 0)
    return run_id


def just_before(run_id: str) -> str:
    return run_id.partition("+")[0]


def shown(catalog: Catalog) -> dict[str, str]:
    return {row["snapshot_id"]: row["model_id"] for row in catalog.snapshots()}


def reviews(catalog: Catalog) -> list[dict]:
    return catalog.rows("SELECT * FROM review ORDER BY review_id")


def test_a_new_model_adds_rows_is_shown_first_and_touches_no_review(catalog):
    before, said = reviews(catalog), catalog.rows("SELECT * FROM estimate")
    earlier = catalog.start_run("crawl", {})

    use(catalog, Says("new@1", 0.25))

    assert reviews(catalog) == before
    assert [row for row in catalog.rows("SELECT * FROM estimate") if row["model_id"] == MODEL] == said
    assert shown(catalog) == {A: "new@1", B: "new@1"}
    by_id = {row["snapshot_id"]: row for row in catalog.snapshots()}
    assert (by_id[A]["mpp_um"], by_id[A]["magnification_source"]) == (0.25, "review")
    assert (by_id[B]["image_mpp_um"], by_id[B]["review_verdict"]) == (0.25, "accept")
    changes = catalog.changes_since(earlier)
    assert changes.counts == {"estimates_new": 2, "scales_changed": 2}
    assert changes.subjects["estimates_new"] == ("new@1",)


def test_the_model_named_last_is_shown_first_and_nothing_else_changes_that(catalog):
    use(catalog, Says("new@1", 0.25))
    after_new = dump(catalog)
    use(catalog, Says("new@1", 0.25))
    assert dump(catalog) == after_new

    use(catalog, Says(MODEL, 0.5), named=False)
    assert shown(catalog) == {A: "new@1", B: "new@1"}

    use(catalog, Says(MODEL, 0.5))
    assert shown(catalog) == {A: MODEL, B: MODEL}
    assert {row["mpp_um"] for row in catalog.rows("SELECT mpp_um FROM reconciled")} == {0.5}

    use(catalog, Says("shipped@later", 1.0), named=False)
    assert shown(catalog) == {A: "shipped@later", B: "shipped@later"}


def test_estimates_that_were_not_judged_yet_are_judged_by_the_next_run(catalog, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Catalog, "reconcile", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        use(catalog, Says("new@1", 0.25))
    assert [row["mpp_um"] for row in catalog.rows("SELECT mpp_um FROM reconciled")] == [0.5, 0.5]

    use(catalog, Says("new@1", 0.25))
    assert [row["mpp_um"] for row in catalog.rows("SELECT mpp_um FROM reconciled")] == [0.25, 0.25]


def test_an_article_read_anew_keeps_reviews_and_other_models_words_where_the_picture_is_the_same(catalog):
    use(catalog, Says("new@1", 0.25))
    run_id = catalog.start_run("annotate", {})
    result = as_read(catalog.root)
    first, second = result.snapshots

    # the same pictures under other names of panels, with a score that changed
    swapped = replace(result, snapshots=(replace(first, he_score=0.8), replace(second, box=BoxPx(1, 0, 24, 24))))
    read(catalog, swapped)

    rows = catalog.rows("SELECT snapshot_id FROM estimate WHERE model_id = 'new@1' ORDER BY snapshot_id")
    assert [row["snapshot_id"] for row in rows] == [A, B]
    assert [(row["snapshot_id"], row["is_orphan"]) for row in reviews(catalog)] == [(A, 0), (B, 0)]
    changes = catalog.changes_since(just_before(run_id))
    assert changes.counts == {"read_again": 1, "snapshots_changed": 1}


def test_what_an_upgrade_did_to_reviews_is_said(catalog):
    run_id = catalog.start_run("annotate", {})
    result = as_read(catalog.root)

    read(catalog, replace(result, snapshots=result.snapshots[1:]))

    assert [(row["snapshot_id"], row["is_orphan"]) for row in reviews(catalog)] == [(A, 1), (B, 0)]
    assert catalog.changes_since(just_before(run_id)).counts == {
        "read_again": 1,
        "snapshots_gone": 1,
        "reviews_orphaned": 1,
    }

    second = catalog.start_run("annotate", {})
    read(catalog, result, "later")
    assert catalog.changes_since(just_before(second)).counts["reviews_back"] == 1


def test_a_magnification_holds_for_the_pixels_it_was_given_for_only(catalog):
    result = as_read(catalog.root)
    finer = [replace(p, native_width_px=48, native_height_px=48) for p in result.panels]
    snapshots = [replace(s, box=BoxPx(0, 0, 48, 48)) for s in result.snapshots]

    read(catalog, replace(result, panels=tuple(finer), snapshots=tuple(snapshots)))

    assert [(row["snapshot_id"], row["is_orphan"]) for row in reviews(catalog)] == [(A, 1), (B, 0)]
    read(catalog, result, "again")
    assert [row["is_orphan"] for row in reviews(catalog)] == [0, 0]


def test_reviews_of_an_older_catalog_learn_how_fine_their_pixels_were(catalog, tmp_path):
    expected = [row["px_density"] for row in reviews(catalog)]
    assert expected == [pytest.approx(24 / 108), pytest.approx(24 / 110)]
    old = tmp_path / "old"
    old.mkdir()
    engine = open_engine(f"sqlite:///{old / 'catalog.db'}")
    with engine.begin() as connection:
        migrations.upgrade(connection, "0003")
        for name in ("article", "figure", "panel", "snapshot", "review"):
            rows = catalog.rows(f"SELECT * FROM {name}")
            gone = {"is_removed", "superseded_by", "px_density"}
            for row in rows:
                kept = {key: value for key, value in row.items() if key not in gone}
                names = ", ".join(kept)
                values = ", ".join(f":{key}" for key in kept)
                connection.execute(text(f"INSERT INTO {name} ({names}) VALUES ({values})"), kept)
    engine.dispose()

    with Catalog.open(old, upgrade=True) as upgraded:
        assert [row["px_density"] for row in reviews(upgraded)] == expected
