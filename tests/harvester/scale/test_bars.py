from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw
from pytest import MonkeyPatch

from harvester.demo.draw import draw_he
from harvester.documents.figures import extract_figures
from harvester.geometry import BoxPt, BoxPx, RgbImage
from harvester.panels.split import split_figure
from harvester.records import DrawnMark, Figure, Panel, ScaleBar, StatedLength
from harvester.scale import bars
from harvester.scale.bar_labels import BarLabel
from harvester.scale.bar_pixels import pixel_candidates
from harvester.scale.bar_reading import ReadLabel
from harvester.scale.bar_shapes import Spot, bar_of
from harvester.scale.bar_sharing import is_shared, share_bars
from harvester.scale.bars import find_scale_bars
from harvester.scale.lettering import ReadText, TextReader
from harvester.settings import DocumentSettings, PanelSettings
from tests.harvester.scale.drawn_bars import DrawnBar, as_panel, draw_bar

SLOW_STYLES = ("arrows", "axis", "bands")
STATED = StatedLength("scale bar = 50 µm", "scale_bar", 50.0, "µm", 50.0)


@pytest.fixture(scope="module")
def tissue() -> RgbImage:
    return draw_he("liver", 0.5, 480, 360, 3)


def _with_strip(tissue: RgbImage, box: tuple[int, int, int, int], ink: tuple[int, int, int]) -> DrawnBar:
    pixels = tissue.copy()
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = ink
    return DrawnBar(pixels, "strip")


def _on_page(tissue: RgbImage, marks: list[DrawnMark], inscriptions: list[tuple[str, BoxPt]]) -> tuple[Panel, Figure]:
    """Return a panel printed 240 pt wide, so that a native pixel is half a point."""
    panel, figure = as_panel(DrawnBar(tissue, "page"))
    page = BoxPt(100, 100, 340, 280)
    return replace(panel, page_box=page), replace(
        figure, page_box=page, marks=tuple(marks), inscriptions=tuple(inscriptions)
    )


def _line(x0: float, x1: float, y: float) -> DrawnMark:
    return DrawnMark(BoxPt(x0, y - 0.5, x1, y + 0.5), False, (0, 0, 0))


def test_a_drawn_bar_takes_the_typeset_label_beside_it(tissue: RgbImage) -> None:
    panel, figure = _on_page(tissue, [_line(280, 305, 260)], [("50 µm", BoxPt(282, 248, 303, 257))])

    (bar,) = find_scale_bars(panel, figure, [], None)

    assert (bar.found_in, bar.label_from, bar.length_um) == ("vector", "pdf_text", 50.0)
    assert bar.bar_px == pytest.approx(50.0)
    assert bar.mpp_um == pytest.approx(1.0)
    assert bar.is_plausible


def test_a_bar_that_no_tissue_can_have_is_kept_and_marked(tissue: RgbImage) -> None:
    panel, figure = _on_page(tissue, [_line(280, 305, 260)], [("5 cm", BoxPt(282, 248, 303, 257))])

    (bar,) = find_scale_bars(panel, figure, [], None)

    assert bar.mpp_um == pytest.approx(1_000.0)
    assert not bar.is_plausible


def test_a_label_far_away_and_the_ground_of_a_label_are_no_bar(tissue: RgbImage) -> None:
    ground = DrawnMark(BoxPt(270, 247, 310, 258), False, (255, 255, 255))
    label = ("50 µm", BoxPt(282, 248, 303, 257))

    for marks in ([_line(110, 135, 110)], [ground]):
        panel, figure = _on_page(tissue, marks, [label])
        assert find_scale_bars(panel, figure, [], None, search_pixels=False) == []


def test_an_axis_with_ticks_is_no_bar(tissue: RgbImage) -> None:
    ticks = [DrawnMark(BoxPt(x, 255, x + 1, 260), True, (0, 0, 0)) for x in range(150, 250, 12)]
    panel, figure = _on_page(tissue, [_line(150, 250, 258), *ticks], [("50 µm", BoxPt(190, 262, 212, 271))])

    assert find_scale_bars(panel, figure, [], None, search_pixels=False) == []


def test_the_pdf_gives_a_bar_its_painted_length() -> None:
    """Strokes with butt and square caps, filled rectangles and end ticks, through a real file."""
    document = pymupdf.open()
    page = document.new_page(width=400, height=400)
    picture = draw_he("colon", 0.5, 400, 300, 5)
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, 400, 300, picture.tobytes(), False)
    page.insert_image(pymupdf.Rect(50, 50, 250, 200), pixmap=pixmap)
    page.draw_line((180, 185), (220, 185), color=(0, 0, 0), width=2)
    page.insert_text((190, 180), "20 um", fontsize=8)
    page.draw_rect(pymupdf.Rect(60, 188, 100, 191), color=None, fill=(1, 1, 1))
    page.insert_text((70, 184), "20 um", fontsize=8)
    page.insert_text((50, 220), "Figure 1. Colon with two bars of one length.", fontsize=9)

    figures, _ = extract_figures("local-1", document.tobytes(), None, {}, DocumentSettings())
    found = [b for p in split_figure(figures[0], PanelSettings()) for b in find_scale_bars(p, figures[0], [], None)]

    assert len(found) == 2
    for bar in found:
        assert bar.found_in == "vector"
        assert bar.bar_px == pytest.approx(80.0, abs=0.2)
        assert bar.mpp_um == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (20, 40, 200), (250, 235, 30)])
