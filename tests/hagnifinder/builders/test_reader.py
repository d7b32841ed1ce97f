from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hagnifinder.errors import DataError
from hagnifinder.wholeslide.reader import Metadata, nominal_of, open_slide, read_averaged
from hagnifinder.wholeslide.tiff import TiffSlide
from tests.hagnifinder.drawn_slides import draw_slide, write_slide


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return draw_slide(1500, 1100)


@pytest.fixture(scope="module")
def svs(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    return write_slide(tmp_path_factory.mktemp("slides") / "a.svs", pixels, mpp_um=0.2525, compression="deflate")


@pytest.fixture
def opened():
    """Opens slides and closes them after the test."""
    with ExitStack() as stack:
        yield lambda slide: stack.enter_context(closing(slide))


def test_openslide_and_the_tiff_reader_see_the_same_slide(svs: Path, pixels: np.ndarray, opened: Callable) -> None:
    first, second = opened(open_slide(svs)), opened(TiffSlide(svs))

    assert type(first).__name__ == "OpenSlideSlide"
    for slide in (first, second):
        assert slide.metadata == Metadata(0.2525, 40.0)
        assert slide.levels == ((1500, 1100), (750, 550), (375, 275))
        assert np.array_equal(slide.read(0, 200, 130, 700, 400), pixels[130:530, 200:900])
    assert np.array_equal(first.read(1, 100, 60, 300, 200), second.read(1, 100, 60, 300, 200))


def test_jpeg_tiles_are_read_alike(tmp_path: Path, pixels: np.ndarray, opened: Callable) -> None:
    path = write_slide(tmp_path / "j.svs", pixels, compression="jpeg")

    one, other = opened(open_slide(path)).read(0, 10, 20, 600, 500), opened(TiffSlide(path)).read(0, 10, 20, 600, 500)

    assert np.abs(one.astype(int) - other).max() <= 2
    assert np.abs(one.astype(int) - pixels[20:520, 10:610]).mean() < 6


def test_without_openslide_the_tiff_reader_takes_over(
    svs: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hagnifinder.wholeslide.vendor", None)

    assert isinstance(opened(open_slide(svs)), TiffSlide)


def test_beyond_the_edge_lies_white(svs: Path, opened: Callable) -> None:
    for slide in (opened(open_slide(svs)), opened(TiffSlide(svs))):
        assert (slide.read(0, 1400, 1000, 200, 200)[100:] == 255).all()


def test_an_ome_tiff_tells_its_scale(tmp_path: Path, pixels: np.ndarray, opened: Callable) -> None:
    path = tmp_path / "a.ome.tif"
    meta = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="deflate", metadata=meta, ome=True)

    slide = opened(open_slide(path))

    assert slide.metadata.mpp_um == pytest.approx(0.5)
    assert np.array_equal(slide.read(0, 0, 0, 300, 300), pixels[:300, :300])


def test_a_striped_tiff_and_a_png_are_read_whole(tmp_path: Path, pixels: np.ndarray, opened: Callable) -> None:
    tifffile.imwrite(tmp_path / "s.tif", pixels, photometric="rgb", resolution=(20_000, 20_000), resolutionunit=3)
    Image.fromarray(pixels).save(tmp_path / "p.png")

    for name, mpp_um in (("s.tif", 0.5), ("p.png", None)):
        slide = opened(open_slide(tmp_path / name))
        assert slide.metadata.mpp_um == mpp_um
        assert np.array_equal(slide.read(0, 5, 6, 70, 80), pixels[6:86, 5:75])


def test_averages_are_those_of_the_whole(svs: Path, pixels: np.ndarray, opened: Callable) -> None:
    small = read_averaged(opened(open_slide(svs)), 16, 32, 800, 4)

    expected = pixels[32:832, 16:816].reshape(200, 4, 200, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("metadata", "stated_um", "nominal_x"),
    [
        (Metadata(0.2265, 40.0), None, 40.0),
        (Metadata(0.2265), None, 40.0),
        (Metadata(0.55, 20.0), None, 20.0),
        (Metadata(0.688), None, 10 / 0.688),
        (Metadata(), 0.2265, 10 / 0.2265),
        (Metadata(0.25, 40.0), 0.25, 40.0),
    ],
)
def test_the_nominal_magnification_follows_from_objective_or_pixel_size(
    metadata: Metadata, stated_um: float | None, nominal_x: float
) -> None:
    assert nominal_of(metadata, stated_um)[1] == pytest.approx(nominal_x)


@pytest.mark.parametrize(
    ("metadata", "stated_um", "says"),
    [
        (Metadata(), None, "how large its pixels are"),
        (Metadata(None, 40.0), None, "how large its pixels are"),
        (Metadata(0.2325, 20.0), None, "objective says 20x"),  # as TCGA-A8-A06N
        (Metadata(250.0), None, "no light microscope"),
        (Metadata(None, 40.0), 0.5, "objective says 40x"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(metadata: Metadata, stated_um: float | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        nominal_of(metadata, stated_um)


def test_what_is_no_slide_says_so_in_one_sentence(tmp_path: Path, svs: Path, opened: Callable) -> None:
    (tmp_path / "empty.svs").write_bytes(b"")
    (tmp_path / "words.svs").write_bytes(b"no slide at all" * 50)
    (tmp_path / "half.svs").write_bytes(svs.read_bytes()[:3000])
    (tmp_path / "a.svs.partial").write_bytes(svs.read_bytes()[:3000])

    for name, says in (
        ("empty.svs", "empty"),
        ("words.svs", "cannot be read as a slide"),
        ("half.svs", "cannot be read as a slide|damaged or cut short"),
        ("a.svs.partial", "unfinished download"),
        ("missing.svs", "not a file"),
    ):
        with pytest.raises(DataError, match=says) as caught:
            opened(open_slide(tmp_path / name)).read(0, 0, 0, 300, 300)
        assert "\n" not in str(caught.value)


def test_a_tile_that_was_cut_off_is_told_when_it_is_read(tmp_path: Path, svs: Path, opened: Callable) -> None:
    data = bytearray(svs.read_bytes())
    data[400:60_000] = bytes(len(data[400:60_000]))  # tiles of the finest level, the directory stays
    path = tmp_path / "holes.svs"
    path.write_bytes(bytes(data))

    with pytest.raises(DataError, match="damaged or cut short"):
        opened(TiffSlide(path)).read(0, 0, 0, 256, 256)
