"""Compound figures as journals print them, laid out by chance, with the exact box and letter of every panel.

Seeds below 10,000 are for development; seeds from 10,000 on are only for reported numbers, and take other micrographs.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pymupdf
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from harvester.geometry import BoxPt, BoxPx, RgbImage
from harvester.records import Figure, Raster

from .drawn_figures import draw_plot, draw_tissue

HELD_OUT_SEED = 10_000
GUTTERS = {
    "white": 0.36,
    "black": 0.1,
    "thin white": 0.18,
    "thin black": 0.1,
    "borders that touch": 0.12,
    "none": 0.14,
}
LAYOUTS = {"one": 0.08, "grid": 0.4, "rows": 0.2, "columns": 0.1, "nested": 0.22}
STYLES = ("A", "A.", "(A)", "a", "(a)", "a)", "I", "1", "none")
FONTS = ("helv", "hebo", "tiro", "tibo", "cour")
LEAST_PX = 110
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI")


@dataclass(frozen=True)
class Compound:
    """A drawn figure and its truth.

    Attributes:
        figure: As the documents stage gives it: one raster, one pixel a point; letters set as text are its `letters`.
        boxes, labels: Of every panel; an inset belongs to the panel it lies in, letters outside to none.
        layout, gutter, style: How it was drawn.
        has_text: Whether the letters are text of the page; otherwise they are pixels alone.
    """

    figure: Figure
    boxes: tuple[BoxPx, ...]
    labels: tuple[str | None, ...]
    layout: str
    gutter: str
    style: str
    has_text: bool


def draw_compound(seed: int, micrographs: Path | None = None) -> Compound:
    """Draw one figure of 1 to 16 panels.

    Args:
        micrographs: Folder with catalog.csv and real micrographs, taken for half of the panels; drawn tissue without.
    """
    rng = np.random.default_rng(seed)
    gutter = str(rng.choice(list(GUTTERS), p=list(GUTTERS.values())))
    layout = str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
    space = {"white": int(rng.integers(6, 40)), "black": int(rng.integers(6, 30))}.get(gutter, 0)
    if gutter.startswith("thin"):
        space = int(rng.integers(2, 6))
    width, height = int(rng.integers(520, 1500)), int(rng.integers(420, 1300))
    ground = 0 if "black" in gutter else 255
    margin = 0 if gutter == "none" or rng.random() < 0.6 else int(rng.integers(3, 25))
    cells = _cells(rng, BoxPx(margin, margin, width - margin, height - margin), layout, space)
    style = "none" if len(cells) == 1 else str(rng.choice(STYLES))
    outside = gutter == "white" and style != "none" and rng.random() < 0.4
    has_text = style != "none" and rng.random() < 0.6
    size = int(rng.integers(14, 32))
    font = ImageFont.truetype(io.BytesIO(_font(str(rng.choice(FONTS)))), size)
    pixels: RgbImage = np.full((height, width, 3), ground, np.uint8)
    boxes, labels, texts = [], [], []
    for k, cell in enumerate(sorted(cells, key=lambda b: (b.y0, b.x0))):
        box = BoxPx(cell.x0, cell.y0 + size + 6, cell.x1, cell.y1) if outside else cell
        picture, tight = _picture(rng, box, gutter, seed, micrographs)
        if gutter == "borders that touch":
            picture[:2], picture[-2:], picture[:, :2], picture[:, -2:] = 0, 0, 0, 0
        box.crop(pixels)[:] = picture
        boxes.append(tight.shifted(box.x0, box.y0))
        label = _label(style, k)
        labels.append(label)
        if label:
            texts.append((_printed(style, label), cell.x0 + 5, cell.y0 + 3))
    page_box = BoxPt(0, 0, width, height)
    canvas = Image.fromarray(pixels)
    pen = ImageDraw.Draw(canvas)
    letters = []
    for words, x, y in texts:
        dark = outside or float(pixels[y : y + size, x : x + size].mean()) > 110
        pen.text((x, y), words, font=font, fill=(0, 0, 0) if dark else (255, 255, 255))
        if has_text:
            letters.append((words, BoxPt(*map(float, pen.textbbox((x, y), words, font=font)))))
    pixels = np.asarray(canvas).copy()
    if rng.random() < 0.75:
        quality = int(rng.choice([55, 70, 80, 90, 95]))
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    caption = "Sections of the organ."
    if style != "none":
        caption += "".join(f" {_printed(style, label)} Treatment {k}." for k, label in enumerate(labels) if label)
    whole = Raster(pixels, page_box, "pdf")
    figure = Figure(f"PMC{seed}.1/f1", "Figure 1", caption, None, 1, page_box, pixels, "pdf", (whole,), tuple(letters))
    return Compound(figure, tuple(boxes), tuple(labels), layout, gutter, style, has_text)


def _label(style: str, k: int) -> str | None:
    if style == "none":
        return None
    return _ROMAN[k] if style == "I" else str(k + 1) if style == "1" else chr(ord("A") + k)


def _printed(style: str, label: str) -> str:
    if style in ("I", "1"):
        return label
    return style.replace("A", label) if "A" in style else style.replace("a", label.lower())


@cache
def _font(name: str) -> bytes:
    return bytes(pymupdf.Font(name).buffer)


@cache
def _catalog(folder: Path, held_out: bool) -> tuple[str, ...]:
    """Return the micrographs of one half, parted by slide."""
    with (folder / "catalog.csv").open(newline="") as lines:
        rows = [r for r in csv.DictReader(lines) if r["kind"] == "he"]
    rows = [r for r in rows if min(int(r["width"]), int(r["height"])) >= 500]
    rows = [r for r in rows if max(int(r["width"]), int(r["height"])) <= 3000]
    rows = [r for r in rows if r["path"].endswith((".jpg", ".png"))]
    return tuple(sorted(r["path"] for r in rows if (crc32(r["slide_id"].encode()) % 2 == 1) == held_out))


def _picture(rng: Generator, box: BoxPx, gutter: str, seed: int, micrographs: Path | None) -> tuple[RgbImage, BoxPx]:
    width, height = box.width, box.height
    whole = BoxPx(0, 0, width, height)
    draw = rng.random()
    if gutter == "white" and draw < 0.08:
        return draw_plot(rng, width, height)
    names = _catalog(micrographs, seed >= HELD_OUT_SEED) if micrographs is not None and rng.random() < 0.5 else ()
    if names and micrographs is not None:
        name = names[int(rng.integers(len(names)))]
        real = np.asarray(Image.open(micrographs / name).convert("RGB"))
        zoom = max(width / real.shape[1], height / real.shape[0], float(rng.uniform(0.5, 1)))
        real = cv2.resize(real, None, fx=zoom * 1.01, fy=zoom * 1.01, interpolation=cv2.INTER_AREA)
        x, y = (int(rng.integers(0, n - m + 1)) for n, m in ((real.shape[1], width), (real.shape[0], height)))
        picture = np.ascontiguousarray(real[y : y + height, x : x + width])
    else:
        picture = draw_tissue(rng, width, height, glass=bool(rng.random() < 0.25))
    if rng.random() < 0.12 and min(width, height) > 200:
        w, h = width // 3, height // 3
        x, y = (0, width - w)[int(rng.integers(2))], height - h
        inset = cv2.resize(picture[h : h + h // 2, w : w + w // 2], (w, h), interpolation=cv2.INTER_CUBIC)
        picture[y : y + h, x : x + w] = inset
        cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), (0, 0, 0) if rng.random() < 0.5 else (255,) * 3, 2)
    return picture, whole


def _cells(rng: Generator, box: BoxPx, layout: str, space: int) -> list[BoxPx]:
    if layout == "one":
        return [box]
    if layout == "nested":
        cells = [box]
        for _ in range(int(rng.integers(2, 8))):
            largest = max(cells, key=lambda b: b.area)
            across = largest.width > largest.height
            if max(largest.width, largest.height) < 2 * LEAST_PX + space:
                break
            cells.remove(largest)
            cells += _row(rng, largest, 2, space, across=across, even=False)
        return cells
    by_columns = layout == "columns"
    even = layout == "grid"
    least = LEAST_PX + space
    n_bands = int(rng.integers(1, 1 + min(4, (box.width if by_columns else box.height) // least)))
    most = min(4, (box.height if by_columns else box.width) // least)
    n = int(rng.integers(2 if n_bands == 1 else 1, most + 1))
    cells = []
    for band in _row(rng, box, n_bands, space, across=by_columns, even=even):
        cells += _row(rng, band, n if even else int(rng.integers(1, most + 1)), space, across=not by_columns, even=even)
    return cells


def _row(rng: Generator, box: BoxPx, n: int, space: int, *, across: bool, even: bool) -> list[BoxPx]:
    low, high = (box.x0, box.x1) if across else (box.y0, box.y1)
    weights = np.ones(n) if even else rng.uniform(0.75, 1.4, n)
    stops = np.round(np.cumsum(weights / weights.sum()) * (high - low - space * (n - 1))).astype(int).tolist()
    starts = [0, *stops[:-1]]
    spans = [(low + a + k * space, low + b + k * space) for k, (a, b) in enumerate(zip(starts, stops, strict=True))]
    return [BoxPx(a, box.y0, b, box.y1) if across else BoxPx(box.x0, a, box.x1, b) for a, b in spans]
