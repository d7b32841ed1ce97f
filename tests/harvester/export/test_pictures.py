"""One pixel size, tiles, clean places: what is done to the pixels, and what the labels say of it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harvester.export.dataset import export_dataset
from harvester.export.overlay import find_overlay, largest_clean_box
from harvester.export.pictures import encode, shrink
from harvester.export.request import ExportRequest
from harvester.geometry import BoxPx
from tests.harvester.small_harvest import add_article, make_estimate, make_result, open_blank, store_png


def tissue(height: int = 240, width: int = 320, seed: int = 3) -> np.ndarray:
    """Pink ground with dark violet nuclei and pale gaps."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), (226, 160, 196), np.uint8)
    for _ in range(140):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(pixels, centre, int(rng.integers(2, 6)), (96, 52, 132), -1, cv2.LINE_AA)
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(pixels, centre, (14, 5), float(rng.integers(180)), 0, 360, (246, 240, 244), -1, cv2.LINE_AA)
    noise = rng.normal(0, 6, pixels.shape)
    return np.clip(cv2.GaussianBlur(pixels, (3, 3), 0) + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        yield catalog


def add_picture(catalog, pixels: np.ndarray, mpp_um: float = 0.25) -> None:
    """One article with one snapshot of these pixels, cut from its panel at (40, 30)."""
    add_article(catalog, 1, n=1)
    height, width = pixels.shape[:2]
    result = make_result("PMC1.1", [store_png(catalog.root, encode(pixels))])
    catalog.save_result(result, [make_estimate("PMC1.1/f1/a/s1", mpp_um)])
    catalog_rows = f"UPDATE snapshot SET x0_px=40, y0_px=30, x1_px={40 + width}, y1_px={30 + height}"
    from sqlalchemy import create_engine, text

    engine = create_engine(f"sqlite:///{catalog.root / 'catalog.db'}")
    with engine.begin() as connection:
        connection.execute(text(f"{catalog_rows}, width_px={width}, height_px={height}"))
    engine.dispose()


def exported(catalog, dest: Path, **request) -> list[tuple[dict, np.ndarray]]:
    """Return records and pixels of a set."""
    export_dataset(catalog, dest, ExportRequest("imagefolder", **request))
    found = []
    for path in sorted(dest.glob("*/metadata.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            data = (path.parent / record["file_name"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == record["image_sha256"]
            with Image.open(io.BytesIO(data)) as image:
                assert not image.info and not image.getexif()
                found.append((record, np.asarray(image)))
    return found


class TestOnePixelSize:
    def test_the_new_size_is_exact_in_the_label_and_in_the_pixels(self, catalog, tmp_path):
        add_picture(catalog, tissue(241, 323), mpp_um=0.3)

        [(record, pixels)] = exported(catalog, tmp_path / "set", at_mpp_um=0.5)

        assert record["mpp_um"] == pytest.approx(0.5, rel=1e-12)
        assert record["native_mpp_um"] == 0.3
        assert record["magnification_x"] == pytest.approx(20.0)
        assert (record["width_px"], record["height_px"]) == pixels.shape[1::-1] == (193, 144)
        # the box in the published pixels, times their size, is the image times its own
        assert (record["x1_px"] - record["x0_px"]) * 0.3 == pytest.approx(193 * 0.5)
        assert (record["x0_px"], record["y0_px"]) == (40, 30)
        assert record["mpp_hi_um"] / record["mpp_um"] == pytest.approx(1.3)
        assert "resampled from 0.3 to 0.5 µm/px" in record["changes"]
        assert record["source_sha256"] != record["image_sha256"]

    def test_what_is_coarser_is_left_out_and_what_is_equal_is_not_touched(self, catalog, tmp_path):
        add_picture(catalog, tissue(), mpp_um=0.5)

        [(record, pixels)] = exported(catalog, tmp_path / "same", at_mpp_um=0.5)
        dry = export_dataset(catalog, tmp_path / "fine", ExportRequest("csv", at_mpp_um=0.4, dry_run=True))

        assert np.array_equal(pixels, tissue())
        assert record["mpp_um"] == 0.5
        assert (dry.tally.n_images, dict(dry.tally.left_out)) == (0, {"coarser": 1})

    @settings(deadline=None, max_examples=20)
    @given(st.floats(1.0, 6.0), st.integers(40, 90), st.integers(40, 90))
    def test_a_line_stays_where_the_new_size_puts_it(self, factor, column, row):
        pixels = np.full((120, 120, 3), 255, np.uint8)
        pixels[:, column] = 0
        pixels[row] = 0

        small, scale = shrink(pixels, factor)

        assert scale == factor
        assert small.shape[0] == int(120 / factor + 1e-9)
        dark = 255.0 - small[:, :, 0]
        where_x = (dark[0] * (np.arange(small.shape[1]) + 0.5)).sum() / dark[0].sum()
        where_y = (dark[:, 0] * (np.arange(small.shape[0]) + 0.5)).sum() / dark[:, 0].sum()
        assert where_x * factor == pytest.approx(column + 0.5, abs=0.35 * factor)
        assert where_y * factor == pytest.approx(row + 0.5, abs=0.35 * factor)


class TestTiles:
    def test_tiles_are_the_pixels_of_their_boxes(self, catalog, tmp_path):
        pixels = tissue(150, 230)
        add_picture(catalog, pixels)

        tiles = exported(catalog, tmp_path / "set", tile_px=64)

        assert [record["tile"] for record, _ in tiles] == ["t1", "t2", "t3", "t4", "t5", "t6"]
        for record, tile in tiles:
            x0, y0 = int(record["x0_px"]) - 40, int(record["y0_px"]) - 30
            assert np.array_equal(tile, pixels[y0 : y0 + 64, x0 : x0 + 64])
            assert record["mpp_um"] == 0.25
        assert len({record["file_name"] for record, _ in tiles}) == 6

    def test_a_dry_run_counts_the_tiles_that_come(self, catalog, tmp_path):
        add_picture(catalog, tissue(150, 230), mpp_um=0.25)
        asked = {"tile_px": 32, "at_mpp_um": 0.5}

        dry = export_dataset(catalog, tmp_path / "no", ExportRequest("csv", dry_run=True, **asked))

        assert dry.tally.n_images == len(exported(catalog, tmp_path / "set", **asked)) == 6

    def test_what_is_smaller_than_a_tile_is_left_out(self, catalog, tmp_path):
        add_picture(catalog, tissue(50, 230))

        dry = export_dataset(catalog, tmp_path / "no", ExportRequest("csv", tile_px=64, dry_run=True))

        assert dict(dry.tally.left_out) == {"too_small": 1}


def with_bar(pixels: np.ndarray) -> tuple[np.ndarray, BoxPx]:
    marked = pixels.copy()
    marked[210:216, 220:300] = 0
    cv2.putText(marked, "50 um", (232, 204), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 2)
    return marked, BoxPx(220, 192, 300, 216)


class TestOverlay:
    def test_letters_and_bars_are_found_and_tissue_is_not(self):
        plain = tissue()
        marked, place = with_bar(plain)

        assert find_overlay(plain) == []
        marks = find_overlay(marked)
        covered = np.zeros(marked.shape[:2], bool)
        for mark in marks:
            covered[mark.y0 : mark.y1, mark.x0 : mark.x1] = True
            assert mark.intersection_area(place.grown(8, width_px=320, height_px=240))
        assert covered[(marked != plain).any(axis=2)].mean() > 0.98

    @pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (255, 255, 0), (0, 0, 255)])
    def test_an_arrow_of_a_pure_colour_is_found(self, colour):
        marked = tissue()
        cv2.arrowedLine(marked, (60, 60), (100, 80), colour, 4, cv2.LINE_8, tipLength=0.4)

        assert any(mark.intersection_area(BoxPx(60, 60, 100, 80)) > 200 for mark in find_overlay(marked))

    def test_an_image_is_cut_round_what_is_drawn_on_it(self, catalog, tmp_path):
        marked, place = with_bar(tissue())
        add_picture(catalog, marked)

        [(record, pixels)] = exported(catalog, tmp_path / "set", no_overlay=True)

        box = [int(record[name]) for name in ("x0_px", "y0_px", "x1_px", "y1_px")]
        cut = BoxPx(box[0] - 40, box[1] - 30, box[2] - 40, box[3] - 30)
        assert cut.intersection_area(place) == 0
        assert cut.area > 0.5 * 320 * 240
        assert np.array_equal(pixels, cut.crop(marked))
        assert "without letters" in record["changes"]

    def test_tiles_with_something_drawn_on_them_stay_behind(self, catalog, tmp_path):
        marked, place = with_bar(tissue())
        add_picture(catalog, marked)

        tiles = exported(catalog, tmp_path / "set", no_overlay=True, tile_px=80)

        assert 0 < len(tiles) < 12
        for record, _ in tiles:
            x0, y0 = int(record["x0_px"]) - 40, int(record["y0_px"]) - 30
            assert BoxPx(x0, y0, x0 + 80, y0 + 80).intersection_area(place) == 0

    @settings(deadline=None, max_examples=15)
    @given(st.lists(st.tuples(*(st.integers(0, 14) for _ in range(4))), max_size=5))
    def test_the_largest_clean_box_is_clean_and_the_largest(self, corners):
        marks = [BoxPx(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners]

        best = largest_clean_box(15, 15, marks)

        spans = [(low, high) for low in range(15) for high in range(low + 1, 16)]
        boxes = (BoxPx(x0, y0, x1, y1) for x0, x1 in spans for y0, y1 in spans)
        clean = [box.area for box in boxes if not any(box.intersection_area(mark) for mark in marks)]
        assert (best.area if best else 0) == max(clean, default=0)
        assert best is None or not any(best.intersection_area(mark) for mark in marks)
