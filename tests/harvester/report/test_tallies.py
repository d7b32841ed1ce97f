"""Tallies: bounded, fair, and the same whatever the order of the rows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.report.tallies import Comparison, LogTally, Sample, Worst, wilson


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=60))
def test_a_quantile_is_within_two_percent_of_a_number_that_was_counted(values):
    tally = LogTally()
    for value in values:
        tally.add(value)

    middle = tally.quantile(0.5)

    assert middle is not None
    assert min(abs(middle / value - 1) for value in values) < 0.02


def test_what_is_no_positive_number_is_not_counted():
    tally = LogTally()
    for value in (0.0, -1.0, float("inf"), float("nan")):
        tally.add(value)

    assert tally.n == 0
    assert tally.quantile(0.5) is None


@given(st.lists(st.floats(0.001, 1000.0), max_size=60))
def test_coarse_bins_lose_nothing(values):
    tally = LogTally()
    for value in values:
        tally.add(value)

    assert sum(tally.coarse([0.1, 1.0, 10.0])) == len(values)


def test_sample_and_worst_do_not_depend_on_the_order_of_the_rows():
    names = [f"s{i}" for i in range(500)]
    shuffled = random.Random(3).sample(names, len(names))
    found = []
    for order in (names, shuffled):
        sample, worst = Sample[str](10, "seed"), Worst[str](5)
        for name in order:
            sample.add(name, name)
            worst.add(len(name), name, name)
        found.append((sample.items(), worst.items()))

    assert found[0] == found[1]
    assert len(found[0][0]) == 10
    assert found[0][1] == ["s100", "s101", "s102", "s103", "s104"]


def test_a_sample_is_fair():
    hits = 0
    for seed in range(400):
        sample = Sample[int](5, str(seed))
        for i in range(50):
            sample.add(f"s{i}", i)
        hits += 7 in sample.items()

    # 400 draws of 5 out of 50: 40 expected, four standard deviations are 24
    assert 16 < hits < 64


def test_a_comparison_counts_shares_and_coverage():
    comparison = Comparison(Sample(10, ""))
    comparison.add("a", 1.0, 1.0, interval=(0.5, 2.0))
    comparison.add("b", 1.0, 4.0, interval=(0.5, 2.0), conflict=True)
    comparison.add("c", 0.0, 4.0)

    assert (comparison.n, comparison.n_within_quarter, comparison.n_within_double) == (2, 1, 1)
    assert (comparison.n_interval, comparison.n_inside) == (2, 1)


def test_wilson_intervals_match_published_ones():
    # Wilson score interval of 15 of 148: 0.062 to 0.160 (Newcombe, Stat Med 17:857, 1998, table I: 0.0624, 0.1605)
    low, high = wilson(15, 148)

    assert (low, high) == (pytest.approx(0.0624, abs=5e-4), pytest.approx(0.1605, abs=5e-4))
    assert wilson(0, 0) == (0.0, 1.0)
