"""The size of nuclei in pixels, on drawn tissue of known nuclei."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hagnifinder.baselines.nuclei import measure_nuclei


def draw_tissue(diameter_px: float, side_px: int = 500, seed: int = 3) -> np.ndarray:
    """Pink ground with round dark nuclei that do not touch, drawn four times finer and shrunk."""
    rng = np.random.default_rng(seed)
    fine = np.full((side_px * 2, side_px * 2, 3), (232, 170, 200), dtype=np.uint8)
    step = int(diameter_px * 2 * 2.2)
    for y in range(step, side_px * 2 - step, step):
        for x in range(step, side_px * 2 - step, step):
            at = (x + int(rng.integers(-step // 6, step // 6 + 1)), y + int(rng.integers(-step // 6, step // 6 + 1)))
            radius = diameter_px * rng.normal(1.0, 0.06)
            cv2.circle(fine, at, max(1, round(radius)), (92, 60, 140), -1, cv2.LINE_AA)
    noisy = cv2.resize(fine, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.clip(noisy + rng.normal(0, 4, noisy.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("diameter_px", [12, 20, 35])
def test_drawn_nuclei_are_measured_to_a_fifth(diameter_px):
    found = measure_nuclei(draw_tissue(diameter_px))

    assert found is not None
    assert found.diameter_px == pytest.approx(diameter_px, rel=0.2)
    assert found.count >= 12
    assert found.contrast > 2


def test_a_picture_enlarged_by_two_has_nuclei_twice_as_large():
    picture = draw_tissue(14, side_px=400)

    once = measure_nuclei(picture)
    twice = measure_nuclei(cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))

    assert once is not None and twice is not None
    assert twice.diameter_px / once.diameter_px == pytest.approx(2.0, rel=0.12)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((300, 300, 3), 255, dtype=np.uint8),
        np.zeros((300, 300, 3), dtype=np.uint8),
        np.full((20, 900, 3), 120, dtype=np.uint8),
        draw_tissue(4),
    ],
    ids=["white", "black", "a strip", "nuclei of four pixels"],
)
def test_where_no_nuclei_are_resolved_there_is_no_answer(picture):
    assert measure_nuclei(picture) is None
