"""Figure extraction against a bare PyMuPDF loop that only lists the images of each page and renders them.

    python tests/benchmarks/bench_figures.py [FOLDER OF ARTICLE FOLDERS] [REPEATS]

Both run in this process, in turn, article by article; the fastest of the repeats counts, so that the order and what the
operating system keeps in memory favour neither. The bare loop finds no figure, reads no text and ties no caption.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymupdf

from harvester.documents.figures import extract_figures
from harvester.documents.jats import parse_jats
from harvester.settings import DocumentSettings


def bare_loop(pdf: bytes) -> int:
    """List the images of every page and render each at its own scale; returns how many."""
    n_images = 0
    with pymupdf.open(stream=pdf, filetype="pdf") as document:
        for page in document:
            for image in page.get_image_info():
                box = pymupdf.Rect(image["bbox"]) & page.rect
                if box.is_empty:
                    continue
                zoom = pymupdf.Matrix(image["width"] / box.width, image["height"] / box.height)
                page.get_pixmap(matrix=zoom, clip=box)
                n_images += 1
    pymupdf.TOOLS.store_shrink(100)
    return n_images


def fastest(action: Callable[[], object], repeats: int) -> tuple[float, object]:
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - start)
    return best, result


def main(folder: Path, repeats: int) -> None:
    settings = DocumentSettings()
    total = {"pages": 0, "images": 0, "figures": 0, "bare": 0.0, "ours": 0.0}
    print(f"{'article':<12} {'pages':>5} {'images':>6} {'figures':>7} {'bare s':>8} {'ours s':>8} {'bare/ours':>9}")
    for article in sorted(p for p in folder.iterdir() if (p / "fulltext.pdf").exists()):
        pdf, xml = (article / "fulltext.pdf").read_bytes(), (article / "fulltext.xml").read_bytes()
        with pymupdf.open(stream=pdf, filetype="pdf") as document:
            n_pages = document.page_count
        bare_s, n_images = fastest(lambda pdf=pdf: bare_loop(pdf), repeats)
        ours_s, found = fastest(
            lambda pdf=pdf, xml=xml, name=article.name: extract_figures(name, pdf, parse_jats(xml), {}, settings),
            repeats,
        )
        n_figures = len(found[0])
        print(
            f"{article.name:<12} {n_pages:>5} {n_images:>6} {n_figures:>7} {bare_s:>8.3f} {ours_s:>8.3f}"
            f" {bare_s / ours_s:>9.2f}"
        )
        for key, value in zip(total, (n_pages, n_images, n_figures, bare_s, ours_s), strict=True):
            total[key] += value
    print(
        f"{'all':<12} {total['pages']:>5} {total['images']:>6} {total['figures']:>7} {total['bare']:>8.3f}"
        f" {total['ours']:>8.3f} {total['bare'] / total['ours']:>9.2f}"
    )
    print(
        f"pages/s: bare loop {total['pages'] / total['bare']:.1f}, extract_figures {total['pages'] / total['ours']:.1f}"
        f"; PyMuPDF {pymupdf.VersionBind}"
    )


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[3] / "shared" / "articles"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
