"""Optical density, stain separation and the tissue mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from harvester.stain.deconvolve import (
    DAB,
    EOSIN,
    H_E_DAB,
    HEMATOXYLIN,
    glass_colour,
    join_stains,
    optical_density,
    separate_stains,
    stain_matrix,
    tissue_mask,
)


def speckle(height: int, width: int, colour: tuple[int, int, int], spread: float = 18.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.normal(0, spread, (height // 4 + 2, width // 4 + 2)).astype(np.float32)
    shade = cv2.resize(coarse, (width, height))[:, :, None]
    return np.clip(np.asarray(colour) + shade, 0, 255).astype(np.uint8)


def test_optical_density_is_the_decimal_logarithm_and_finite_for_black() -> None:
    density = optical_density(np.array([[[255, 128, 0]]], dtype=np.uint8))

    assert density[0, 0] == pytest.approx([0.0, -np.log10(128 / 255), np.log10(255)], abs=1e-6)


@pytest.mark.parametrize(("stain", "at"), [(HEMATOXYLIN, 0), (EOSIN, 1), (DAB, 2)])
def test_a_pure_stain_is_found_as_itself(stain: tuple[float, float, float], at: int) -> None:
    amounts = np.zeros((4, 4, 3), dtype=np.float32)
    amounts[:, :, at] = 0.5

    found = separate_stains(join_stains(amounts))

    assert found[0, 0, at] == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.delete(found[0, 0], at)).max() < 0.02


def test_joining_what_was_separated_gives_the_picture_back() -> None:
    picture = np.random.default_rng(1).integers(1, 256, (40, 30, 3), dtype=np.uint8)

    back = join_stains(separate_stains(picture))

    assert np.abs(back.astype(int) - picture).max() <= 1


def test_separation_agrees_with_the_definition_in_float64() -> None:
    picture = np.random.default_rng(2).integers(1, 256, (9, 7, 3), dtype=np.uint8)

    plain = -np.log10(picture.astype(np.float64) / 255) @ np.linalg.inv(H_E_DAB)

    assert np.abs(separate_stains(picture) - plain).max() < 1e-5


def test_a_matrix_of_two_stains_gets_a_third_at_right_angles() -> None:
    matrix = stain_matrix(HEMATOXYLIN, EOSIN)

    assert matrix[2] @ matrix[:2].T == pytest.approx([0, 0], abs=1e-12)
    assert np.linalg.norm(matrix, axis=1) == pytest.approx([1, 1, 1])


def test_a_crop_full_of_tissue_has_no_glass_and_is_all_tissue() -> None:
    tissue = speckle(200, 200, (205, 140, 185))

    assert glass_colour(tissue) is None
    assert tissue_mask(tissue).mean() > 0.98


@pytest.mark.parametrize(
    "glass", [(255, 255, 255), (243, 243, 243), (205, 205, 207), (150, 150, 148), (250, 245, 222), (244, 228, 240)]
)
def test_tissue_is_told_from_white_grey_yellowish_and_pinkish_glass(glass: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(3)
    picture = np.clip(np.asarray(glass) + rng.normal(0, 1.0, (240, 240, 3)), 0, 255).astype(np.uint8)
    picture[60:180, 60:180] = speckle(120, 120, (150, 90, 140), 12)

    mask = tissue_mask(picture)

    assert mask[64:176, 64:176].mean() > 0.95
    assert mask[:56].mean() < 0.03


def test_smooth_pale_pink_tissue_is_not_taken_for_glass() -> None:
    rng = np.random.default_rng(6)
    muscle = np.clip(np.asarray((232, 188, 214)) + rng.normal(0, 1.2, (200, 200, 3)), 0, 255).astype(np.uint8)
    muscle[::25, :, :] = (150, 90, 150)

    assert glass_colour(muscle) is None
    assert tissue_mask(muscle).mean() > 0.95


@pytest.mark.parametrize("colour", [0, 255])
def test_paper_and_frame_are_no_tissue(colour: int) -> None:
    assert not tissue_mask(np.full((50, 60, 3), colour, dtype=np.uint8)).any()


def test_a_picture_of_one_pixel_has_no_tissue() -> None:
    assert not tissue_mask(np.full((1, 1, 3), 120, dtype=np.uint8)).any()
