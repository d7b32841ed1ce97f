"""Scale bars drawn by chance over micrographs, with the true length of a pixel; and pictures without.

Seeds below 10,000 are for development; seeds from 10,000 on are only for reported numbers. The pictures under the bars
are parted the same way: a slide serves development or reports, by its name, never both.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pymupdf
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from harvester.demo.draw import RECIPES, draw_he
from harvester.geometry import BoxPx, RgbImage
from harvester.records import Figure, Panel, Raster, StatedLength

HELD_OUT_SEED = 10_000
STYLES = (
    "black", "white", "colour", "thin", "ticks", "box", "outlined", "checkered", "vertical", "unlabelled", "beside",
    "margin", "shrunk",
)  # fmt: skip
NEGATIVES = ("tissue", "arrows", "letters", "frame", "underline", "axis", "bands", "edge", "scratches")
COLOURS = {
    "blue": (20, 40, 200), "yellow": (250, 235, 30), "red": (220, 20, 30), "green": (20, 170, 60),
    "cyan": (40, 210, 230),
}  # fmt: skip
FONTS = ("helv", "hebo", "tiro", "tibo", "cour")
UNITS = ("µm", "µm", "µm", "μm", "um", "pm")


@dataclass(frozen=True)
class DrawnBar:
    """A picture with at most one bar.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        style: One of `STYLES` or `NEGATIVES`.
        mpp_um: By the bar as drawn; None without a bar.
        box: The bar in whole pixels.
        bar_px: Its length, outer end to outer end.
        label: As printed on the picture or, for an unlabelled bar, in the caption.
        stated: What the caption gives.
    """

    pixels: RgbImage
    style: str
    mpp_um: float | None = None
    box: BoxPx | None = None
    bar_px: float | None = None
    label: str | None = None
    length_um: float | None = None
    stated: tuple[StatedLength, ...] = ()


def as_panel(drawn: DrawnBar) -> tuple[Panel, Figure]:
    """Return the picture as the only panel of a figure without a page."""
    height, width = drawn.pixels.shape[:2]
    raster = Raster(drawn.pixels, None, "media")
    figure = Figure("drawn/f1", None, "", None, None, None, drawn.pixels, "media", (raster,))
    box = BoxPx(0, 0, width, height)
    return Panel("drawn/f1/p1", "drawn/f1", None, "", box, None, drawn.pixels), figure


def draw_bar(seed: int, style: str | None = None, histology: Path | None = None) -> DrawnBar:
    """Draw one picture; three in four have a bar.

    Args:
        histology: A folder of real micrographs with its `catalog.csv`; drawn tissue without.
    """
    rng = np.random.default_rng([seed, 81])
    if style is None:
        style = str(rng.choice(STYLES if rng.random() < 0.75 else NEGATIVES))
    pixels, mpp_um = _field(rng, histology, held_out=seed >= HELD_OUT_SEED)
    if style in NEGATIVES:
        return DrawnBar(_published(_decoy(rng, pixels, style), rng), style)
    return with_bar(rng, pixels, mpp_um, style)


@lru_cache(maxsize=4)
def _fields(histology: Path, held_out: bool) -> list[tuple[Path, float]]:
    with (histology / "catalog.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["kind"] == "he" and r["scale_quality"] != "C" and r["mpp_um"]]
    kept = []
    for row in rows:
        is_odd = hashlib.sha256(row["slide_id"].encode()).digest()[0] % 2
        if is_odd == held_out and min(int(row["width"]), int(row["height"])) >= 400 and int(row["width"]) < 4000:
            kept.append((histology / row["path"], float(row["mpp_um"])))
    return kept


@lru_cache(maxsize=16)
def _read(path: Path) -> RgbImage:
    return np.asarray(cv2.imread(str(path))[:, :, ::-1])


def _field(rng: Generator, histology: Path | None, *, held_out: bool) -> tuple[RgbImage, float]:
    width, height = int(rng.integers(320, 1100)), int(rng.integers(260, 900))
    if histology is None:
        mpp_um = float(np.exp(rng.uniform(np.log(0.2), np.log(3.0))))
        recipe = str(rng.choice(sorted(RECIPES)))
        return draw_he(recipe, mpp_um, min(width, 640), min(height, 520), int(rng.integers(1 << 30))), mpp_um
    fields = _fields(histology, held_out)
    path, mpp_um = fields[int(rng.integers(len(fields)))]
    picture = _read(path)
    # a smaller picture of the whole field, or a part of it at its own scale
    most = min(picture.shape[1], picture.shape[0])
    shrink = float(rng.uniform(1.0, max(1.0, min(3.0, most / 300))))
    picture = cv2.resize(picture, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    w, h = min(width, picture.shape[1]), min(height, picture.shape[0])
    x, y = int(rng.integers(picture.shape[1] - w + 1)), int(rng.integers(picture.shape[0] - h + 1))
    return np.ascontiguousarray(picture[y : y + h, x : x + w]), mpp_um * shrink


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(io.BytesIO(pymupdf.Font(name).buffer), size)


def _round_length(rng: Generator, field_um: float) -> float:
    """Return a length that people choose, between about 8 and 35 % of the field."""
    wanted = field_um * float(np.exp(rng.uniform(np.log(0.08), np.log(0.35))))
    steps = [m * 10.0**e for e in range(-1, 5) for m in (1, 2, 2.5, 4, 5, 7.5)]
    return min(steps, key=lambda s: abs(np.log(s / wanted)))


def _label(rng: Generator, length_um: float) -> tuple[str, float, str]:
    space = str(rng.choice(["", " ", " ", "\u2009"]))
    if length_um >= 1000 or (length_um >= 100 and rng.random() < 0.12):
        value, unit = length_um / 1000, "mm"
    else:
        value, unit = length_um, str(rng.choice(UNITS))
    return f"{value:g}{space}{unit}", value, unit


def with_bar(rng: Generator, pixels: RgbImage, mpp_um: float, style: str) -> DrawnBar:
    finer = int(rng.integers(2, 4)) if style == "shrunk" else 1
    if finer > 1:
        pixels = cv2.resize(pixels, None, fx=finer, fy=finer, interpolation=cv2.INTER_CUBIC)
        mpp_um /= finer
    height, width = pixels.shape[:2]
    field = (height if style == "vertical" else width) * mpp_um
    length_um = _round_length(rng, field)
    label, value, unit = _label(rng, length_um)
    n_px = max(12 * finer, round(length_um / mpp_um))
    # The published scale is that of the bar as drawn, in whole pixels.
    true_mpp = length_um / n_px
    size = int(np.clip(width * rng.uniform(0.022, 0.05), 11 * finer, 60))
    thick = {"thin": finer * int(rng.integers(1, 3)), "checkered": finer * int(rng.integers(4, 9))}.get(
        style, max(2 * finer, round(size * rng.uniform(0.12, 0.5)))
    )
    ink, ground = _inks(rng, style)
    luck = rng.integers(1 << 30)
    if style == "margin":
        band = np.full((int(2.2 * size + thick + 14), width, 3), 255, np.uint8)
        pixels = np.concatenate([pixels, band])
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L"
    font = _font(str(rng.choice(FONTS)), size)
    shown = "" if style == "unlabelled" else label
    tx0, ty0, tx1, ty1 = font.getbbox(shown) if shown else (0, 0, 0, 0)
    text_w, text_h = int(tx1 - tx0), int(ty1 - ty0)
    gap = max(2, round(size * rng.uniform(0.12, 0.4)))
    manner = "beside" if style == "beside" else str(rng.choice(["above", "below"]))
    if style == "vertical":
        block_w, block_h = thick + gap + text_w, max(n_px, text_h)
    elif manner == "beside":
        block_w, block_h = n_px + 2 * gap + text_w, max(thick, text_h)
    else:
        block_w, block_h = max(n_px, text_w), thick + gap + text_h
    x, y = _corner(rng, style, image.size, (block_w, block_h), size)
    if style in ("black", "white", "thin", "ticks", "unlabelled", "beside", "vertical", "checkered", "shrunk"):
        ink, ground = _seen(pixels[y : y + block_h, x : x + block_w], ink, ground, int(luck))
    if style == "box":
        pad = max(3, size // 3)
        draw.rectangle([x - pad, y - pad, x + block_w + pad, y + block_h + pad], fill=ground)
    if style == "vertical":
        bx, by, bw, bh = x, y + (block_h - n_px) // 2, thick, n_px
        at = (x + thick + gap, y + (block_h - text_h) // 2)
    elif manner == "beside":
        bx, by, bw, bh = x, y + (block_h - thick) // 2, n_px, thick
        at = (x + n_px + 2 * gap, y + (block_h - text_h) // 2)
    else:
        shift = (block_w - n_px) // 2
        text_shift = (block_w - text_w) // 2
        bx, by, bw, bh = x + shift, (y + text_h + gap if manner == "above" else y), n_px, thick
        at = (x + text_shift, y if manner == "above" else y + thick + gap)
    _strike(rng, draw, style, (bx, by, bw, bh), ink, ground, finer)
    if shown:
        edge = max(1, size // 14) if style == "outlined" else 0
        draw.text((at[0] - tx0, at[1] - ty0), shown, fill=ink, font=font, stroke_width=edge, stroke_fill=ground)
    done = np.asarray(image)
    if finer > 1:
        done = cv2.resize(done, (done.shape[1] // finer, done.shape[0] // finer), interpolation=cv2.INTER_AREA)
        true_mpp *= finer
    box = BoxPx(
        bx // finer, by // finer, max(bx // finer + 1, (bx + bw) // finer), max(by // finer + 1, (by + bh) // finer)
    )
    stated: tuple[StatedLength, ...] = ()
    if style == "unlabelled":
        name = "µm" if unit in UNITS else unit
        stated = (StatedLength(f"scale bar = {value:g} {name}", "scale_bar", value, name, length_um),)
    return DrawnBar(_published(done, rng), style, true_mpp, box, n_px / finer, label, length_um, stated)


def _inks(rng: Generator, style: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    black, white = (0, 0, 0), (255, 255, 255)
    if style == "black" or style == "margin":
        return black, white
    if style == "white":
        return white, black
    if style == "colour":
        return COLOURS[str(rng.choice(sorted(COLOURS)))], white
    if style == "outlined":
        return (white, black) if rng.random() < 0.6 else (black, white)
    choice = rng.random()
    if choice < 0.6:
        return black, white
    return (white, black) if choice < 0.85 else (COLOURS["blue"], white)


def _seen(
    under: RgbImage, ink: tuple[int, int, int], ground: tuple[int, int, int], luck: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Authors take another ink where theirs can't be seen; one in ten doesn't look."""
    light = float(under.mean())
    hidden = (light < 115 and max(ink) < 60) or (light > 195 and min(ink) > 200)
    return (ground, ink) if hidden and luck % 10 else (ink, ground)


