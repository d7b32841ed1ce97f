"""Drawn tissue has the size it says, comes out the same every time, and quickly."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from harvester.demo.decoys import DECOYS, draw_decoy
from harvester.demo.draw import RECIPES, draw_he, draw_section
from harvester.demo.tissue import Section


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("mpp_um", [0.25, 4.0])
def test_every_tissue_can_be_drawn_and_has_both_stains(recipe: str, mpp_um: float) -> None:
    picture = draw_he(recipe, mpp_um, 160, 120, 6)

    red, green, blue = picture.reshape(-1, 3).astype(int).T
    assert picture.shape == (120, 160, 3) and picture.dtype == np.uint8
    assert (red - green > 20).mean() > 0.1, "eosin takes green out"
    assert (blue - red > 5).any(), "haematoxylin takes red out"


def test_the_same_arguments_give_the_same_picture() -> None:
    first, again = draw_he("colon", 0.5, 120, 100, 3), draw_he("colon", 0.5, 120, 100, 3)

    assert np.array_equal(first, again)
    assert not np.array_equal(first, draw_he("colon", 0.5, 120, 100, 4))


@pytest.mark.parametrize("mpp_um", [0.25, 0.5, 1.0])
def test_nuclei_have_their_size_in_micrometres_at_every_scale(mpp_um: float) -> None:
    section, _, _ = draw_section("liver", mpp_um, int(160 / mpp_um), int(160 / mpp_um), 2)

    _, _, stats, _ = cv2.connectedComponentsWithStats((section.chromatin > 0.3).astype(np.uint8))
    area_um2 = stats[1:, cv2.CC_STAT_AREA] * section.um**2
    # slits between the plates cut some nuclei; the upper quarter is whole
    diameter_um = np.percentile(2 * np.sqrt(area_um2 / np.pi), 75)
    assert 7.2 < diameter_um < 8.4


def test_noise_has_the_spread_it_says_and_blobs_of_the_size_asked_for() -> None:
    for scale_um in (2.0, 20.0):
        section = Section(0.5, 600, 800, np.random.default_rng(1))

        noise = section.noise(scale_um)

        shift = int(scale_um / 0.5)
        near = np.corrcoef(noise[:, : -shift // 4].ravel(), noise[:, shift // 4 :].ravel())[0, 1]
        far = np.corrcoef(noise[:, : -3 * shift].ravel(), noise[:, 3 * shift :].ravel())[0, 1]
        assert 0.6 < noise.std() < 1.4
        assert near > 0.7 and abs(far) < 0.2


@pytest.mark.parametrize("name", DECOYS)
def test_decoys_are_drawn_the_same_every_time(name: str) -> None:
    first = draw_decoy(name, 150, 110, 1)

    assert first.shape == (110, 150, 3) and first.dtype == np.uint8
    assert np.array_equal(first, draw_decoy(name, 150, 110, 1))


@pytest.mark.parametrize("call", [lambda: draw_he("bone", 0.5, 9, 9, 1), lambda: draw_he("colon", 40, 9, 9, 1)])
def test_what_cannot_be_drawn_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"recipe|µm/px"):
        call()


def test_a_field_takes_about_a_second() -> None:
    start = time.process_time()

    draw_he("colon", 1.0, 700, 500, 1)

    # 0.5 s on an idle core of 2024; the limit is for a busy one
    assert time.process_time() - start < 3.0
