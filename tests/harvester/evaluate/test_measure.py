"""The image against bars and reviews: the numbers, the page, the refit."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harvester.cli import main
from harvester.evaluate.measure import ObjectiveSize, band_of, compare, objective_sizes, refit, tables
from harvester.scale.reconcile import shipped_models
from tests.harvester.small_harvest import add_article, open_blank


def row(number: int, **values: object) -> dict[str, object]:
    base = {
        "snapshot_id": f"PMC{number}.1/f1/a/s1", "article_id": f"PMC{number}.1", "journal": "J", "doi": "10.1/x",
        "magnification_source": "scale_bar", "agreement": "agree", "bar_mpp_um": 0.5, "mpp_um": 0.5,
        "objective_x": None,
        "image_mpp_um": 0.5, "image_mpp_lo_um": 0.4, "image_mpp_hi_um": 0.7, "image_abstained": 0,
    }  # fmt: skip
    return base | values


def line_of(lines, truth: str, by: str = "all"):
    return next(line for line in lines if (line.truth, line.by) == (truth, by))


def test_error_bias_and_coverage_are_of_log2():
    rows = [row(k, image_mpp_um=1.0) for k in range(5)] + [row(k, image_mpp_um=0.5) for k in range(5, 12)]

    lines = tables(compare(rows))

    line = line_of(lines, "all scale bars as read")
    assert (line.snapshots, line.articles, line.median_log2, line.bias_log2) == (12, 12, 0.0, 0.0)
    assert line.p90_log2 == 1.0
    assert line.coverage == 1.0
    assert line.is_enough


def test_bars_called_conflicts_count_apart_and_few_are_said_to_be_few():
    rows = [row(1), row(2, agreement="conflict", magnification_source=None, mpp_um=None, image_mpp_um=2.0)]

    lines = tables(compare(rows))

    assert line_of(lines, "scale bars that are believed").snapshots == 1
    assert line_of(lines, "all scale bars as read").snapshots == 2
    assert not line_of(lines, "all scale bars as read").is_enough
    assert line_of(lines, "review").median_log2 is None


def test_an_abstained_image_is_counted_but_makes_no_error():
    lines = tables(compare([row(1, image_abstained=1, image_mpp_um=4.0), row(2)]))

    line = line_of(lines, "all scale bars as read")
    assert (line.abstained, line.median_log2) == (0.5, 0.0)


def test_a_review_goes_before_a_bar():
    compared = compare([row(1, magnification_source="review", mpp_um=0.25)])

    assert (compared[0].truth, compared[0].true_mpp_um) == ("review", 0.25)


@pytest.mark.parametrize(("mpp_um", "band"), [(0.25, "20-40x"), (0.5, "20-40x"), (1.0, "10-20x"), (8.0, "0-2.5x")])
def test_bands(mpp_um, band):
    assert band_of(mpp_um) == band


def test_the_objectives_spread_is_learnt_from_articles_not_from_panels():
    one_loud = [ObjectiveSize(f"s{k}", "loud", 10.0, 0.4, "image") for k in range(50)]
    others = [ObjectiveSize(f"o{k}", f"a{k}", 10.0, 3.2, "image") for k in range(9)]

    models = refit(one_loud + others, shipped_models())

    assert models is not None
    assert models.objective_n == 10
    assert 4.3 < models.objective_log2 < 5.0
    assert refit(one_loud, shipped_models()) is None


def test_a_caption_does_not_learn_from_itself():
    assert objective_sizes([row(1, objective_x=10.0, magnification_source="caption")]) == []


def test_the_command_prints_tables_and_writes_page_plots_and_numbers(tmp_path):
    with open_blank(tmp_path / "harvest") as catalog:
        add_article(catalog, mpp_um=0.5)

    done = CliRunner().invoke(main, ["evaluate", str(tmp_path / "harvest"), "--out", str(tmp_path / "page")])

    assert done.exit_code == 0, done.output
    assert "none" in done.output
    assert {"index.html", "tables.csv"} <= {path.name for path in (tmp_path / "page").iterdir()}


def test_refitting_a_small_harvest_says_that_there_is_too_little(tmp_path):
    with open_blank(tmp_path) as catalog:
        add_article(catalog, mpp_um=0.5)

    done = CliRunner().invoke(main, ["evaluate", str(tmp_path), "--refit"])

    assert done.exit_code == 0
    assert not (tmp_path / "error_models.json").exists()