def test_a_strip_of_any_ink_is_measured_to_a_fraction_of_a_pixel(tissue: RgbImage, ink: tuple[int, int, int]) -> None:
    drawn = _with_strip(tissue, (330, 320, 430, 326), ink)

    best = pixel_candidates(drawn.pixels)[0]

    assert not best.is_vertical
    assert best.length == pytest.approx(100.0, abs=0.5)
    assert best.spot.x0 == pytest.approx(330.0, abs=0.5)


def test_an_upright_strip_is_measured_downwards(tissue: RgbImage) -> None:
    drawn = _with_strip(tissue, (440, 200, 446, 290), (0, 0, 0))

    best = pixel_candidates(drawn.pixels)[0]

    assert best.is_vertical
    assert best.length == pytest.approx(90.0, abs=0.5)


def test_a_bar_without_label_takes_the_length_of_the_caption(tissue: RgbImage) -> None:
    panel, figure = as_panel(_with_strip(tissue, (330, 320, 430, 326), (0, 0, 0)))

    (bar,) = find_scale_bars(panel, figure, [STATED], None)

    assert bar.label_from == "caption"
    assert bar.mpp_um == pytest.approx(0.5, rel=0.01)
    assert find_scale_bars(panel, figure, [], None) == []


def test_tissue_alone_gives_no_bar_even_where_a_caption_speaks_of_one(tissue: RgbImage) -> None:
    panel, figure = as_panel(DrawnBar(tissue, "tissue"))

    assert find_scale_bars(panel, figure, [STATED], None) == []


class _NoReader(TextReader):
    """A reader that nobody may ask."""

    def find_lines(self, pixels: RgbImage) -> list[ReadText]:
        raise AssertionError("text is looked for")

    def read_lines(self, pictures: Sequence[RgbImage]) -> list[tuple[str, float]]:
        raise AssertionError("text is read")


@pytest.mark.parametrize("recipe", ["colon", "carcinoma"])
def test_no_text_is_read_where_nothing_is_drawn(recipe: str) -> None:
    panel, figure = as_panel(DrawnBar(draw_he(recipe, 0.5, 360, 270, 1), "tissue"))

    assert find_scale_bars(panel, figure, [], _NoReader()) == []


def test_an_outlined_bar_has_the_length_of_its_inside(tissue: RgbImage) -> None:
    drawn = _with_strip(tissue, (328, 318, 432, 328), (255, 255, 255))
    drawn.pixels[320:326, 330:430] = 0
    candidates = pixel_candidates(drawn.pixels)

    lengths = [round(bar_of(c, candidates).length) for c in candidates if c.shape > 0.7]

    assert lengths and set(lengths) == {100}


def test_a_bar_of_alternating_pieces_is_one_bar_whatever_it_ends_in(tissue: RgbImage) -> None:
    for ground in (None, 250):
        drawn = _with_strip(tissue, (330, 320, 430, 328), (0, 0, 0))
        if ground is not None:  # the last white piece runs into glass
            drawn.pixels[300:345, 430:470] = ground
        for x in (355, 405):
            drawn.pixels[321:327, x : x + 25] = 255

        best = pixel_candidates(drawn.pixels)[0]

        assert best.length == pytest.approx(100.0, abs=1.0)


def test_a_bar_across_glass_is_no_piece_of_an_upright_one(tissue: RgbImage) -> None:
    drawn = _with_strip(tissue, (330, 300, 430, 309), (0, 0, 0))
    drawn.pixels[291:300, 330:336] = drawn.pixels[309:318, 330:336] = 250

    assert not pixel_candidates(drawn.pixels)[0].is_vertical


def test_the_tick_at_the_end_of_a_bar_is_not_the_bar(tissue: RgbImage) -> None:
    drawn = _with_strip(tissue, (330, 320, 400, 322), (0, 0, 0))
    drawn.pixels[309:333, 330:332] = drawn.pixels[309:333, 398:400] = 0
    candidates = pixel_candidates(drawn.pixels)

    lengths = [round(bar_of(c, candidates).length) for c in candidates if c.shape > 0.7]

    assert len(lengths) == 3
    assert set(lengths) == {70}


