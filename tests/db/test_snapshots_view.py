"""The view `snapshots`: its contract, and which number it believes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert

from db import models
from db.models import table
from harvester.catalog import Catalog
from tests.harvester.small_harvest import add_article, make_estimate, open_blank, save_model

CONTRACT = """
snapshot_id panel_id figure_id article_id pmcid licence_code licence_url citation figure_label panel_label caption kind
he_score image_path image_sha256 width_px height_px model_id image_mpp_um image_mpp_lo_um image_mpp_hi_um
image_abstained bar_mpp_um stated_x objective_x mpp_um mpp_lo_um mpp_hi_um magnification_x magnification_source
agreement
""".split()  # noqa: SIM905 reads like the contract


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path) as catalog:
        yield catalog


def write(catalog: Catalog, model: type[models.Base], **values: object) -> None:
    """Put a row in as another program would: through the file."""
    engine = create_engine(f"sqlite:///{catalog.root / 'catalog.db'}")
    with engine.begin() as connection:
        connection.execute(insert(table(model)), values)
    engine.dispose()


def add_bar(catalog: Catalog, mpp_um: float | None, score: float = 0.9, number: int = 1) -> None:
    panel = "PMC1.1/f1/a"
    row = {
        "evidence_id": f"{panel}/e{number}",
        "panel_id": panel,
        "kind": "scale_bar",
        "mpp_um": mpp_um,
        "score": score,
    }
    write(catalog, models.Evidence, **row)


def add_review(
    catalog: Catalog, verdict: str, x: float | None = None, *, reviewer: str = "ann", day: int = 1, number: int = 1
) -> None:
    row = {"review_id": f"r{number}", "snapshot_id": "PMC1.1/f1/a/s1", "verdict": verdict, "magnification_x": x}
    write(catalog, models.Review, **row, reviewer=reviewer, created_at=f"2026-01-{day:02}T00:00:00+00:00")


def first(catalog: Catalog) -> dict[str, object]:
    return next(catalog.snapshots())


def test_the_columns_of_the_contract_come_first_and_in_order(catalog):
    add_article(catalog)

    assert list(first(catalog))[: len(CONTRACT)] == CONTRACT


def test_a_row_carries_ids_licence_caption_and_image(catalog):
    add_article(catalog)

    row = first(catalog)

    assert (row["snapshot_id"], row["panel_id"]) == ("PMC1.1/f1/a/s1", "PMC1.1/f1/a")
    assert (row["figure_id"], row["article_id"], row["pmcid"]) == ("PMC1.1/f1", "PMC1.1", "PMC1")
    assert (row["licence_code"], row["figure_label"], row["panel_label"]) == ("CC BY", "Figure 1", "A")
    assert (row["width_px"], row["height_px"]) == (24, 24)


def test_the_image_alone_gives_its_number_and_interval(catalog):
    add_article(catalog, mpp_um=0.5)

    row = first(catalog)

    assert (row["magnification_source"], row["agreement"]) == ("image", "single")
    assert (row["mpp_um"], row["magnification_x"]) == (0.5, 20.0)
    assert row["mpp_lo_um"] == row["image_mpp_lo_um"] == pytest.approx(0.5 / 1.3)
    assert row["mpp_hi_um"] == row["image_mpp_hi_um"] == pytest.approx(0.5 * 1.3)


def test_the_99_percent_interval_is_the_90_percent_one_widened_in_log_space(catalog):
    add_article(catalog, mpp_um=0.5)

    row = first(catalog)

    assert row["image_mpp_lo99_um"] == pytest.approx(0.5 / 1.3 ** (2.576 / 1.645))
    assert row["image_mpp_hi99_um"] == pytest.approx(0.5 * 1.3 ** (2.576 / 1.645))


def test_an_abstained_image_keeps_its_guess_and_gives_no_value(catalog):
    add_article(catalog, mpp_um=0.5, abstained=True)

    row = first(catalog)

    assert (row["image_mpp_um"], row["image_abstained"]) == (0.5, 1)
    assert (row["mpp_um"], row["magnification_source"], row["agreement"]) == (None, None, None)


def test_a_scale_bar_goes_before_the_image(catalog):
    add_article(catalog, mpp_um=0.5)
    add_bar(catalog, 0.55)

    row = first(catalog)

    assert (row["mpp_um"], row["magnification_source"], row["agreement"]) == (0.55, "scale_bar", "agree")
    assert row["magnification_x"] == pytest.approx(10 / 0.55)
    assert row["mpp_lo_um"] is None


@pytest.mark.parametrize(
    ("bar_um", "outcome"), [(0.72, "agree"), (0.78, "conflict"), (0.35, "agree"), (0.32, "conflict")]
)
def test_a_bar_outside_the_99_percent_interval_is_a_conflict_without_a_value(catalog, bar_um, outcome):
    add_article(catalog, mpp_um=0.5)
    add_bar(catalog, bar_um)

    row = first(catalog)

    assert row["agreement"] == outcome
    assert row["mpp_um"] == (bar_um if outcome == "agree" else None)
    assert row["bar_mpp_um"] == bar_um


def test_a_bar_contradicts_no_model_that_abstained(catalog):
    add_article(catalog, mpp_um=0.5, abstained=True)
    add_bar(catalog, 5.0)

    row = first(catalog)

    assert (row["mpp_um"], row["magnification_source"], row["agreement"]) == (5.0, "scale_bar", "single")


def test_of_several_bars_the_best_scored_one_with_a_length_counts(catalog):
    add_article(catalog, mpp_um=0.5)
    add_bar(catalog, None, score=1.0, number=1)
    add_bar(catalog, 0.6, score=0.5, number=2)
    add_bar(catalog, 0.45, score=0.8, number=3)

    assert first(catalog)["bar_mpp_um"] == 0.45


def test_a_caption_alone_gives_no_pixel_size(catalog):
    add_article(catalog, mpp_um=None, abstained=True)
    row = {"evidence_id": "e", "panel_id": "PMC1.1/f1/a", "kind": "caption", "stated_x": 400.0, "objective_x": 40.0}
    write(catalog, models.Evidence, **row)

    row = first(catalog)

    assert (row["stated_x"], row["objective_x"]) == (400.0, 40.0)
    assert (row["mpp_um"], row["magnification_source"]) == (None, None)


def test_a_correction_goes_before_everything_and_settles_a_conflict(catalog):
    add_article(catalog, mpp_um=0.5)
    add_bar(catalog, 2.0)
    add_review(catalog, "correct", 40.0)

    row = first(catalog)

    assert (row["mpp_um"], row["magnification_x"]) == (0.25, 40.0)
    assert (row["magnification_source"], row["agreement"], row["review_verdict"]) == ("review", "reviewed", "correct")


def test_the_newest_verdict_of_a_reviewer_counts(catalog):
    add_article(catalog, mpp_um=0.5)
    add_review(catalog, "correct", 40.0, day=2, number=1)
    add_review(catalog, "correct", 10.0, day=1, number=2)

    assert first(catalog)["magnification_x"] == 40.0


@pytest.mark.parametrize(
    ("verdict", "x", "agreement"),
    [("correct", 41.0, "reviewed"), ("correct", 20.0, "reviews_differ"), ("reject", None, "reviews_differ")],
)
def test_reviewers_who_differ_are_flagged(catalog, verdict, x, agreement):
    add_article(catalog, mpp_um=0.5)
    add_review(catalog, "correct", 40.0, number=1)
    add_review(catalog, verdict, x, reviewer="bob", day=2, number=2)

    assert first(catalog)["agreement"] == agreement


def test_reviewers_who_differ_do_not_hide_a_conflict(catalog):
    add_article(catalog, mpp_um=0.5)
    add_bar(catalog, 2.0)
    add_review(catalog, "accept", number=1)
    add_review(catalog, "reject", reviewer="bob", number=2)

    row = first(catalog)

    assert (row["agreement"], row["mpp_um"]) == ("reviews_differ", None)


def test_accepting_leaves_the_number_where_it_was(catalog):
    add_article(catalog, mpp_um=0.5)
    add_review(catalog, "accept")

    row = first(catalog)

    assert (row["magnification_source"], row["review_verdict"]) == ("image", "accept")


def test_the_best_ranked_model_that_saw_the_snapshot_is_shown(catalog):
    ids = add_article(catalog, mpp_um=0.5)
    save_model(catalog, "better@1", rank=-1)
    catalog.save_estimates([make_estimate(ids[0], 0.4, model_id="better@1")])

    rows = {row["snapshot_id"]: row for row in catalog.snapshots()}

    assert rows[ids[0]]["image_mpp_um"] == 0.4
    assert rows[ids[1]]["image_mpp_um"] == 0.5
    assert len(rows) == 2
