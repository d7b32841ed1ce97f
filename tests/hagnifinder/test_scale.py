import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagnifinder.scale import band_of, log2_error, magnification_x_of, mpp_um_of, round_significant

pixel_sizes = st.floats(1e-3, 1e3)


@given(pixel_sizes)
def test_magnification_there_and_back_is_the_same_pixel_size(mpp_um: float) -> None:
    assert mpp_um_of(magnification_x_of(mpp_um)) == pytest.approx(mpp_um)


def test_a_quarter_micrometre_is_forty_times() -> None:
    assert magnification_x_of(0.25) == 40.0


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_size_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        magnification_x_of(bad)
    with pytest.raises(ValueError, match="positive"):
        mpp_um_of(bad)


@given(pixel_sizes, pixel_sizes)
def test_too_coarse_and_too_fine_by_the_same_factor_are_errors_of_the_same_size(a_um: float, b_um: float) -> None:
    assert log2_error(a_um, b_um) == pytest.approx(-log2_error(b_um, a_um), abs=1e-9)


@given(st.floats(1e-6, 1e6))
def test_rounding_moves_a_number_by_less_than_its_fourth_digit(value: float) -> None:
    rounded = round_significant(value)

    assert abs(rounded - value) <= 0.5e-3 * value * 1.001
    assert round_significant(rounded) == rounded


@pytest.mark.parametrize(
    ("mpp_um", "band"),
    [
        (6.0, "1-2.5x"),
        (4.0, "2.5-5x"),
        (2.0, "5-10x"),
        (1.0, "10-20x"),
        (0.5, "20-40x"),
        (0.25, "20-40x"),
        (12, "1-2.5x"),
    ],
)
def test_bands_hold_their_lower_edge_and_the_ends_hold_what_lies_beyond(mpp_um: float, band: str) -> None:
    assert band_of(mpp_um) == band
