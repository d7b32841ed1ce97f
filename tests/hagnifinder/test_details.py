import math

import pytest

from hagnifinder.evaluation.details import (
    accuracy,
    clustered_interval,
    details_markdown,
    kappa,
    level_of,
    risk_markdown,
    share_within,
    worst_markdown,
)
from hagnifinder.evaluation.metrics import Scored
from hagnifinder.predict import Estimate


def said(mpp_um: float, true_um: float, width: float = 1.5, group: str = "a", dataset: str = "D") -> Scored:
    x = 10 / mpp_um
    estimate = Estimate(mpp_um, mpp_um / width, mpp_um * width, x, x / width, x * width, False, "", 1)
    return Scored(estimate, true_um, group, dataset)


def test_shares_count_ratios_and_accuracy_counts_magnifications() -> None:
    scored = [said(0.5, 0.5), said(0.53, 0.5), said(0.47, 0.5), said(0.65, 0.5)]

    assert share_within(scored, 0.05) == 0.25
    assert share_within(scored, 0.1) == 0.75
    assert accuracy(scored, 0.5) == 0.25
    assert accuracy(scored, 1.5) == 0.75
    assert accuracy(scored, 5.0) == 1.0
    assert math.isnan(share_within([], 0.1))


def test_kappa_is_one_for_the_right_levels_zero_for_one_answer_and_unknown_where_nothing_varies() -> None:
    right = [said(m, m) for m in (0.25, 0.5, 1.0, 2.0)]
    constant = [said(0.5, m) for m in (0.25, 0.5, 1.0, 2.0)]

    assert kappa(right) == 1.0
    assert kappa(constant) == pytest.approx(0.0)
    assert math.isnan(kappa([said(0.5, 0.5)]))
    assert [level_of(m) for m in (2.5, 2.0, 1.0, 0.5, 0.26, 0.05)] == [0, 0, 2, 4, 6, 6]


def test_patients_are_drawn_whole() -> None:
    apart = clustered_interval([True] * 50 + [False] * 50, ["a"] * 50 + ["b"] * 50)
    many = clustered_interval([i % 2 == 0 for i in range(100)], [str(i) for i in range(100)])

    assert apart == (0.0, 1.0)
    assert many[1] - many[0] < 0.25


def test_risk_falls_when_only_the_surest_answer_and_the_worst_come_first() -> None:
    scored = [said(0.5, 0.5, 1.2), said(0.6, 0.5, 1.5), said(1.5, 0.5, 3.0, group="patient|x")]

    risk = risk_markdown(scored, (1.0, 0.34)).splitlines()
    worst = worst_markdown(scored, 1).splitlines()

    assert risk[2].startswith("| 100% | 0.263") and risk[3].startswith("| 34% | 0.000")
    assert len(worst) == 3 and "| 0.5 | 1.5 | 0.5 to 4.5 |" in worst[2]
    assert "| all | 3 | 33% |" in details_markdown(scored)
