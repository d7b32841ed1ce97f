"""The report of drawn and of real small harvests: complete, safe, self-contained, the same every time."""

from __future__ import annotations

import itertools
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harvester.catalog import Catalog
from harvester.cli import main
from harvester.records import Skip
from harvester.report.facts import read_facts
from harvester.report.pictures import BUDGET_BYTES, Album, add_snapshots, needs_blur, thumbnail
from harvester.report.scan import may_show
from harvester.report.words import plain, words_of
from harvester.report.write import MAX_BYTES, write_report
from tests.harvester.report.drawn import draw_harvest
from tests.harvester.small_harvest import add_article, open_blank

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}\u202e\x00&amp;"


class Page(HTMLParser):
    """Collects elements, their attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    draw_harvest(root, 600)
    return root


def report_of(root: Path, **options) -> str:
    return write_report(root, root / "report.html", **options).read_text("utf-8")


def test_the_report_of_an_empty_harvest_says_so(tmp_path):
    open_blank(tmp_path).close()

    page = Page(report_of(tmp_path))

    assert "No snapshot of this harvest has a pixel size yet." in page.text
    assert "No model has seen this harvest yet." in page.text


def test_nothing_is_loaded_or_run(drawn):
    page = Page(report_of(drawn, pictures=False))

    names = {name for name, _ in page.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video"}
    addresses = [
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in ("href", "src", "srcset")
    ]
    assert addresses
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in addresses)
    assert not re.search(r"url\(|@import", report_of(drawn, pictures=False))


def test_every_picture_and_plot_has_words_and_every_link_a_target(drawn):
    page = Page(report_of(drawn, pictures=False))

    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes in page.elements:
        if name == "img":
            assert attributes.get("alt")
        if name == "svg":
            assert set(attributes["aria-labelledby"].split()) <= set(ids)
        if name == "section":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_hostile_words_are_text(tmp_path):
    root = tmp_path / "bad <b>name"
    draw_harvest(root, 60, text=HOSTILE)

    html = report_of(root, pictures=False)
    page = Page(html)

    assert "<script" not in html
    assert not [name for name, attributes in page.elements if any(key.startswith("on") for key in attributes)]
    assert "<img src=x onerror=alert(2)>" in page.text
    assert "{{7*7}}" in page.text
    assert "bad <b>name" in page.text
    assert "\u202e" not in html and "\x00" not in html


def test_numbers_of_the_page_are_those_of_the_catalog(drawn):
    with Catalog.open(drawn) as catalog:
        facts, rows = read_facts(catalog), list(catalog.snapshots())

    conflicts = [row for row in rows if row["agreement"] == "conflict"]
    assert conflicts
    assert facts.scan.n == facts.funnel.snapshots == len(rows) == 600
    assert facts.scan.agreement["conflict"] == len(conflicts)
    assert facts.scan.scales["all"].n == sum(row["mpp_um"] is not None for row in rows)
    assert sum(facts.scan.unscaled.values()) == sum(row["mpp_um"] is None for row in rows)
    assert sum(item.n_conflicts for item in facts.scan.bars.values()) == len(conflicts)
    compared = [r for r in rows if r["bar_mpp_um"] and not r["image_abstained"]]
    assert facts.scan.image_bar.n == len(compared)
    inside = sum(r["image_mpp_lo_um"] <= r["bar_mpp_um"] <= r["image_mpp_hi_um"] for r in compared)
    assert facts.scan.image_bar.n_inside == inside
    assert all(shot.agreement == "conflict" for shot in facts.scan.worst.items()[: len(conflicts)])


def test_the_words_name_the_conflict(drawn):
    page = Page(report_of(drawn, pictures=False))

    assert "outside the image's 99 % interval: a conflict, so no value is given." in page.text
    assert re.search(r"1 of 2 bars contradicts the tissue, on average 1\d times coarser", page.text)


def test_the_same_catalog_gives_the_same_file_and_a_seed_another_draw(drawn):
    first = report_of(drawn, pictures=False)

    assert report_of(drawn, pictures=False) == first
    assert report_of(drawn, pictures=False, seed="2") != first


def test_only_crops_that_may_be_passed_on_are_drawn(drawn):
    with Catalog.open(drawn) as catalog:
        facts = read_facts(catalog)

    assert len(facts.scan.kept.items()) == 24
    assert {shot.licence_code for shot in facts.scan.kept.items()} <= {"CC BY", "CC0", "CC BY-NC"}
    assert facts.scan.n_not_showable == 150
    assert may_show("own", None, "permission")
    assert not may_show("CC BY", "CC BY-ND", None)
    assert not may_show("CC BY", None, "with permission of the publisher")
    assert not may_show(None, None, None)


def test_pictures_are_small_and_missing_ones_are_named(tmp_path):
    with open_blank(tmp_path) as catalog:
        add_article(catalog, 1, n=3)
        lost = catalog.rows("SELECT image_path FROM snapshot ORDER BY snapshot_id LIMIT 1")[0]["image_path"]
    (tmp_path / lost).unlink()

    page = Page(report_of(tmp_path))

    assert sum(name == "img" for name, _ in page.elements) == 2
    assert "the file is not there" in page.text
    assert "Doe J et al. J Test 2020; 1." in page.text


def test_a_path_out_of_the_harvest_is_not_followed(tmp_path):
    root = tmp_path / "harvest"
    with open_blank(root) as catalog:
        add_article(catalog, 1, n=1)
        facts = read_facts(catalog)
    secret = tmp_path / "secret.png"
    (root / facts.scan.kept.items()[0].image_path).rename(secret)
    shot = facts.scan.kept.items()[0]._replace(image_path="../secret.png")
    album = Album()

    add_snapshots(album, root, [shot])

    assert secret.exists()
    assert not album.addresses


def test_the_budget_of_pictures_is_kept():
    noise = np.random.default_rng(1).integers(0, 255, (900, 1200, 3), np.uint8)
    jpeg = thumbnail(noise)
    album = Album()

    for i in range(500):
        album.add(f"s{i}", jpeg)

    assert sum(map(len, album.addresses.values())) <= BUDGET_BYTES < MAX_BYTES
    assert album.missing["s499"] == "no room left in the file"


def test_what_may_show_people_is_blurred_beyond_recognition():
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[::2] = 255

    import cv2

    sharp = cv2.imdecode(np.frombuffer(thumbnail(pixels), np.uint8), cv2.IMREAD_COLOR)
    blurred = cv2.imdecode(np.frombuffer(thumbnail(pixels, blur=True), np.uint8), cv2.IMREAD_COLOR)

    assert np.abs(np.diff(sharp[:, :, 0].astype(int), axis=0)).mean() > 100
    assert np.abs(np.diff(blurred[:, :, 0].astype(int), axis=0)).mean() < 3
    assert needs_blur("gross", 0.99) and needs_blur("other", 0.99) and needs_blur("chart", 0.2)
    assert not needs_blur("chart", 0.9)


def test_failures_are_listed_with_their_reason(tmp_path):
    with open_blank(tmp_path) as catalog:
        add_article(catalog, 1, n=1, skips=(Skip("PMC1.1", "PMC1.1", "annotate", "timeout", "It took too long."),))

    page = Page(report_of(tmp_path, pictures=False))

    assert "1 thing failed" in page.text
    assert "took too long to read" in page.text


def test_the_command_writes_the_file_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    draw_harvest(tmp_path / "h", 20)

    done = CliRunner().invoke(main, ["report", str(tmp_path / "h"), "--no-pictures"])
    elsewhere = CliRunner().invoke(
        main, ["report", str(tmp_path / "h"), "--no-pictures", "--out", str(tmp_path / "r.html")]
    )

    assert done.exit_code == elsewhere.exit_code == 0, done.output
    assert (tmp_path / "h" / "report.html").read_bytes() == (tmp_path / "r.html").read_bytes()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("arguments", [["report", "nowhere"], ["report", "h", "--out", "no/folder/r.html"]])
def test_what_cannot_start_says_why(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    draw_harvest(tmp_path / "h", 10)

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_words_from_outside_are_tidied_and_unknown_codes_kept():
    assert plain("a\x00b\u202ec\n d" + "x" * 400).startswith("a b c d")
    assert len(plain("x" * 400)) == 300
    assert words_of("something_new") == "something new"


@pytest.mark.slow
def test_refused_panels_are_cut_from_their_article_again(shared_dir, tmp_path):
    from tests.harvester.harvests import harvester

    article = shared_dir / "articles" / "PMC4709619"
    assert harvester("add", article, "--out", tmp_path, "--license", "CC BY").returncode == 0
    assert harvester("annotate", tmp_path, "--workers", "1").returncode == 0

    result = harvester("report", tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))

    assert result.returncode == 0, result.stderr
    refused = [a["alt"] for name, a in page.elements if name == "img" and a["alt"].startswith("Refused panel")]
    assert refused
    assert (tmp_path / "report.html").stat().st_size < MAX_BYTES
