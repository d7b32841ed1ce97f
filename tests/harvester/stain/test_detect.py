"""The stain stage on drawn, degenerate and real pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.geometry import RgbImage
from harvester.records import PANEL_KINDS, PanelKindScore
from harvester.settings import StainSettings
from harvester.stain.deconvolve import EOSIN, HEMATOXYLIN, join_stains, stain_matrix
from harvester.stain.detect import find_he_regions, model_card, score_kind

SURE = PanelKindScore("he", 0.9, 0.9)
UNSURE = PanelKindScore("ihc", 0.8, 0.1)
DEGENERATE = {
    "one pixel": np.full((1, 1, 3), 200, dtype=np.uint8),
    "white": np.full((120, 160, 3), 255, dtype=np.uint8),
    "black": np.zeros((120, 160, 3), dtype=np.uint8),
    "one colour": np.full((130, 140, 3), (200, 120, 170), dtype=np.uint8),
    "a thread": np.full((30_000, 3, 3), 128, dtype=np.uint8),
    "a row": np.random.default_rng(0).integers(0, 256, (1, 400, 3), dtype=np.uint8),
}


def drawn_tissue(height: int, width: int, seed: int = 0) -> RgbImage:
    """H&E as a drawing: nuclei of hematoxylin in an uneven ground of eosin."""
    rng = np.random.default_rng(seed)
    amounts = np.zeros((height, width, 3), dtype=np.float32)
    rough = cv2.resize(rng.normal(0, 1, (height // 12 + 2, width // 12 + 2)).astype(np.float32), (width, height))
    fine = cv2.resize(rng.normal(0, 1, (height // 3 + 2, width // 3 + 2)).astype(np.float32), (width, height))
    amounts[:, :, 1] = np.clip(0.30 + 0.08 * rough + 0.04 * fine, 0.05, None)
    amounts[:, :, 0] = 0.06
    for _ in range(height * width // 400):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(4, 7)), int(rng.integers(3, 6)))
        nucleus = np.zeros((height, width), dtype=np.uint8)
        cv2.ellipse(nucleus, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        amounts[nucleus > 0, 0] = rng.uniform(0.5, 0.9)
    return cv2.GaussianBlur(join_stains(amounts, stain_matrix(HEMATOXYLIN, EOSIN)), (0, 0), 0.8)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_pictures_are_scored_and_are_not_he(name: str) -> None:
    score = score_kind(DEGENERATE[name])

    assert score.kind in PANEL_KINDS
    assert 0.0 <= score.he_score <= score.kind_score <= 1.0 or score.kind != "he"
    assert score.he_score < 0.5


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_pictures_give_a_reason_instead_of_a_region_even_when_the_score_is_high(name: str) -> None:
    regions, skips = find_he_regions(DEGENERATE[name], SURE, StainSettings())

    assert bool(regions) != bool(skips)
    assert name == "one colour" or not regions


def test_the_same_pixels_give_the_same_score() -> None:
    tissue = drawn_tissue(200, 260)

    assert score_kind(tissue) == score_kind(tissue.copy())


def test_a_grey_copy_of_tissue_is_not_he() -> None:
    tissue = drawn_tissue(220, 260)
    grey = cv2.cvtColor(cv2.cvtColor(tissue, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)

    assert score_kind(grey).he_score < 0.5
    assert [reason for reason, _ in find_he_regions(grey, SURE, StainSettings())[1]] == ["grey_print"]


def test_drawn_tissue_is_he_whole_and_its_region_is_the_panel() -> None:
    tissue = drawn_tissue(300, 400)

    score = score_kind(tissue)
    regions, skips = find_he_regions(tissue, score, StainSettings())

    assert score.kind == "he"
    assert score.he_score > 0.5
    assert not skips
    assert regions[0].box.area > 0.97 * 300 * 400
    assert regions[0].tissue_share > 0.9


def test_a_low_score_gives_no_region_and_says_so() -> None:
    regions, skips = find_he_regions(drawn_tissue(200, 200), UNSURE, StainSettings())

    assert not regions
    assert skips[0][0] == "not_he"
    assert "ihc" in skips[0][1]


def test_a_small_panel_is_skipped_as_too_small() -> None:
    regions, skips = find_he_regions(drawn_tissue(90, 300), SURE, StainSettings(min_side_px=96))

    assert not regions
    assert skips[0][0] == "too_small"


@pytest.mark.parametrize("paper", [255, 0])
def test_a_frame_is_left_out_of_the_region(paper: int) -> None:
    tissue = drawn_tissue(300, 400)
    framed = cv2.copyMakeBorder(tissue, 25, 40, 15, 60, cv2.BORDER_CONSTANT, value=(paper, paper, paper))

    (region,), skips = find_he_regions(framed, SURE, StainSettings())

    assert not skips
    assert 15 <= region.box.x0 <= 20 and 25 <= region.box.y0 <= 30
    assert 410 <= region.box.x1 <= 415 and 320 <= region.box.y1 <= 325


def test_a_label_box_and_a_scale_bar_at_the_edge_are_cut_off() -> None:
    tissue = drawn_tissue(400, 500)
    cv2.rectangle(tissue, (0, 0), (40, 38), (255, 255, 255), -1)
    cv2.putText(tissue, "A", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    cv2.rectangle(tissue, (380, 370), (470, 376), (0, 0, 0), -1)

    (region,), _ = find_he_regions(tissue, SURE, StainSettings())

    assert region.box.x0 > 40 or region.box.y0 > 38
    assert region.box.y1 <= 370
    assert region.box.area > 0.7 * 400 * 500


def test_two_sections_on_glass_give_two_regions_left_to_right() -> None:
    glass = np.full((400, 900, 3), (238, 236, 240), dtype=np.uint8)
    glass[80:330, 60:300] = drawn_tissue(250, 240, 1)
    glass[60:340, 560:840] = drawn_tissue(280, 280, 2)

    regions, skips = find_he_regions(glass, SURE, StainSettings())

    assert not skips
    assert [abs(region.box.x0 - x) < 12 for region, x in zip(regions, (60, 560), strict=True)] == [True, True]
    assert all(region.tissue_share > 0.8 for region in regions)


def test_glass_with_a_speck_has_too_little_tissue() -> None:
    glass = np.full((300, 300, 3), (240, 240, 238), dtype=np.uint8)

    regions, skips = find_he_regions(glass, SURE, StainSettings())

    assert not regions
    assert skips[0][0] == "too_little_tissue"


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 260),
    width=st.integers(1, 260),
    seed=st.integers(0, 1000),
    style=st.sampled_from(["noise", "tissue", "islands"]),
)
def test_regions_lie_inside_the_panel_and_are_as_large_as_asked(height: int, width: int, seed: int, style: str) -> None:
    rng = np.random.default_rng(seed)
    if style == "noise":
        panel = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    else:
        panel = np.ascontiguousarray(drawn_tissue(260, 260)[:height, :width])
    if style == "islands":
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        panel[y:, :] = 255
        panel[:, x : x + 40] = 250
    asked = StainSettings(min_side_px=64)

    regions, skips = find_he_regions(panel, SURE, asked)

    assert regions or skips
    for region in regions:
        assert region.box.x1 <= width and region.box.y1 <= height
        assert min(region.box.width, region.box.height) >= asked.min_side_px
        assert asked.min_tissue_share <= region.tissue_share <= 1.0
    if len(regions) == 2:
        assert regions[0].box.intersection_area(regions[1].box) == 0


def test_the_shipped_classifier_says_what_it_was_made_from() -> None:
    card = model_card()

    assert card["data"] and card["licences"] and card["held_out"]


def pictures(shared_dir: Path, wanted: dict[str, int]) -> list[tuple[str, RgbImage]]:
    found: list[tuple[str, RgbImage]] = []
    with (shared_dir / "histology" / "catalog.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for key, n in wanted.items():
        alike = [row for row in rows if key in (row["dataset"], row["kind"]) and int(row["width"]) <= 2000]
        for row in alike[:: max(1, len(alike) // n)][:n]:
            data = cv2.imread(str(shared_dir / "histology" / row["path"]))
            found.append((row["path"], np.ascontiguousarray(data[:, :, ::-1])))
    return found


def test_real_he_pictures_are_found(shared_dir: Path) -> None:
    seen = pictures(shared_dir, {"MoNuSeg": 4, "CPM-17": 4, "Osteosarcoma": 3, "TNBC_Naylor": 3})

    assert sum(score_kind(pixels).kind == "he" for _, pixels in seen) >= 0.9 * len(seen)


def test_real_pictures_of_other_kinds_are_not_taken_for_he(shared_dir: Path) -> None:
    wanted = {"ihc": 5, "blood_smear": 4, "plots": 4, "line_drawings": 3, "radiology": 3, "fluorescence": 3}

    wrong = [path for path, pixels in pictures(shared_dir, wanted) if score_kind(pixels).he_score >= 0.5]

    assert len(wrong) <= 1, wrong
