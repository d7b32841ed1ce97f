import numpy as np
import pytest

from hagnifinder.evaluation.invariance import CHANGES, invariance_markdown, measure
from hagnifinder.predict import Estimate
from tests.hagnifinder.drawn import draw_tissue


def answer(mpp_um: float) -> Estimate:
    return Estimate(mpp_um, mpp_um / 2, mpp_um * 2, 10 / mpp_um, 5 / mpp_um, 20 / mpp_um, False, "", 1)


def by_dark_area(pictures):
    """Knows the drawn nuclei: their share of the area does not change, their number per pixel does."""
    found = []
    for rgb in pictures:
        edges = np.abs(np.diff((rgb[..., 0] < 160).astype(float), axis=0)).mean()
        found.append(answer(float(edges)))
    return found


def test_a_model_that_reads_size_is_stable_and_one_that_reads_pixels_is_found_out() -> None:
    fields = [draw_tissue(400, 400, nucleus_px=20, seed=i) for i in range(2)]

    reads_size = {s.name: s for s in measure(by_dark_area, fields)}
    always_same = {s.name: s for s in measure(lambda pictures: [answer(0.5) for _ in pictures], fields)}

    assert len(reads_size) == len(CHANGES)
    assert reads_size["turned by 180°"].median_ln < 0.03
    assert reads_size["resized to 0.5"].median_ln < 0.15
    assert always_same["mirrored"].kept == 1.0
    assert always_same["resized to 0.5"].bias_ln == pytest.approx(-np.log(2), abs=1e-6)
    assert always_same["resized to 2"].kept == 0.0
    assert "| resized to 2 | 2 | 0.693 | 0.693 | +0.693 | 0% | 0% |" in invariance_markdown(
        "m", list(always_same.values())
    )
