"""Kappa, distances of corrected scales, and people's blind error beside the model's, on counts done by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import models
from db.models import table
from harvester.review.agreement import blind_report, cohens_kappa, pair_agreements
from harvester.review.verdicts import Verdict, save_verdict, withdraw_newest
from tests.harvester.small_harvest import add_article, open_blank


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path) as catalog:
        yield catalog


def say(catalog, snapshot_id, verdict, reviewer, x=None, *, blind=False, **values):
    with catalog.reading() as connection:
        newest = connection.exec_driver_sql("SELECT MAX(review_id) FROM review").scalar()
    told = Verdict(snapshot_id, verdict, reviewer, x, **values)
    return save_verdict(catalog, told, seen=newest, blind=blind)


def add_bar(catalog, panel_id, mpp_um):
    row = {"evidence_id": f"{panel_id}/e1", "panel_id": panel_id, "kind": "scale_bar", "mpp_um": mpp_um, "score": 0.9}
    with catalog.writing() as connection:
        connection.execute(table(models.Evidence).insert(), row)


def test_kappa_is_that_of_the_textbook():
    # 20 both yes, 15 both no, 5 and 10 apart: observed 0.7, by chance 0.5 (Cohen's own kind of table)
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15

    assert cohens_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize(("pairs", "kappa"), [([], None), ([("y", "y")] * 3, None), ([("y", "n"), ("n", "y")], -1.0)])
def test_kappa_at_its_ends(pairs, kappa):
    assert cohens_kappa(pairs) == kappa


def test_the_newest_verdict_of_each_reviewer_is_compared(catalog):
    first, second = add_article(catalog, 1, n=2)
    say(catalog, first, "reject", "ann")
    say(catalog, first, "correct", "ann", 20.0)
    say(catalog, first, "correct", "bob", 40.0)
    say(catalog, second, "accept", "ann")
    say(catalog, second, "correct", "bob", kind="ihc")

    (pair,) = pair_agreements(catalog)

    assert (pair.reviewer_a, pair.reviewer_b, pair.n_both, pair.observed) == ("ann", "bob", 2, 0.5)
    assert (pair.n_scales, pair.median_log2) == (1, 1.0)


def test_reviewers_without_a_snapshot_in_common_are_no_pair(catalog):
    first, second = add_article(catalog, 1, n=2)
    say(catalog, first, "accept", "ann")
    say(catalog, second, "accept", "bob")

    assert pair_agreements(catalog) == ()


def test_a_blind_guess_is_measured_against_the_bar_beside_the_model(catalog):
    first, *_ = add_article(catalog, 1, n=1, mpp_um=0.5)
    add_bar(catalog, "PMC1.1/f1/a", 0.25)
    say(catalog, first, "correct", "ann", 10.0, blind=True)

    report = blind_report(catalog)

    (guess,) = report.guesses
    assert (guess.truth_x, guess.truth_from) == (40.0, "scale_bar")
    assert (guess.reviewer_log2, guess.model_log2) == (2.0, 1.0)
    assert (report.reviewers_median_log2, report.model_median_log2, report.n_with_model) == (2.0, 1.0, 1)


def test_without_a_bar_the_other_reviewers_are_the_measure_and_alone_there_is_none(catalog):
    first, second = add_article(catalog, 1, n=2, mpp_um=0.5, abstained=True)
    say(catalog, first, "correct", "ann", 10.0, blind=True)
    say(catalog, first, "correct", "bob", 20.0, blind=True)
    say(catalog, second, "correct", "ann", 10.0, blind=True)

    report = blind_report(catalog)

    assert [(g.reviewer, g.truth_from, g.model_log2) for g in report.guesses] == [
        ("ann", "reviewers", None),
        ("bob", "reviewers", None),
    ]
    assert [g.truth_x for g in report.guesses] == pytest.approx([20.0, 10.0])
    assert [g.reviewer_log2 for g in report.guesses] == pytest.approx([1.0, 1.0])
    assert (report.n_without_truth, report.n_with_model, report.model_median_log2) == (1, 0, None)


def test_only_the_first_word_is_blind_and_taking_it_back_does_not_help(catalog):
    first, *_ = add_article(catalog, 1, n=1)
    add_bar(catalog, "PMC1.1/f1/a", 0.5)
    say(catalog, first, "correct", "ann", 10.0, blind=True)
    withdraw_newest(catalog, "ann")
    say(catalog, first, "correct", "ann", 20.0, blind=True)

    assert [g.reviewer_x for g in blind_report(catalog).guesses] == [10.0]


def test_a_blind_guess_decides_nothing(catalog):
    first, *_ = add_article(catalog, 1, n=1, mpp_um=0.5)
    say(catalog, first, "correct", "ann", 10.0, blind=True)

    row = next(catalog.snapshots())

    assert (row["magnification_source"], row["magnification_x"]) == ("image", 20.0)
