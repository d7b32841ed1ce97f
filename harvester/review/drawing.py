"""Pictures for the page: small copies of snapshots, and figures drawn from the PDF with panel and snapshot marked."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pymupdf
from PIL import Image, ImageDraw, ImageOps

from harvester.geometry import BoxPt

MAX_FIGURE_PX = 1600
"""Longest side of a drawn figure."""
MAX_POINTS_TO_PX = 300 / 72
MARGIN_PT = 14.0
"""Drawn round a figure, as letters and scale bars may stand outside its pictures."""
MAX_SOURCE_PX = 100_000_000
THUMB_PX = 320
DRAW_TIMEOUT_S = 20.0
CACHE_BYTES = 64 * 2**20

PANEL_COLOUR, SNAPSHOT_COLOUR = (0, 90, 181), (220, 50, 32)
"""Blue and vermilion: told apart by people who see few colours."""


class CannotDraw(Exception):
    """There is nothing to draw from, or it cannot be read; str() says which, for a person."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A figure region and two boxes on it, all in one coordinate system (points of the page, or pixels)."""

    region: BoxPt
    panel: BoxPt | None
    snapshot: BoxPt | None


class PictureCache:
    """Finished pictures by key, the oldest dropped when they fill too much memory; safe for threads."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._items: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        """Return the picture of a key, made when it is not there; failures are not kept."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        data = make()
        with self._lock:
            self._n_bytes += len(data) - len(self._items.pop(key, b""))
            self._items[key] = data
            while self._n_bytes > self._max_bytes and len(self._items) > 1:
                self._n_bytes -= len(self._items.popitem(last=False)[1])
        return data


# MuPDF must not be entered by two threads at once
_MUPDF = threading.Lock()


def draw_page_region(pdf: Path, page_number: int, marked: Marked, *, margin_pt: float = MARGIN_PT) -> bytes:
    """Draw a region of a page as JPEG, panel and snapshot outlined.

    Args:
        page_number: From 1.
        marked: In points of the page as displayed.
        margin_pt: Drawn round the region.

    Raises:
        CannotDraw: when the file or page is not there or cannot be read, or another page is still being drawn.
    """
    if not _MUPDF.acquire(timeout=DRAW_TIMEOUT_S):
        raise CannotDraw("Another page is still being drawn.")
    try:
        with pymupdf.open(pdf, filetype="pdf") as document:
            page = document[page_number - 1]
            box = marked.region
            wide = pymupdf.Rect(box.x0 - margin_pt, box.y0 - margin_pt, box.x1 + margin_pt, box.y1 + margin_pt)
            clip = wide & page.rect
            if clip.is_empty or clip.is_infinite:
                raise CannotDraw("The figure lies outside its page.")
            zoom = min(MAX_FIGURE_PX / max(clip.width, clip.height), MAX_POINTS_TO_PX)
            pixmap = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), clip=clip, alpha=False)
            image = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
    except CannotDraw:
        raise
    # MuPDF raises its own kinds, which differ from version to version
    except Exception as error:
        raise CannotDraw("The page cannot be drawn: the PDF is missing or damaged.") from error
    finally:
        _MUPDF.release()
    return _outlined(image, marked, clip.x0, clip.y0, zoom, zoom)


def draw_picture(path: Path, marked: Marked, *, width_px: int, height_px: int) -> bytes:
    """Draw a region of a picture of one's own as JPEG; `marked` is in the pixels of a raster of the given size.

    Raises:
        CannotDraw: when the file is not there, too large or no picture.
    """
    image = _open_small(path, MAX_FIGURE_PX)
    scale_x, scale_y, box = image.width / width_px, image.height / height_px, marked.region
    left, top, right, bottom = box.x0 * scale_x, box.y0 * scale_y, box.x1 * scale_x, box.y1 * scale_y
    image = image.crop((round(left), round(top), round(right), round(bottom)))
    return _outlined(image, marked, marked.region.x0, marked.region.y0, scale_x, scale_y)


def draw_thumb(path: Path) -> bytes:
    """Return a small JPEG of a snapshot.

    Raises:
        CannotDraw: when the file is not there, too large or no picture.
    """
    return _as_jpeg(_open_small(path, THUMB_PX))


def _open_small(path: Path, longest_px: int) -> Image.Image:
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_SOURCE_PX:
                raise CannotDraw("The picture is too large to show.")
            # decodes a JPEG at a fraction of its size when that is enough
            opened.draft("RGB", (longest_px, longest_px))
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CannotDraw("The picture is missing or damaged.") from error
    image.thumbnail((longest_px, longest_px))
    return image


def _outlined(image: Image.Image, marked: Marked, x0: float, y0: float, scale_x: float, scale_y: float) -> bytes:
    draw = ImageDraw.Draw(image)
    for box, colour in ((marked.panel, PANEL_COLOUR), (marked.snapshot, SNAPSHOT_COLOUR)):
        if box is not None:
            xs, ys = (box.x0, box.x1), (box.y0, box.y1)
            (left, right), (top, bottom) = ((x - x0) * scale_x for x in xs), ((y - y0) * scale_y for y in ys)
            corners = [left, top, right, bottom]
            # white beneath, so that the line shows on any tissue
            draw.rectangle(corners, outline=(255, 255, 255), width=7)
            draw.rectangle([c + d for c, d in zip(corners, (2, 2, -2, -2), strict=True)], outline=colour, width=3)
    return _as_jpeg(image)


def _as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
