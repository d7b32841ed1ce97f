import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from hagnifinder.density import ScaleDensity
from hagnifinder.predict import Predictor
from tests.hagnifinder.test_density import peak

SIDE_PX = 1600


class Saturating(Predictor):
    """Knows the pixel size of a picture by its width, and like any network says 0.25 to everything finer."""

    def __init__(self, mpp_um: float, floor_um: float = 0.25) -> None:
        card = {
            "name": "t",
            "target": "log2_mpp_density",
            "calibration": {"q90": 1.6, "floor": 0.1, "max_spread": 1.0, "finest_um": 0.2, "coarsest_um": 6.0},
        }
        super().__init__(ScaleDensity(hidden=16), card, "", torch.device("cpu"))
        self.mpp_um, self.floor_um = mpp_um, floor_um
        self.widths_px: list[int] = []

    def densities(
        self, pictures: Sequence[np.ndarray], scales: Sequence[float] | None = None
    ) -> Iterator[tuple[np.ndarray, list[float], str]]:
        for rgb in pictures:
            self.widths_px.append(rgb.shape[1])
            said = max(self.floor_um, self.mpp_um * SIDE_PX / rgb.shape[1])
            yield np.stack([peak(math.log2(said), 0.15)]), [1.0], ""


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


@pytest.mark.parametrize("mpp_um", [0.04, 0.05, 0.0625, 0.08, 0.1, 0.13, 0.165, 0.19, 0.22, 0.25, 0.3, 0.5, 3.0])
def test_a_picture_finer_than_anything_learnt_is_answered_by_shrinking(mpp_um: float) -> None:
    predictor = Saturating(mpp_um)

    estimate = predictor.predict(np.zeros((SIDE_PX, SIDE_PX, 3), dtype=np.uint8))

    # Where both the picture and its copy are heard, the floor pulls a little.
    assert estimate.mpp_um == pytest.approx(mpp_um, rel=0.2 if 0.17 < mpp_um < 0.25 else 0.03)
    assert not estimate.abstained


def test_an_ordinary_picture_is_asked_once_and_a_very_fine_one_no_more_than_four_times(picture: np.ndarray) -> None:
    ordinary, fine = Saturating(0.5), Saturating(0.01)

    ordinary.predict(picture)
    fine.predict(picture)

    assert ordinary.widths_px == [SIDE_PX]
    assert fine.widths_px == [SIDE_PX, SIDE_PX // 2, SIDE_PX // 4, SIDE_PX // 8]


def test_a_picture_too_small_to_shrink_keeps_its_answer() -> None:
    predictor = Saturating(0.1 * 150 / SIDE_PX)

    estimate = predictor.predict(np.zeros((150, 150, 3), dtype=np.uint8))

    assert predictor.widths_px == [150]
    assert estimate.mpp_um == pytest.approx(0.25, rel=0.03)


def test_pictures_asked_together_are_shrunk_apart(picture: np.ndarray) -> None:
    predictor = Saturating(0.1)
    small = picture[:800, :800]

    together = predictor.predict_many([picture, small])

    assert [e.mpp_um for e in together] == [predictor.predict(picture).mpp_um, predictor.predict(small).mpp_um]
