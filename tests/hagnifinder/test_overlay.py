import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagnifinder.overlay import draw_scale, round_length_um
from hagnifinder.predict import Estimate


def estimate(mpp_um: float | None, *, abstained: bool = False) -> Estimate:
    if mpp_um is None:
        return Estimate(None, None, None, None, None, None, True, "too_small", 0)
    lo, hi, x = mpp_um / 1.3, mpp_um * 1.3, 10 / mpp_um
    return Estimate(mpp_um, lo, hi, x, x / 1.3, x * 1.3, abstained, "windows_disagree" if abstained else "", 1)


@given(st.floats(1e-6, 1e6))
def test_round_lengths_are_one_two_or_five_and_as_long_as_allowed(at_most_um: float) -> None:
    length = round_length_um(at_most_um)

    assert f"{length:.0e}"[0] in "125"
    assert length <= at_most_um * (1 + 1e-9) < length * 2.5 * (1 + 1e-6)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_the_bar_has_the_predicted_length_on_any_ground(ground: int) -> None:
    rgb = np.full((600, 800, 3), ground, dtype=np.uint8)

    drawn = draw_scale(rgb, estimate(0.5))[:600]

    # 800 px of 0.5 µm: 30 % are 120 µm, the round length below is 100 µm, 200 px between the bar's black edges.
    row = drawn[600 - 15 - 2, :225].astype(int).sum(axis=1)
    if ground == 255:
        left, right = np.flatnonzero(row < 60)
        assert right - left - 1 == pytest.approx(200, abs=1)
    else:
        assert np.count_nonzero(row > 700) == pytest.approx(200, abs=1)


def test_shrinking_for_the_eye_keeps_the_scale() -> None:
    drawn = draw_scale(np.zeros((3000, 4000, 3), dtype=np.uint8), estimate(0.25))

    # 2000 px of 0.5 µm now: 30 % are 300 µm, so 200 µm or 400 px.
    row = drawn[1500 - 37 - 5, :450].astype(int).sum(axis=1)
    assert drawn.shape[1] == 2000
    assert np.count_nonzero(row > 700) == pytest.approx(400, abs=2)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 30_000, 3), (5000, 3, 3), (64, 64, 3)])
@pytest.mark.parametrize("mpp_um", [None, 0.001, 0.25, 900.0])
def test_any_picture_and_any_guess_can_be_drawn(shape: tuple[int, int, int], mpp_um: float | None) -> None:
    drawn = draw_scale(np.zeros(shape, dtype=np.uint8), estimate(mpp_um, abstained=mpp_um == 900.0))

    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > 20
    assert drawn.shape[1] >= 360
