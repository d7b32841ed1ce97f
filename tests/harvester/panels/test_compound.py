from itertools import combinations

import numpy as np
import pytest

from harvester.geometry import BoxPx

from .compound import draw_compound
from .detection import average_precision, imageclef_accuracy


@pytest.mark.parametrize("seed", range(6))
def test_a_drawn_compound_has_a_true_box_inside_it_for_every_panel_and_none_overlaps(seed):
    drawn = draw_compound(seed)
    height, width = drawn.figure.pixels.shape[:2]
    assert len(drawn.boxes) == len(drawn.labels) >= 1
    assert all(box.x1 <= width and box.y1 <= height for box in drawn.boxes)
    assert not any(a.intersection_area(b) for a, b in combinations(drawn.boxes, 2))
    assert len(drawn.figure.letters) == (len(drawn.boxes) if drawn.has_text else 0)


def test_the_same_seed_draws_the_same_figure():
    assert np.array_equal(draw_compound(3).figure.pixels, draw_compound(3).figure.pixels)


def test_average_precision_of_known_cases():
    a, b, shifted = BoxPx(0, 0, 100, 100), BoxPx(200, 0, 300, 100), BoxPx(0, 0, 80, 100)
    assert average_precision([[(a, 1.0), (b, 0.9)]], [[a, b]], 0.5) == 1
    assert average_precision([[(a, 1.0)]], [[a, b]], 0.5) == pytest.approx(51 / 101)
    assert average_precision([[(shifted, 1.0)]], [[a]], 0.75) == 1
    assert average_precision([[(shifted, 1.0)]], [[a]], 0.9) == 0
    # a wrong box that is surer than the right one halves the precision
    assert average_precision([[(b, 1.0), (a, 0.5)]], [[a]], 0.5) == pytest.approx(0.5)
    assert average_precision([[]], [[a]], 0.5) == 0


def test_imageclef_accuracy_counts_too_many_like_too_few():
    a, b = BoxPx(0, 0, 100, 100), BoxPx(200, 0, 300, 100)
    assert imageclef_accuracy([a], [a, b]) == imageclef_accuracy([a, b], [a]) == 0.5
