"""Sets drawn articles as PDF pages: two columns, figures of several pictures, letters, scale bars, captions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image

from harvester.geometry import BoxPt, BoxPx, RgbImage

PAGE_WIDTH_PT, PAGE_HEIGHT_PT, MARGIN_PT, GAP_PT = 595.0, 842.0, 48.0, 19.0
COLUMN_PT = (PAGE_WIDTH_PT - 2 * MARGIN_PT - GAP_PT) / 2
BODY, BOLD, ITALIC = "tiro", "tibo", "tiit"

Making = Literal["separate", "flat", "png", "strips", "tiles", "cmyk"]
"""How a figure is stored: an image for each panel, or one image, as JPEG, PNG, horizontal strips, 2 x 3 tiles, CMYK."""
Letters = Literal["none", "raster", "inside", "above"]
"""Where panel letters stand: nowhere, in the pixels, as text on the picture, as text above it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One panel of a figure to be set: its pixels, and a scale bar (length in its pixels, label) when it has one."""

    pixels: RgbImage
    letter: str = ""
    bar: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Plate:
    """A figure to be set; all cells have the same size.

    Attributes:
        gutter_px: White between cells, in their pixels.
        pdf_shrink: The PDF holds the pictures this many times smaller than drawn.
        has_raster_bars: Bars are part of the pixels, not lines on the page.
        is_wide: Across both columns.
        caption_before: The caption ends a page and the picture begins the next.
    """

    label: str
    caption: str
    cells: tuple[Cell, ...]
    columns: int
    making: Making
    letters: Letters
    gutter_px: int = 12
    pdf_shrink: int = 1
    has_raster_bars: bool = False
    is_wide: bool = True
    caption_before: bool = False

    def boxes(self) -> list[BoxPx]:
        """Where the cells lie in the figure's raster."""
        height, width = self.cells[0].pixels.shape[:2]
        places = [divmod(i, self.columns) for i in range(len(self.cells))]
        x, y = width + self.gutter_px, height + self.gutter_px
        return [BoxPx(c * x, r * y, c * x + width, r * y + height) for r, c in places]

    def size(self) -> tuple[int, int]:
        """Width and height of the figure's raster."""
        boxes = self.boxes()
        return max(b.x1 for b in boxes), max(b.y1 for b in boxes)

    def cell_image(self, cell: Cell, *, with_everything: bool = False) -> RgbImage:
        """Return a cell with what belongs into its pixels; `with_everything` burns in all letters and bars."""
        pixels = cell.pixels.copy()
        height, width = pixels.shape[:2]
        size = max(14, height // 12)
        if cell.letter and (with_everything or self.letters == "raster"):
            side = int(size * 1.25)
            pixels[:side, :side] = 255
            _write(pixels, cell.letter, size, side // 2, side // 2)
        if cell.bar and (with_everything or self.has_raster_bars):
            length, text = cell.bar
            right, low = width - size, height - size
            pixels[low - size // 5 : low, max(0, right - round(length)) : right] = 0
            _write(pixels, text, size, right - round(length / 2), low - size // 5 - size * 2 // 3)
        return pixels

    def composed(self, *, with_everything: bool = False) -> RgbImage:
        """Return the whole figure as one raster on white."""
        width, height = self.size()
        canvas = np.full((height, width, 3), 255, np.uint8)
        for cell, box in zip(self.cells, self.boxes(), strict=True):
            box.crop(canvas)[:] = self.cell_image(cell, with_everything=with_everything)
        return canvas


@cache
def _word_ink(text: str, size_px: int) -> NDArray[np.float32]:
    """Return bold text as (H, W) float32: 1 where there is ink."""
    with pymupdf.open() as document:
        page = document.new_page(width=size_px * (len(text) + 1), height=int(size_px * 1.2))
        page.insert_text((1, size_px * 0.95), text, fontname="hebo", fontsize=size_px)
        picture = page.get_pixmap(colorspace=pymupdf.csGRAY, alpha=False)
        grey = np.frombuffer(picture.samples, np.uint8).reshape(picture.height, picture.width)
    columns = np.flatnonzero(grey.min(0) < 255)
    return np.asarray(1 - grey[:, columns[0] : columns[-1] + 1] / np.float32(255), np.float32)


def _write(pixels: RgbImage, text: str, size_px: int, x: int, y: int) -> None:
    """Write black text into a picture, its middle at (x, y), cut at the edges."""
    ink = _word_ink(text, size_px)
    top, left = max(0, y - ink.shape[0] // 2), max(0, x - ink.shape[1] // 2)
    place = pixels[top : top + ink.shape[0], left : left + ink.shape[1]]
    place[:] = place * (1 - ink[: place.shape[0], : place.shape[1], None])


def encode_jpeg(pixels: RgbImage, *, quality: int = 92, cmyk: bool = False) -> bytes:
    """Return a JPEG; with `cmyk` in the four inks of a printer, as some publishers store their figures."""
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    if cmyk:
        # through the colour profile: the plain formula of Pillow comes back visibly browner
        rgb = pymupdf.Pixmap(pymupdf.csRGB, image.width, image.height, image.tobytes(), False)
        inks = pymupdf.Pixmap(pymupdf.csCMYK, rgb)
        image = Image.frombytes("CMYK", image.size, inks.samples)
    image.save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def _encode_png(pixels: RgbImage) -> bytes:
    return bytes(cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1])


@cache
def _word_width(word: str, size_pt: float) -> float:
    return float(pymupdf.get_text_length(word, fontname=BODY, fontsize=size_pt))


def _lines(text: str, width_pt: float, size_pt: float) -> list[str]:
    """Break a text into lines of body type."""
    lines: list[str] = []
    space, used = _word_width(" ", size_pt), width_pt
    for word in text.split():
        wide = _word_width(word, size_pt)
        if used + space + wide > width_pt:
            lines.append(word)
            used = wide
        else:
            lines[-1] += f" {word}"
            used += space + wide
    return lines


class Typesetter:
    """Fills pages from the top; every figure and paragraph goes to the next free place.

    `placed` collects, by figure label, the page number (from 1) and the box of every cell in points.
    """

    def __init__(self, running_head: str) -> None:
        self._document = pymupdf.open()
        self._head = running_head
        self._column = 0
        self._top = self._y = MARGIN_PT
        self.placed: dict[str, tuple[int, list[BoxPt]]] = {}
        self._new_page()

    def _new_page(self) -> None:
        self._page = self._document.new_page(width=PAGE_WIDTH_PT, height=PAGE_HEIGHT_PT)
        number = self._document.page_count
        self._page.insert_text((MARGIN_PT, 32), self._head, fontname=ITALIC, fontsize=8)
        self._page.insert_text((PAGE_WIDTH_PT - MARGIN_PT - 10, 32), str(number), fontname=BODY, fontsize=8)
        self._column, self._top, self._y = 0, MARGIN_PT, MARGIN_PT

    @property
    def _left(self) -> float:
        return MARGIN_PT + self._column * (COLUMN_PT + GAP_PT)

    def _next_column(self) -> None:
        if self._column == 0:
            self._column, self._y = 1, self._top
        else:
            self._new_page()

    def title(self, title: str, byline: str) -> None:
        """Set the head of the article across both columns of the first page."""
        width = PAGE_WIDTH_PT - 2 * MARGIN_PT
        for text, font, size in ((title, BOLD, 17.0), (byline, BODY, 9.5)):
            for line in _lines(text, width * 0.92, size):
                self._y += size * 1.25
                self._page.insert_text((MARGIN_PT, self._y), line, fontname=font, fontsize=size)
            self._y += 6
        self._top = self._y = self._y + 8

    def paragraph(self, text: str, *, heading: str = "") -> None:
        """Set body text in the columns."""
        if heading:
            if self._y + 40 > PAGE_HEIGHT_PT - MARGIN_PT:
                self._next_column()
            self._y += 16
            self._page.insert_text((self._left, self._y), heading, fontname=BOLD, fontsize=10.5)
            self._y += 3
        lines = _lines(text, COLUMN_PT, 9.5)
        while lines:
            room = int((PAGE_HEIGHT_PT - MARGIN_PT - self._y) / 12)
            if room <= 0:
                self._next_column()
                continue
            # many lines in one call: each call parses the whole page again
            start = (self._left, self._y + 12)
            self._page.insert_text(start, lines[:room], fontname=BODY, fontsize=9.5, lineheight=12 / 9.5)
            self._y += 12 * len(lines[:room])
            lines = lines[room:]
        self._y += 5

    def figure(self, plate: Plate) -> None:
        """Set a figure with its caption: a wide one at the top of a new page, else in the column."""
        width_px, height_px = plate.size()
        width_pt = PAGE_WIDTH_PT - 2 * MARGIN_PT if plate.is_wide else COLUMN_PT
        height_pt = width_pt * height_px / width_px
        above_pt = 13.0 if plate.letters == "above" else 0.0
        if plate.caption_before:
            self._caption(plate, width_pt)
        if plate.is_wide:
            self._new_page()
        elif self._y + above_pt + height_pt + 60 > PAGE_HEIGHT_PT - MARGIN_PT:
            self._next_column()
        self._y += 8 + above_pt
        scale = width_pt / width_px
        left, top = self._left, self._y
        boxes = [
            BoxPt(left + b.x0 * scale, top + b.y0 * scale, left + b.x1 * scale, top + b.y1 * scale)
            for b in plate.boxes()
        ]
        self._pictures(plate, boxes, BoxPt(left, top, left + width_pt, top + height_pt))
        self._marks(plate, boxes, scale)
        self.placed[plate.label] = (self._document.page_count, boxes)
        self._y += height_pt + 4
        if not plate.caption_before:
            self._caption(plate, width_pt)
        if plate.is_wide:
            self._top = self._y = self._y + 10

    def _pictures(self, plate: Plate, boxes: Sequence[BoxPt], whole: BoxPt) -> None:
        if plate.making == "separate":
            for cell, box in zip(plate.cells, boxes, strict=True):
                self._image(encode_jpeg(self._shrunk(plate, plate.cell_image(cell))), box)
            return
        raster = self._shrunk(plate, plate.composed())
        height, width = raster.shape[:2]
        rows, columns = {"strips": (3, 1), "tiles": (2, 3)}.get(plate.making, (1, 1))
        # the first strip is the tallest, as where a page limit of the typesetter cut it
        cuts_y = [0, *(height * (i + 1) // (rows + 1) + height // (rows + 1) for i in range(rows - 1)), height]
        cuts_x = [width * i // columns for i in range(columns + 1)]
        for y0, y1 in pairwise(cuts_y):
            for x0, x1 in pairwise(cuts_x):
                part = raster[y0:y1, x0:x1]
                place = BoxPt(
                    whole.x0 + whole.width * x0 / width,
                    whole.y0 + whole.height * y0 / height,
                    whole.x0 + whole.width * x1 / width,
                    whole.y0 + whole.height * y1 / height,
                )
                is_png = plate.making == "png"
                self._image(_encode_png(part) if is_png else encode_jpeg(part, cmyk=plate.making == "cmyk"), place)

    @staticmethod
    def _shrunk(plate: Plate, pixels: RgbImage) -> RgbImage:
        if plate.pdf_shrink == 1:
            return pixels
        size = (pixels.shape[1] // plate.pdf_shrink, pixels.shape[0] // plate.pdf_shrink)
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _image(self, stream: bytes, box: BoxPt) -> None:
        self._page.insert_image(pymupdf.Rect(*box.as_tuple()), stream=stream, keep_proportion=False)

    def _marks(self, plate: Plate, boxes: Sequence[BoxPt], scale: float) -> None:
        """Letters and bars that are text and lines of the page, not pixels."""
        for cell, box in zip(plate.cells, boxes, strict=True):
            if cell.letter and plate.letters == "above":
                self._page.insert_text((box.x0, box.y0 - 3), cell.letter, fontname="hebo", fontsize=10)
            elif cell.letter and plate.letters == "inside":
                corner = pymupdf.Rect(box.x0, box.y0, box.x0 + 15, box.y0 + 15)
                self._page.draw_rect(corner, color=None, fill=(1, 1, 1))
                self._page.insert_text((box.x0 + 4, box.y0 + 11.5), cell.letter, fontname="hebo", fontsize=11)
            if cell.bar and not plate.has_raster_bars:
                length, text = cell.bar
                right, low = box.x1 - 10, box.y1 - 10
                self._page.draw_line((right - length * scale, low), (right, low), color=(0, 0, 0), width=2)
                wide = pymupdf.get_text_length(text, fontname="hebo", fontsize=7)
                place = (right - length * scale / 2 - wide / 2, low - 3)
                self._page.insert_text(place, text, fontname="hebo", fontsize=7)

    def _caption(self, plate: Plate, width_pt: float) -> None:
        size = 8.0
        lines = _lines(f"{plate.label}. {plate.caption}", width_pt - 6, size)
        if self._y + len(lines) * 10 + 14 > PAGE_HEIGHT_PT - MARGIN_PT:
            self._next_column()
        self._y += 4
        for i, line in enumerate(lines):
            self._y += 10
            start = f"{plate.label}."
            if i == 0 and line.startswith(start):
                self._page.insert_text((self._left, self._y), start, fontname=BOLD, fontsize=size)
                offset = pymupdf.get_text_length(start + " ", fontname=BOLD, fontsize=size)
                self._page.insert_text(
                    (self._left + offset, self._y), line[len(start) + 1 :], fontname=BODY, fontsize=size
                )
            else:
                self._page.insert_text((self._left, self._y), line, fontname=BODY, fontsize=size)
        self._y += 10

    def to_pdf(self, title: str, author: str) -> bytes:
        """Return the file; the same pages give the same bytes."""
        day = "D:20260115000000Z"
        made = {"title": title, "author": author, "producer": "histology-harvester demo"}
        self._document.set_metadata({**made, "creationDate": day, "modDate": day})
        data: bytes = self._document.tobytes(garbage=3, deflate=True, no_new_id=True)
        self._document.close()
        return data
