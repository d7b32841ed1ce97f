"""A real server on loopback, a real Chromium where there is one, and a harvest with something to review."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pymupdf
import pytest

from db import models
from db.models import table
from harvester.catalog import Catalog
from harvester.geometry import BoxPt, BoxPx
from harvester.records import ArticleResult, FigureRow, PanelRow, SnapshotRow
from harvester.review.queue import Queue
from harvester.review.serve import listen, make_server
from tests.harvester.small_harvest import make_article, make_estimate, open_blank, save_model, store_png, write_pdf

HOSTILE = '<script>document.title="taken"</script><img src=x onerror="document.title=1">&amp;\'"`{{7*7}}${1}'


def tissue(seed: int, width: int = 400, height: int = 300) -> bytes:
    """A pink picture with dark dots, as PNG."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), (205, 170, 225), np.uint8)
    for x, y in rng.integers(0, (width, height), (160, 2)):
        cv2.circle(pixels, (int(x), int(y)), int(rng.integers(3, 7)), (110, 50, 90), -1)
    return cv2.imencode(".png", pixels)[1].tobytes()


def page_with(png: bytes, *, rotation: int = 0) -> bytes:
    """A PDF of two pages; the picture stands at (100, 100, 300, 250) of the second as displayed."""
    document = pymupdf.open()
    document.new_page(width=500, height=700)
    page = document.new_page(width=500, height=700)
    page.insert_text((100, 80), "Beside the figure")
    page.insert_image(pymupdf.Rect(100, 100, 300, 250), stream=png)
    page.set_rotation(rotation)
    return document.tobytes()


def add_figure(
    catalog: Catalog, number: int, *, n: int = 1, mpp_um: float | None = 0.5, width: float = 1.3,
    pdf: bytes | None = None, bar_um: float | None = None, he_score: float = 0.95, abstained: bool = False,
    caption: str = "Liver, H&E, x400.", **values
) -> list[str]:  # fmt: skip
    """An article with one figure of n panels side by side on page 2, a snapshot each; returns the snapshot ids."""
    article = make_article(number, **values)
    png = tissue(number)
    catalog.save_article(article, [write_pdf(catalog.root, article.article_id, pdf or page_with(png))])
    save_model(catalog)
    figure_id, panels, snapshots, whole = f"{article.article_id}/f1", [], [], BoxPx(0, 0, 400, 300)
    path, sha = store_png(catalog.root, png)
    for i in range(n):
        x0 = 100 + i * 200 / n
        letter = "abcdefgh"[i]
        page_box = BoxPt(x0, 100, x0 + 200 / n, 250)
        box = BoxPx(i * 400, 0, i * 400 + 400, 300)
        panel = PanelRow(
            f"{figure_id}/{letter}", figure_id, letter.upper(), caption, box, page_box, 400, 300, "he", 0.9
        )
        panels.append(panel)
        snapshots.append(SnapshotRow(f"{panel.panel_id}/s1", panel.panel_id, whole, he_score, 0.7, path, sha, "0" * 16))
    figure = FigureRow(figure_id, "Figure 1", caption, None, 2, BoxPt(100, 100, 300, 250), 400 * n, 300, "pdf")
    estimates = [make_estimate(s.snapshot_id, mpp_um, width=width, abstained=abstained) for s in snapshots]
    catalog.save_result(
        ArticleResult(article.article_id, figures=(figure,), panels=tuple(panels), snapshots=tuple(snapshots)),
        estimates,
    )
    if bar_um:
        with catalog.writing() as connection:
            for panel in panels:
                row = {"evidence_id": f"{panel.panel_id}/e1", "panel_id": panel.panel_id, "kind": "scale_bar",
                       "text": "50 µm", "value": 50.0, "unit": "µm", "bar_px": 50.0 / bar_um, "mpp_um": bar_um,
                       "magnification_x": 10 / bar_um, "score": 0.9}  # fmt: skip
                connection.execute(table(models.Evidence).insert(), row)
    return [s.snapshot_id for s in snapshots]


@contextmanager
def five_articles(root: Path) -> Iterator[Catalog]:
    """A harvest of five articles, one for each reason to look, told apart by their numbers."""
    with open_blank(root) as catalog:
        add_figure(catalog, 1)
        add_figure(catalog, 2, width=2.0)
        add_figure(catalog, 3, abstained=True)
        add_figure(catalog, 4, bar_um=1.5, journal="Journal of Bars", year=2021)
        add_figure(catalog, 5, he_score=0.6, caption="Kidney, PAS-free words.", journal="J Kidney", year=2020)
        yield catalog


@dataclass(frozen=True)
class Served:
    """A running page."""

    address: str
    catalog: Catalog
    queue: Queue

    @property
    def origin(self) -> str:
        return self.address.partition("/?")[0]


@contextmanager
def serving(catalog: Catalog, *, blind: bool = False, reviewer: str = "ann") -> Iterator[Served]:
    """A page in a thread of its own."""
    queue = Queue(catalog, blind=blind)
    queue.refresh()
    with listen(0) as door:
        server, address = make_server(catalog, queue, door, reviewer=reviewer, blind=blind)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield Served(address, catalog, queue)
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def harvest(tmp_path: Path) -> Iterator[Catalog]:
    """Five articles that a test may change."""
    with five_articles(tmp_path / "harvest") as catalog:
        yield catalog


def find_browser() -> tuple[str, str] | None:
    """Return Chromium and its driver, None where they are not installed."""
    paths = shutil.which("chromium"), shutil.which("chromedriver")
    return (paths[0], paths[1]) if paths[0] and paths[1] else None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    """One Chromium for the tests of a module, without a window."""
    found = find_browser()
    if found is None:
        pytest.skip("the review page is driven in Chromium: install the packages chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
    yield driver
    driver.quit()
