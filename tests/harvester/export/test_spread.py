"""How probable it is that the true pixel size is near its label."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.export.spread import Z90, Z99, spread_of


def row(sigma: float, shift: float = 0.0, tail: float = 1.0, **values) -> dict:
    """A row whose true value is lognormal round the label, moved by `shift`; `tail` widens the 99 % interval."""
    mean = math.log(0.5) + shift
    ends = {"mpp_lo_um": -Z90, "mpp_hi_um": Z90, "image_mpp_lo99_um": -Z99 * tail, "image_mpp_hi99_um": Z99 * tail}
    intervals = {name: math.exp(mean + z * sigma) for name, z in ends.items()}
    return {"mpp_um": 0.5, "magnification_source": "image", **intervals, **values}


@pytest.mark.parametrize(("sigma", "shift"), [(0.1, 0.0), (0.3, 0.0), (0.2, 0.1), (0.05, -0.04)])
def test_the_probability_is_that_of_drawn_values(sigma, shift):
    drawn = np.exp(np.random.default_rng(1).normal(shift, sigma, 200_000))
    spread = spread_of(row(sigma, shift))

    for tolerance in (0.05, 0.15, 0.5):
        share = float((np.abs(drawn - 1) <= tolerance).mean())
        assert spread.probability_within(tolerance) == pytest.approx(share, abs=0.005)


def test_the_ends_of_the_intervals_are_met():
    symmetric = row(0.2)

    assert spread_of(symmetric).sigma == pytest.approx(0.2)
    just_inside = 1 - 0.5 * (1 - 0.9)
    assert spread_of(symmetric)._below(Z90 * 0.2) == pytest.approx(just_inside)
    assert spread_of(row(0.2, tail=2.0))._below(2 * Z99 * 0.2) == pytest.approx(0.995)


def test_heavier_tails_make_a_wide_tolerance_less_sure_and_a_narrow_one_not():
    light, heavy = spread_of(row(0.1)), spread_of(row(0.1, tail=3.0))

    assert heavy.probability_within(0.30) < light.probability_within(0.30)
    assert heavy.probability_within(0.05) == pytest.approx(light.probability_within(0.05))


@settings(deadline=None)
@given(st.floats(0.01, 1.0), st.floats(-0.3, 0.3), st.floats(0.01, 0.5), st.floats(0.01, 0.4))
def test_a_wider_tolerance_is_never_less_probable(sigma, shift, tolerance, more):
    spread = spread_of(row(sigma, shift))

    assert 0 <= spread.probability_within(tolerance) <= spread.probability_within(tolerance + more) <= 1


@pytest.mark.parametrize("missing", [{"mpp_lo_um": None}, {"mpp_um": None}, {"mpp_lo_um": 0.6, "mpp_hi_um": 0.4}])
def test_without_an_interval_there_is_no_spread(missing):
    assert spread_of(row(0.1, **missing)) is None


def test_the_99_interval_of_the_image_says_nothing_of_a_scale_bar():
    bar = row(0.02, magnification_source="scale_bar", image_mpp_lo99_um=0.01, image_mpp_hi99_um=9.0)

    assert spread_of(bar).probability_within(0.15) == pytest.approx(1.0, abs=1e-6)
