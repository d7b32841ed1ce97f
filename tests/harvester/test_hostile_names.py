"""File names as a stranger may write them, taken in by `add` and followed to every place where they are shown."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from harvester.catalog import Catalog
from harvester.export.dataset import export_dataset
from harvester.export.request import FORMATS, ExportRequest
from harvester.fetch.store import Store
from harvester.pipeline.add import add, find_articles
from harvester.records import Figure
from harvester.report.write import write_report
from tests.hagnifinder.drawn import draw_tissue
from tests.harvester.small_harvest import make_estimate, make_result, save_model, store_png

NAMES = (
    '=HYPERLINK("http:example.org","x").png',
    "<img src=x onerror=alert(1)><script>alert(2)<script>.png",
    "a..%2f..%2fescape.png",
    "line\nbreak, \"quoted\"; 'too'.png",
    "right\u202eleft.png",
    "@SUM(1+1)|cmd.png",
    "{{7*7}} ${x} `id` $(id).png",
)


@pytest.fixture(scope="module")
def harvest(tmp_path_factory):
    top = tmp_path_factory.mktemp("hostile")
    (top / "scans").mkdir()
    for seed, name in enumerate(NAMES):
        Image.fromarray(draw_tissue(260, 260, seed=seed)).save(top / "scans" / name)
    articles, n_ignored = find_articles([top / "scans"])
    assert n_ignored == 0
    with Catalog.open(top / "mine", create=True) as catalog:
        catalog.finish_run(catalog.start_run("add", {}), 0)
        add(articles, catalog, Store(top / "mine"), licence_code="own")
        save_model(catalog)
        for row in catalog.rows("select article_id from article"):
            result = make_result(row["article_id"], [store_png(catalog.root, png_of(row["article_id"]))])
            catalog.save_result(result, [make_estimate(f"{row['article_id']}/f1/a/s1")])
        yield catalog


def read_figures(article_id: str) -> Iterator[Figure]:
    pixels = np.random.default_rng(5).integers(0, 255, (200, 300, 3), np.uint8)
    yield Figure(f"{article_id}/f1", "Figure 1", article_id, None, 2, None, pixels, "pdf")


def png_of(text: str) -> bytes:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    buffer = io.BytesIO()
    Image.fromarray(draw_tissue(24, 24, seed=seed)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_name_is_taken_in_as_text_and_no_file_leaves_the_harvest(harvest):
    titles = {row["title"] for row in harvest.rows("select title from article")}

    assert len(titles) == len(NAMES)
    assert any(title.startswith("=HYPERLINK") for title in titles)
    top = harvest.root.parent
    assert sorted(p.name for p in top.iterdir()) == ["mine", "scans"]
    for path in harvest.root.rglob("*"):
        assert not any(sign in path.name for sign in "<>=%\n\u202e$`{|")


def test_the_report_shows_them_as_text(harvest, tmp_path):
    page = tmp_path / "report.html"
    write_report(harvest.root, page, pictures=False)

    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize("name", FORMATS)
def test_no_export_takes_a_name_for_a_path_a_formula_or_markup(harvest, tmp_path, name):
    dest = tmp_path / "set"
    export_dataset(harvest, dest, ExportRequest(name), read_figures=read_figures)

    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    cells: list[str] = []
    for path in dest.rglob("*"):
        assert not any(sign in path.name for sign in "<>=%\n\u202e$`{|")
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                cells += [cell for row in csv.reader(file) for cell in row]
        elif path.suffix in (".json", ".geojson"):
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix in (".md", ".html"):
            assert "<script" not in path.read_text(encoding="utf-8")
            assert "<img src=x" not in path.read_text(encoding="utf-8")
    assert any("=HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "@", "+", "\t")]


def test_the_review_page_shows_them_as_text(harvest):
    from tests.harvester.review.conftest import serving
    from tests.harvester.review.test_gate import Client

    with serving(harvest) as served:
        client = Client(served.address).enter()
        for path in ("/grid?state=all", "/"):
            text = client.ask(path)[2].decode()
            assert "<script>alert" not in text
            assert "<img src=x" not in text
