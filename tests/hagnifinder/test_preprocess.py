import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hagnifinder.preprocess import MIN_DETAIL, WINDOW_PX, cut_windows, detail, normalise, pad_to_window, tissue_share
from tests.hagnifinder.drawn import draw_tissue


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 16))
def test_windows_are_whole_and_no_more_than_asked(height: int, width: int, most: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)

    windows = cut_windows(rgb, most)

    assert 1 <= len(windows) <= most
    assert all(w.shape == (WINDOW_PX, WINDOW_PX, 3) and w.dtype == np.uint8 for w in windows)


def test_windows_lie_where_the_tissue_is() -> None:
    picture = np.full((224, 1400, 3), 245, dtype=np.uint8)
    picture[:, 1100:] = draw_tissue(224, 300)

    windows = cut_windows(picture, 9)

    assert all(tissue_share(window) > 0.4 for window in windows)


def test_mirroring_keeps_the_picture_in_the_middle_and_its_scale() -> None:
    rgb = draw_tissue(100, 150)

    padded = pad_to_window(rgb)

    assert padded.shape == (224, 224, 3)
    assert np.array_equal(padded[62:162, 37:187], rgb)


def test_grey_glass_is_no_tissue_and_pale_pink_is() -> None:
    assert tissue_share(np.full((64, 64, 3), 105, dtype=np.uint8)) == 0.0
    assert tissue_share(np.full((64, 64, 3), 250, dtype=np.uint8)) == 0.0
    assert tissue_share(np.full((64, 64, 3), (240, 200, 220), dtype=np.uint8)) == 1.0


def test_a_flat_colour_has_no_detail_and_tissue_has() -> None:
    assert detail(np.full((64, 64, 3), (240, 200, 220), dtype=np.uint8)) < MIN_DETAIL < detail(draw_tissue(64, 64))


def test_normalising_gives_channels_first_and_zero_for_the_mean_colour() -> None:
    torch = pytest.importorskip("torch")
    mean = np.round(np.array([0.485, 0.456, 0.406]) * 255).astype(np.uint8)

    x = normalise(torch.from_numpy(np.broadcast_to(mean, (2, 8, 9, 3)).copy()))

    assert x.shape == (2, 3, 8, 9)
    assert float(x.abs().max()) < 0.01