def _corner(rng: Generator, style: str, size: tuple[int, int], block: tuple[int, int], em: int) -> tuple[int, int]:
    width, height = size
    edge = max(4, int(em * rng.uniform(0.4, 1.6)))
    right, low = max(2, width - block[0] - edge), max(2, height - block[1] - edge)
    if style == "margin":
        return (right if rng.random() < 0.6 else edge), height - block[1] - 5
    place = rng.random()
    if place < 0.6:
        return right, low
    if place < 0.85:
        return edge, low
    return (right, edge) if place < 0.93 else (edge, edge)


def _strike(
    rng: Generator,
    draw: ImageDraw.ImageDraw,
    style: str,
    box: tuple[int, int, int, int],
    ink: tuple[int, int, int],
    ground: tuple[int, int, int],
    finer: int,
) -> None:
    x, y, w, h = box
    if style == "outlined":
        edge = finer * int(rng.integers(1, 3))
        if rng.random() < 0.5:
            draw.rectangle([x - edge, y - edge, x + w - 1 + edge, y + h - 1 + edge], fill=ground)
        else:  # a shadow
            draw.rectangle([x + edge, y + edge, x + w - 1 + edge, y + h - 1 + edge], fill=ground)
    if style == "checkered":
        draw.rectangle([x, y, x + w - 1, y + h - 1], fill=(0, 0, 0))
        n = int(rng.choice([4, 5]))
        for k in range(1, n, 2):
            inset = 1
            draw.rectangle(
                [x + k * w // n, y + inset, x + (k + 1) * w // n - 1, y + h - 1 - inset], fill=(255, 255, 255)
            )
        return
    if style == "ticks":
        line = max(finer, h // 3)
        middle = y + h // 2
        draw.rectangle([x, middle - line // 2, x + w - 1, middle - line // 2 + line - 1], fill=ink)
        tall = max(h, 3 * line)
        for left in (x, x + w - line):
            draw.rectangle([left, middle - tall, left + line - 1, middle + tall], fill=ink)
        return
    draw.rectangle([x, y, x + w - 1, y + h - 1], fill=ink)


def _decoy(rng: Generator, pixels: RgbImage, style: str) -> RgbImage:
    """Draw what is often seen on micrographs and is no scale bar."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    ink = (0, 0, 0) if rng.random() < 0.6 else (255, 255, 255)
    size = int(np.clip(width * rng.uniform(0.03, 0.07), 14, 60))
    font = _font(str(rng.choice(FONTS)), size)

    def spot() -> tuple[int, int]:
        return int(rng.integers(10, max(11, width - 6 * size))), int(rng.integers(10, max(11, height - 3 * size)))

    if style == "arrows":
        for _ in range(int(rng.integers(1, 5))):
            x, y = spot()
            long, line = int(rng.integers(25, 90)), int(rng.integers(2, 6))
            if rng.random() < 0.6:
                draw.rectangle([x, y, x + long, y + line - 1], fill=ink)
                draw.polygon([(x - 3 * line, y + line / 2), (x, y - 2 * line), (x, y + 3 * line)], fill=ink)
            else:
                draw.line([x, y, x + long, y + int(rng.integers(-60, 60))], fill=ink, width=line)
    elif style == "letters":
        for word in rng.choice(["A", "CV", "*", "T", "HE", "x400", "N=12", "IL", "H", "E F", "40X", "LII"], 4):
            draw.text(spot(), str(word), fill=ink, font=font)
    elif style == "frame":
        line = int(rng.integers(2, 9))
        draw.rectangle([0, 0, width - 1, height - 1], outline=ink, width=line)
        x, y = spot()
        draw.rectangle([x, y, x + 4 * size, y + 2 * size], outline=ink, width=max(1, line // 2))
    elif style == "underline":
        x, y = spot()
        word = str(rng.choice(["Control", "Day 14", "Group 2", "WT"]))
        x0, y0, x1, y1 = draw.textbbox((x, y), word, font=font)
        draw.text((x, y), word, fill=ink, font=font)
        draw.rectangle([x0, y1 + 3, x1, y1 + 3 + max(1, size // 12)], fill=ink)
    elif style == "axis":
        draw.rectangle([0, 0, width, height], fill=(255, 255, 255))
        x0, y0, x1, y1 = 3 * size, size, width - size, height - 3 * size
        draw.line([x0, y0, x0, y1, x1, y1], fill=(0, 0, 0), width=2)
        for k in range(6):
            x, y = x0 + k * (x1 - x0) // 6, y1 - k * (y1 - y0) // 6
            draw.line([x, y1, x, y1 + 6], fill=(0, 0, 0), width=2)
            draw.text((x, y1 + 8), f"{10 * k}", fill=(0, 0, 0), font=font)
            draw.rectangle([x + 4, y1 - int(rng.integers(5, max(6, y1 - y0))), x + 14, y1], fill=(90, 90, 90))
            draw.line([x0 - 6, y, x0, y], fill=(0, 0, 0), width=2)
        draw.text((x0 + 20, height - size - 8), "Distance (µm)", fill=(0, 0, 0), font=font)
    elif style == "bands":
        draw.rectangle([0, 0, width, height], fill=(205, 205, 205))
        for lane in range(6):
            for _ in range(4):
                x, y = 20 + lane * width // 6, int(rng.integers(10, height - 10))
                draw.rectangle([x, y, x + width // 9, y + int(rng.integers(4, 12))], fill=(40, 40, 40))
        blurred = cv2.GaussianBlur(np.asarray(image), (0, 0), 2)
        image = Image.fromarray(blurred)
    elif style == "edge":
        y = int(rng.integers(height // 4, 3 * height // 4))
        draw.rectangle([0, 0, width, y], fill=(244, 243, 246))
        draw.rectangle([0, y + int(rng.integers(6, 20)), width // 2, height], fill=(244, 243, 246))
    elif style == "scratches":
        for _ in range(3):
            x, y = spot()
            draw.line(
                [x, y, x + int(rng.integers(40, 160)), y + int(rng.integers(1, 4))], fill=(250, 250, 250), width=2
            )
    return np.asarray(image)


def _published(pixels: RgbImage, rng: Generator) -> RgbImage:
    """Encode as publishers do: JPEG of some quality with halved colour, or none."""
    if rng.random() < 0.15:
        return np.ascontiguousarray(pixels)
    quality = int(rng.integers(55, 96))
    bgr = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