def test_a_misread_unit_that_no_microscope_has_is_micrometres(tissue: RgbImage, monkeypatch: MonkeyPatch) -> None:
    label = BarLabel("100 nm", 100.0, "nm", 0.1, 1.0)
    monkeypatch.setattr(bars, "read_labels", lambda *_: [(0, ReadLabel(label, Spot(330, 300, 380, 315), 0.9))])
    panel, figure = as_panel(_with_strip(tissue, (330, 320, 430, 326), (0, 0, 0)))

    (bar,) = find_scale_bars(panel, figure, [], TextReader())

    assert (bar.length_um, bar.unit, bar.text) == (100.0, "µm", "100 nm")
    assert bar.is_plausible


def test_pictures_too_small_to_hold_a_bar_are_no_trouble() -> None:
    for shape in ((1, 1, 3), (2, 400, 3), (400, 2, 3), (9, 9, 3)):
        panel, figure = as_panel(DrawnBar(np.zeros(shape, np.uint8), "tiny"))
        assert find_scale_bars(panel, figure, [STATED], None) == []


def test_a_bar_with_its_label_is_read_from_pixels(capfd: pytest.CaptureFixture[str]) -> None:
    drawn = draw_bar(7, "box")
    panel, figure = as_panel(drawn)

    (bar,) = find_scale_bars(panel, figure, [], TextReader())

    assert bar.label_from == "ocr"
    assert bar.length_um == drawn.length_um
    assert bar.mpp_um == pytest.approx(drawn.mpp_um, rel=0.02)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "style", ["frame", "underline", *(pytest.param(s, marks=pytest.mark.slow) for s in SLOW_STYLES)]
)
def test_what_only_looks_like_a_bar_is_none(style: str) -> None:
    panel, figure = as_panel(draw_bar(11, style))

    assert find_scale_bars(panel, figure, [], TextReader()) == []


def test_the_reader_travels_to_workers_and_takes_pictures_without_text() -> None:
    reader = pickle.loads(pickle.dumps(TextReader(threads=1)))

    assert reader.find_lines(np.full((64, 200, 3), 255, np.uint8)) == []
    assert reader.find_lines(np.zeros((2, 2, 3), np.uint8)) == []


def test_the_reader_reads_a_line() -> None:
    image = Image.new("RGB", (160, 48), "white")
    ImageDraw.Draw(image).text((10, 6), "500", fill="black", font_size=32)

    assert TextReader().read_line(np.asarray(image))[0] == "500"


@pytest.mark.parametrize(
    ("caption", "shared"),
    [
        ("Scale bar in A applies to all panels.", True),
        ("Bar, 50 µm for all.", True),
        ("Scale bars: A 100 µm, B 20 µm.", False),
        ("All images have the same magnification; bar 50 µm.", True),
        ("Liver. All animals survived.", False),
    ],
)
def test_captions_say_whether_one_bar_holds_for_all(caption: str, shared: bool) -> None:
    assert is_shared(caption) is shared


def _bar(length_px: float) -> ScaleBar:
    box = BoxPx(10, 80, 10 + round(length_px), 84)
    return ScaleBar(box, length_px, False, "pixels", "50 µm", 50.0, "µm", 50.0, "ocr", 50.0 / length_px, True, 0.9)


def test_a_shared_bar_is_lent_by_its_length_on_the_page(tissue: RgbImage) -> None:
    first = Panel("f/a", "f", "A", "", BoxPx(0, 0, 480, 360), BoxPt(0, 0, 240, 180), tissue)
    finer = np.repeat(np.repeat(tissue, 2, 0), 2, 1)
    second = Panel("f/b", "f", "B", "", BoxPx(500, 0, 980, 360), BoxPt(250, 0, 490, 180), finer)

    shared = share_bars([first, second], {"f/a": [_bar(50.0)], "f/b": []}, "Bar in A applies to all panels.")
    alone = share_bars([first, second], {"f/a": [_bar(50.0)], "f/b": []}, "Bar in A: 50 µm.")

    assert shared["f/b"][0].mpp_um == pytest.approx(0.5)
    assert shared["f/b"][0].score < shared["f/a"][0].score
    assert alone["f/b"] == []


def test_the_bars_of_a_real_article_are_read(shared_dir: Path) -> None:
    """The drawn bars of PMC3178181 against hand measures."""
    pdf = (shared_dir / "articles" / "PMC3178181" / "fulltext.pdf").read_bytes()
    figures, _ = extract_figures("PMC3178181", pdf, None, {}, DocumentSettings())
    figure = next(f for f in figures if f.label and f.label.endswith("3") and f.page_number == 6)

    found = [find_scale_bars(p, figure, [], None) for p in split_figure(figure, PanelSettings())]

    assert [round(b[0].mpp_um or 0, 3) for b in found] == pytest.approx([0.389, 0.394, 1.199], rel=0.01)
