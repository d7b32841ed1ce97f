"""Compound figures drawn by chance with the exact box of every panel: the truth for panel splitting.

Seeds below 10,000 are for development; seeds from 10,000 on are only for reported numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from harvester.geometry import BoxPx, RgbImage

HELD_OUT_SEED = 10_000
GUTTERS = ("white", "black", "grey", "thin_white", "thin_black", "none")


@dataclass(frozen=True)
class DrawnFigure:
    pixels: RgbImage
    boxes: tuple[BoxPx, ...]
    letters: tuple[str, ...]
    gutter: str
    kinds: tuple[str, ...]


def draw_figure(seed: int, gutter: str | None = None) -> DrawnFigure:
    """Draw one figure: 1 to 12 panels in a guillotine layout, mostly micrographs, some plots, blots and photos."""
    rng = np.random.default_rng(seed)
    gutter = gutter or str(rng.choice(GUTTERS, p=[0.5, 0.1, 0.08, 0.14, 0.08, 0.1]))
    width, height = int(rng.integers(500, 1800)), int(rng.integers(400, 1600))
    space = {"none": 0, "thin_white": int(rng.integers(2, 9)), "thin_black": int(rng.integers(2, 9))}.get(
        gutter, int(rng.integers(6, 40))
    )
    ground = {"black": 0, "thin_black": 0, "grey": int(rng.integers(90, 200))}.get(gutter, 255)
    margin = 0 if rng.random() < 0.6 else int(rng.integers(2, 30))
    inner = BoxPx(margin, margin, width - margin, height - margin)
    boxes = _layout(rng, inner, space)
    letters_outside = gutter == "white" and rng.random() < 0.35
    letter_height = int(rng.integers(14, 30))
    canvas: RgbImage = np.full((height, width, 3), ground, np.uint8)
    truth, kinds, letters = [], [], []
    upper = rng.random() < 0.7
    for k, box in enumerate(sorted(boxes, key=lambda b: (b.y0, b.x0))):
        if letters_outside and box.height > 6 * letter_height:
            band = BoxPx(box.x0, box.y0, box.x1, box.y0 + letter_height + 8)
            box = BoxPx(box.x0, band.y1, box.x1, box.y1)
        else:
            band = None
        kind = str(rng.choice(["tissue", "tissue_glass", "photo", "plot", "blot"], p=[0.58, 0.2, 0.1, 0.08, 0.04]))
        if ground != 255 and kind == "plot":
            kind = "tissue"
        if gutter == "none" and kind in ("plot", "blot"):
            kind = "tissue"
        letter = chr(ord("A" if upper else "a") + k)
        picture, tight = draw_panel(rng, kind, box.width, box.height)
        canvas[box.y0 : box.y1, box.x0 : box.x1] = picture
        place = BoxPx(box.x0 + tight.x0, box.y0 + tight.y0, box.x0 + tight.x1, box.y0 + tight.y1)
        size = letter_height / 30
        if band:
            cv2.putText(
                canvas, letter, (band.x0 + 2, band.y1 - 7), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 2, cv2.LINE_AA
            )
        elif kind != "plot" and rng.random() < 0.7:
            colour = (255, 255, 255) if rng.random() < 0.4 else (0, 0, 0)
            cv2.putText(
                canvas,
                letter,
                (box.x0 + 6, box.y0 + letter_height + 4),
                cv2.FONT_HERSHEY_SIMPLEX,
                size,
                colour,
                2,
                cv2.LINE_AA,
            )
        truth.append(place)
        kinds.append(kind)
        letters.append(letter)
    if rng.random() < 0.7:
        quality = int(rng.integers(55, 96))
        encoded = cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        canvas = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    return DrawnFigure(canvas, tuple(truth), tuple(letters), gutter, tuple(kinds))


def _layout(rng: Generator, box: BoxPx, space: int) -> list[BoxPx]:
    """Cut a box into 1 to 12 cells: a grid (half the time), rows with their own columns, or nested cuts."""
    least = 110
    style = rng.random()
    if style < 0.12:
        return [box]
    if style < 0.85:
        n_rows = int(rng.integers(1, 1 + min(4, max(1, box.height // (least + space + 60)))))
        n_columns = int(rng.integers(1 if n_rows > 1 else 2, 5))
        cells = []
        for row in _share(rng, box.y0, box.y1, n_rows, space, even=rng.random() < 0.7):
            columns = n_columns if style < 0.6 else int(rng.integers(1, 5))
            columns = min(columns, max(1, box.width // (least + space)))
            cells += [
                BoxPx(a, row[0], b, row[1]) for a, b in _share(rng, box.x0, box.x1, columns, space, even=style < 0.6)
            ]
        return cells
    cells = [box]
    for _ in range(int(rng.integers(2, 7))):
        largest = max(cells, key=lambda b: b.area)
        along_x = largest.width > largest.height
        if max(largest.width, largest.height) < 2 * least + space:
            break
        cells.remove(largest)
        low, high = (largest.x0, largest.x1) if along_x else (largest.y0, largest.y1)
        for a, b in _share(rng, low, high, 2, space, even=False):
            cells.append(BoxPx(a, largest.y0, b, largest.y1) if along_x else BoxPx(largest.x0, a, largest.x1, b))
    return cells


def _share(rng: Generator, low: int, high: int, n: int, space: int, *, even: bool) -> list[tuple[int, int]]:
    usable = high - low - space * (n - 1)
    weights = np.ones(n) if even else rng.uniform(0.7, 1.5, n)
    stops = np.round(np.cumsum(weights / weights.sum()) * usable).astype(int)
    starts = np.concatenate(([0], stops[:-1]))
    return [
        (low + int(a) + k * space, low + int(b) + k * space) for k, (a, b) in enumerate(zip(starts, stops, strict=True))
    ]


def draw_panel(rng: Generator, kind: str, width: int, height: int) -> tuple[RgbImage, BoxPx]:
    """Return a picture (height, width, 3) and the box inside it that counts as the panel."""
    whole = BoxPx(0, 0, width, height)
    if kind == "tissue":
        return draw_tissue(rng, width, height), whole
    if kind == "tissue_glass":
        return draw_tissue(rng, width, height, glass=True), whole
    if kind == "photo":
        low, high = rng.uniform(0, 120, 3), rng.uniform(100, 255, 3)
        return _blend(_noise(rng, width, height, (3, 7, 30)), low, high), whole
    if kind == "blot":
        picture = _blend(_noise(rng, width, height, (2, 90)), np.full(3, 170.0), np.full(3, 225.0))
        for x in range(width // 12, width - width // 8, max(20, width // 6)):
            for y in range(height // 6, height - height // 8, max(24, height // 4)):
                cv2.ellipse(
                    picture,
                    (x + width // 20, y),
                    (max(4, width // 16), max(3, height // 40)),
                    0,
                    0,
                    360,
                    (40, 40, 40),
                    -1,
                )
        return cv2.GaussianBlur(picture, (5, 5), 0).astype(np.uint8), whole
    return draw_plot(rng, width, height)


def draw_plot(rng: Generator, width: int, height: int) -> tuple[RgbImage, BoxPx]:
    picture: RgbImage = np.full((height, width, 3), 255, np.uint8)
    x0, y0, x1, y1 = round(width * 0.16), round(height * 0.08), round(width * 0.95), round(height * 0.82)
    cv2.line(picture, (x0, y0), (x0, y1), (0, 0, 0), 2)
    cv2.line(picture, (x0, y1), (x1, y1), (0, 0, 0), 2)
    colour = tuple(int(v) for v in rng.integers(0, 200, 3))
    n = int(rng.integers(3, 8))
    for k in range(n):
        left = x0 + round((k + 0.25) * (x1 - x0) / n)
        top = y0 + round(rng.uniform(0.05, 0.8) * (y1 - y0))
        cv2.rectangle(picture, (left, top), (left + round(0.5 * (x1 - x0) / n), y1), colour, -1)
        cv2.putText(picture, f"{k}", (left, y1 + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    for k in range(4):
        cv2.putText(
            picture,
            f"{k * 20}",
            (max(0, x0 - 26), y1 - k * (y1 - y0) // 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.35,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    ys, xs = np.nonzero(picture.min(axis=2) < 200)
    return picture, BoxPx(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)


def draw_tissue(rng: Generator, width: int, height: int, *, glass: bool = False) -> RgbImage:
    """Draw something with the colours and the grain of stained tissue: stroma, nuclei, pale lumens, glass on demand."""
    pink, pale = np.array([226.0, 150, 190]) + rng.normal(0, 12, 3), np.array([246.0, 214, 228]) + rng.normal(0, 5, 3)
    picture = _blend(_noise(rng, width, height, (3, 8, 25, 70)), pink, pale)
    nucleus = tuple(float(v) for v in np.clip(np.array([110, 70, 150]) + rng.normal(0, 18, 3), 0, 255))
    radius = rng.uniform(3, 9)
    for _ in range(int(width * height / (radius * radius * rng.uniform(20, 60)))):
        centre = int(rng.integers(0, width)), int(rng.integers(0, height))
        axes = int(radius * rng.uniform(0.7, 1.4)), max(1, int(radius * rng.uniform(0.5, 1)))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, nucleus, -1, cv2.LINE_AA)
    bright = int(rng.integers(236, 256))
    holes = np.full(3, float(bright))
    field = _noise(rng, width, height, (60, 120))
    if rng.random() < 0.5:
        mask = field > np.quantile(field, rng.uniform(0.86, 0.99))
        picture[mask] = np.clip(holes + rng.normal(0, 1.5, (int(mask.sum()), 3)), 0, 255).astype(np.uint8)
    if glass:
        # a slide's edge: everything beyond a wavy line is glass, often the whole of one side of the picture
        along_x = rng.random() < 0.5
        n, other = (width, height) if along_x else (height, width)
        wave = np.interp(np.arange(n), np.linspace(0, n, 9), rng.uniform(-0.06, 0.06, 9)) * other
        depth = rng.uniform(0.15, 0.5) * other
        line = (depth + wave + rng.normal(0, 1.5, n)).clip(0, other)
        mask = (
            np.arange(other)[:, None] < line[None]
            if rng.random() < 0.5
            else np.arange(other)[:, None] > other - line[None]
        )
        mask = mask if along_x else mask.T
        picture[mask] = np.clip(holes + rng.normal(0, 1.5, (int(mask.sum()), 3)), 0, 255).astype(np.uint8)
        if rng.random() < 0.3:  # a pale band right across, tissue on both sides
            at, thick = rng.uniform(0.3, 0.6) * height, rng.uniform(0.04, 0.15) * height
            upper = at + np.interp(np.arange(width), np.linspace(0, width, 7), rng.uniform(-0.03, 0.03, 7)) * height
            band = (np.arange(height)[:, None] > upper[None]) & (np.arange(height)[:, None] < upper[None] + thick)
            picture[band] = np.clip(holes + rng.normal(0, 1.5, (int(band.sum()), 3)), 0, 255).astype(np.uint8)
    return picture


def _noise(rng: Generator, width: int, height: int, grains_px: tuple[int, ...]) -> NDArray[np.float64]:
    total = np.zeros((height, width))
    for grain in grains_px:
        small = rng.normal(0, 1, (max(2, height // grain + 2), max(2, width // grain + 2)))
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = np.quantile(total, [0.02, 0.98])
    return np.asarray(((total - low) / max(1e-9, high - low)).clip(0, 1))


def _blend(field: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> RgbImage:
    return np.clip(low + field[..., None] * (high - low), 0, 255).astype(np.uint8)


def matched(found: list[BoxPx], true: tuple[BoxPx, ...], least_iou: float = 0.66) -> int:
    """Return how many true boxes are found, one to one (ImageCLEF's rule: overlap above 0.66)."""
    pairs = sorted(((a.iou(b), i, j) for i, a in enumerate(found) for j, b in enumerate(true)), reverse=True)
    used_found: set[int] = set()
    used_true: set[int] = set()
    for overlap, i, j in pairs:
        if overlap > least_iou and i not in used_found and j not in used_true:
            used_found.add(i)
            used_true.add(j)
    return len(used_true)
