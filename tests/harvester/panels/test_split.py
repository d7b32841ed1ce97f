from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.geometry import BoxPt, BoxPx
from harvester.panels.gutters import split_raster
from harvester.panels.split import split_figure
from harvester.records import Figure, Raster
from harvester.settings import PanelSettings

from .drawn_figures import draw_figure, draw_tissue, matched


def figure_of(pixels, parts=(), letters=(), caption="", page_box=None):
    return Figure("PMC1.1/f1", "Figure 1", caption, None, 1, page_box, pixels, "pdf", parts, letters)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 5, 20]), st.sampled_from([0, 255]), st.integers(0, 10**6)
)
def test_a_drawn_grid_is_split_back_into_its_cells(n_rows, n_columns, gutter, colour, seed):
    rng = np.random.default_rng(seed)
    width, height = 180, 150
    canvas = np.full((n_rows * (height + gutter) - gutter, n_columns * (width + gutter) - gutter, 3), colour, np.uint8)
    cells = []
    for row in range(n_rows):
        for column in range(n_columns):
            x, y = column * (width + gutter), row * (height + gutter)
            cells.append(BoxPx(x, y, x + width, y + height))
            canvas[y : y + height, x : x + width] = draw_tissue(rng, width, height)
    found = [piece.box for piece in split_raster(canvas, 48)]
    assert len(found) == len(cells)
    assert all(a.iou(b) > 0.9 for a, b in zip(found, cells, strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_stay_inside_never_overlap_and_pixels_are_the_exact_crop(seed):
    drawn = draw_figure(seed)
    panels = split_figure(figure_of(drawn.pixels), PanelSettings())
    assert panels
    height, width = drawn.pixels.shape[:2]
    for panel in panels:
        assert panel.box.x1 <= width
        assert panel.box.y1 <= height
        assert np.array_equal(panel.pixels, panel.box.crop(drawn.pixels))
        assert 0 <= panel.split_score <= 1
    assert not any(a.box.intersection_area(b.box) for a, b in combinations(panels, 2))
    assert len({panel.panel_id for panel in panels}) == len(panels)


@pytest.mark.slow
def test_most_panels_of_drawn_figures_are_found():
    found = true = 0
    for seed in range(200, 212):
        drawn = draw_figure(seed, "white")
        found += matched([piece.box for piece in split_raster(drawn.pixels, 48)], drawn.boxes)
        true += len(drawn.boxes)
    assert found / true > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_one_micrograph_with_glass_is_left_whole(seed):
    pixels = draw_tissue(np.random.default_rng(seed), 700, 500, glass=True)
    (panel,) = split_figure(figure_of(pixels), PanelSettings())
    assert panel.box.area > 0.95 * 700 * 500


def test_stored_pictures_are_panels_with_their_own_pixels():
    rng = np.random.default_rng(0)
    left, right = draw_tissue(rng, 400, 300), draw_tissue(rng, 800, 600)
    page = BoxPt(100, 100, 310, 175)
    parts = (Raster(left, BoxPt(100, 100, 200, 175), "pdf"), Raster(right, BoxPt(210, 100, 310, 175), "pdf"))
    pixels = np.full((600, 1680, 3), 255, np.uint8)
    pixels[:, :800], pixels[:, 880:] = left.repeat(2, 0).repeat(2, 1), right
    letters = (("(a)", BoxPt(145, 178, 155, 188)), ("(b)", BoxPt(255, 178, 265, 188)))
    caption = "Liver. (a) Control. (b) Treated."
    first, second = split_figure(figure_of(pixels, parts, letters, caption, page), PanelSettings())
    assert (first.panel_id, second.panel_id) == ("PMC1.1/f1/a", "PMC1.1/f1/b")
    assert np.array_equal(first.pixels, left)
    assert np.array_equal(second.pixels, right)
    assert second.caption == "Liver. (b) Treated."
    assert first.page_box == parts[0].page_box


def test_strips_of_one_picture_are_joined():
    whole = draw_tissue(np.random.default_rng(3), 600, 500)
    parts = (Raster(whole[:300], BoxPt(0, 0, 120, 60), "pdf"), Raster(whole[300:], BoxPt(0, 60, 120, 100), "pdf"))
    (panel,) = split_figure(figure_of(whole, parts, page_box=BoxPt(0, 0, 120, 100)), PanelSettings())
    assert np.array_equal(panel.pixels, whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (40, 40), (300, 2)])
def test_tiny_and_blank_figures_give_one_panel(shape):
    (panel,) = split_figure(figure_of(np.full((*shape, 3), 255, np.uint8)), PanelSettings())
    assert panel.box.area <= shape[0] * shape[1]
