"""Drawn articles: the truth about their panels is true, and their files say what real ones say."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pymupdf
import pytest

from harvester.demo.articles import DrawnArticle, draw_articles, truth_as_json
from harvester.demo.draw import RECIPES
from harvester.demo.plan import PLAN, ArticlePlan
from harvester.demo.summary import expected_panels
from harvester.demo.typeset import Cell, Making, Plate, Typesetter, encode_jpeg
from harvester.geometry import BoxPt, RgbImage

XLINK = "{http://www.w3.org/1999/xlink}href"


def small(plan: tuple[ArticlePlan, ...]) -> list[ArticlePlan]:
    """The same articles with pictures of a third of the size, which are drawn nine times as fast."""
    return [
        replace(a, figures=tuple(replace(f, size=(f.size[0] // 12 * 4, f.size[1] // 12 * 4)) for f in a.figures))
        for a in plan
    ]


@pytest.fixture(scope="module")
def drawn() -> list[DrawnArticle]:
    return draw_articles(seed=1, plan=small(PLAN))


def render(pdf: bytes, page_number: int, box: BoxPt, width_px: int) -> RgbImage:
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        zoom = width_px / box.width
        clip = pymupdf.Rect(*box.as_tuple())
        picture = document[page_number - 1].get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), clip=clip, alpha=False)
        return np.frombuffer(picture.samples, np.uint8).reshape(picture.height, picture.width, 3)


@pytest.mark.parametrize("making", ["separate", "flat", "png", "strips", "tiles", "cmyk"])
def test_cells_lie_where_the_typesetter_says(making: Making) -> None:
    rng = np.random.default_rng(4)
    cells = tuple(Cell(np.full((60, 90, 3), rng.integers(60, 200, 3), np.uint8), letter) for letter in "ABC")
    setter = Typesetter("Head")
    setter.title("Title", "Authors")
    setter.figure(Plate("Figure 1", "Caption.", cells, 2, making, "above", is_wide=False))
    page_number, boxes = setter.placed["Figure 1"]
    pdf = setter.to_pdf("Title", "Author")

    for cell, box in zip(cells, boxes, strict=True):
        inside = render(pdf, page_number, box, 90)
        assert abs(box.height / box.width - 60 / 90) < 1e-6
        # the inks of print come back a little off
        assert np.abs(inside[2:-2, 2:-2].astype(int) - cell.pixels[0, 0]).mean() < (9 if making == "cmyk" else 4)


def test_pictures_end_where_the_truth_says(drawn: list[DrawnArticle]) -> None:
    checked = 0
    for article in drawn:
        for panel in article.truth:
            if panel.page_box is None or panel.kind == "chart":
                continue
            box, pdf = panel.page_box, article.served.pdf.body
            grown = BoxPt(box.x0 - 2, box.y0 - 2, box.x1 + 2, box.y1 + 2)
            picture = render(pdf, panel.page_number, grown, int(grown.width * 4))
            # the glass of a section is drawn at 247 at most
            white = (picture >= 250).all(2)
            # 0.5 to 1.5 points outside and inside each edge, at four pixels a point
            outside = [picture[2:6], picture[-6:-2], picture[:, 2:6], picture[:, -6:-2]]
            within = [white[10:14, 20:-20], white[-14:-10, 20:-20], white[20:-20, 10:14], white[20:-20, -14:-10]]
            # a picture of a third of the size rings that far into its gutter
            assert min(strip.mean() for strip in outside) > 240, panel
            assert max(strip.mean() for strip in within) < 0.5, panel
            checked += 1
    assert checked > 25


def test_the_same_seed_gives_the_same_bytes() -> None:
    plan = small(PLAN[3:4])

    first, again = ([dict(a.served.objects()) for a in draw_articles(1, plan=plan)] for _ in range(2))
    other = [dict(a.served.objects()) for a in draw_articles(2, plan=plan)]

    assert first == again
    assert first != other


def test_xml_names_its_ids_its_licence_and_its_pictures(drawn: list[DrawnArticle]) -> None:
    for article in drawn:
        served = article.served
        root = ET.fromstring(served.xml.body)
        ids = {e.get("pub-id-type"): e.text for e in root.iter("article-id")}
        custom = {e.findtext("meta-name"): e.findtext("meta-value") for e in root.iter("custom-meta")}
        hrefs = [e.get(XLINK) for e in root.iter("graphic")]
        assert (ids["pmcid"], ids["pmcid-ver"]) == (served.pmcid, served.article_id)
        assert custom["pmc-license-ref"] == served.licence_code
        assert root.findtext("front/article-meta/article-version") == str(served.version)
        if served.media:
            assert hrefs == [name for name, _ in served.media]
        assert [e.text for e in root.findall(".//fig/label")] == [f"Figure {i + 1}" for i in range(len(hrefs))]


def test_there_is_one_of_everything_a_harvest_must_cope_with(drawn: list[DrawnArticle]) -> None:
    served = [article.served for article in drawn]
    makings = {figure.making for article in PLAN for figure in article.figures}
    letters = {figure.letters for article in PLAN for figure in article.figures}

    assert {s.licence_code for s in served} >= {"CC BY", "CC0", "CC BY-NC", "CC BY-ND", "TDM"}
    assert sum(s.is_retracted for s in served) == 1
    assert sorted(s.version for s in served if s.pmcid == served[-2].pmcid) == [1, 2]
    assert any(s.pdf is None and s.media for s in served)
    assert makings == {"separate", "flat", "png", "strips", "tiles", "cmyk"}
    assert letters == {"none", "raster", "inside", "above"}
    assert {p.picture for a in drawn for p in a.truth} >= set(RECIPES)


def test_files_have_the_md5_that_the_record_announces(drawn: list[DrawnArticle]) -> None:
    for article in drawn:
        objects = dict(article.served.objects())
        record = json.loads(article.served.record.body)
        urls = [record[key] for key in ("xml_url", "pdf_url", "text_url") if key in record]
        for url in urls + record.get("media_urls", []):
            key, _, md5 = url.removeprefix("s3://pmc-oa-opendata/").partition("?md5=")
            assert hashlib.md5(objects[key].body).hexdigest() == md5


def test_only_panels_that_may_be_used_are_expected(drawn: list[DrawnArticle]) -> None:
    expected = expected_panels(drawn)

    articles = {panel.article_id for panel in expected}
    assert all(panel.kind == "he" and panel.mpp_um for panel in expected)
    assert not articles & {a.served.article_id for a in drawn if a.served.is_retracted or a.served.pdf is None}
    assert not articles & {a.served.article_id for a in drawn if a.served.licence_code in ("CC BY-ND", "TDM")}
    assert len(json.loads(truth_as_json(drawn))) == sum(len(a.truth) for a in drawn)


def test_four_inks_come_back_as_the_colours_they_were() -> None:
    colours = np.asarray([[[200, 120, 170], [110, 90, 160]]], np.uint8).repeat(40, 0).repeat(40, 1)
    with pymupdf.open() as document:
        page = document.new_page(width=80, height=40)
        page.insert_image(page.rect, stream=encode_jpeg(colours, cmyk=True), keep_proportion=False)
        assert document.extract_image(document.get_page_images(0)[0][0])["colorspace"] == 4
        pdf = document.tobytes()

    back = render(pdf, 1, BoxPt(0, 0, 80, 40), 80)

    assert np.abs(back[:, 5:35].astype(int) - colours[:, 5:35]).max() < 20


def test_scale_bars_are_as_long_as_their_label_says() -> None:
    pixels = np.full((300, 400, 3), 200, np.uint8)
    plate = Plate("Figure 1", "", (Cell(pixels, "", (120.0, "60 µm")),), 1, "flat", "none", has_raster_bars=True)

    burned = plate.composed()

    longest = max((burned == 0).all(2).sum(1))
    assert longest == 120
    assert (pixels == 200).all(), "the cell itself stays as it was"


def test_bars_and_captions_on_the_page_can_be_read_back(drawn: list[DrawnArticle]) -> None:
    article = drawn[0]
    shown = [panel for panel in article.truth if panel.bar_um]
    with pymupdf.open(stream=article.served.pdf.body, filetype="pdf") as document:
        page = document[shown[0].page_number - 1]
        words = " ".join(page.get_text().split())
        lines = [item for path in page.get_drawings() for item in path["items"] if item[0] == "l"]

    assert "200 µm" in words and "100 µm" in words and "original magnification ×200" in words
    lengths_um = [
        (end.x - start.x) / panel.page_box.width * panel.width_px * panel.mpp_um
        for (_, start, end), panel in zip(lines, shown, strict=True)
    ]
    assert lengths_um == pytest.approx([panel.bar_um for panel in shown], rel=1e-3)
