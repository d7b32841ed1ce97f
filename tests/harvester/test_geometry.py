"""Properties of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.geometry import BoxPt, BoxPx, px_to_pt, union_pt


@st.composite
def boxes(draw, width_px=200, height_px=100):
    x0 = draw(st.integers(0, width_px - 1))
    y0 = draw(st.integers(0, height_px - 1))
    return BoxPx(x0, y0, draw(st.integers(x0 + 1, width_px)), draw(st.integers(y0 + 1, height_px)))


@given(box=boxes(), margin_px=st.integers(0, 300))
def test_growing_a_box_loses_no_pixel_and_stays_on_the_raster(box, margin_px):
    grown = box.grown(margin_px, width_px=200, height_px=100)

    assert 0 <= grown.x0 <= box.x0 < box.x1 <= grown.x1 <= 200
    assert 0 <= grown.y0 <= box.y0 < box.y1 <= grown.y1 <= 100


@given(first=boxes(), second=boxes())
def test_overlap_equals_counting_pixels(first, second):
    painted = np.zeros((100, 200), int)
    painted[first.y0 : first.y1, first.x0 : first.x1] += 1
    painted[second.y0 : second.y1, second.x0 : second.x1] += 1

    assert first.intersection_area(second) == int((painted == 2).sum())
    assert first.iou(second) == pytest.approx((painted == 2).sum() / (painted > 0).sum())


@given(box=boxes(), x=st.floats(-500, 500), y=st.floats(-500, 500), scale=st.floats(0.05, 4))
def test_a_box_keeps_its_place_on_the_page_whatever_the_scale(box, x, y, scale):
    page = BoxPt(x, y, x + 200 * scale, y + 100 * scale)

    placed = px_to_pt(box, raster_width_px=200, raster_height_px=100, page_box=page)

    assert placed.width == pytest.approx(box.width * scale)
    assert placed.y0 == pytest.approx(y + box.y0 * scale)


@given(items=st.lists(boxes(), min_size=1, max_size=5))
def test_a_union_holds_every_box(items):
    points = [BoxPt(b.x0, b.y0, b.x1, b.y1) for b in items]
    whole = union_pt(points)

    assert all(whole.intersection_area(p) == pytest.approx(p.area) for p in points)


def test_empty_boxes_cannot_be_made():
    with pytest.raises(ValueError):
        BoxPx(3, 0, 3, 5)
    with pytest.raises(ValueError):
        BoxPt(0, 0, float("nan"), 1)
    with pytest.raises(ValueError):
        union_pt([])
