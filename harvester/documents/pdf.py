"""Pages of a PDF: what is painted where, in displayed points, and the samples behind it.

All colours take one path: MuPDF's own conversion to RGB, for decoded samples and for renders alike. Another converter
would turn CMYK into colours about 24 dB away and split stain statistics in two. The samples of a JPEG are those of the
common decoder; MuPDF repeats halved colours in blocks, in renders too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import pymupdf
from pymupdf import mupdf

from harvester.documents.painting import Mark, PaintWalker, Placement, samples, smooth_colours, to_rgb, visible_samples
from harvester.errors import MalformedArticle
from harvester.geometry import BoxPt, RgbImage
from harvester.records import DrawnMark
from harvester.settings import DocumentSettings

pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text as MuPDF groups it.

    Attributes:
        box: In displayed points.
        text: As extracted; white space collapsed.
        size_pt: The largest font size in it.
        is_bold: Whether its first visible characters are bold.
        turn: Reading direction: 0 to the right, 90 upwards, 270 downwards, 180 upside down.
        block: Number of the text block it belongs to.
    """

    box: BoxPt
    text: str
    size_pt: float
    is_bold: bool
    turn: int
    block: int


class PdfPage:
    """One page. Everything is in points as displayed: rotation applied, origin at the crop box's top left."""

    def __init__(self, document: PdfDocument, index: int) -> None:
        self.number = index + 1
        self._settings = document.settings
        try:
            page = mupdf.FzPage(document.handle[index].this)
            bounds = mupdf.fz_bound_page(page)
            self._list = mupdf.fz_new_display_list_from_page(page)
        except Exception as error:
            raise MalformedArticle(f"Page {self.number} of the PDF can't be read.", "pdf_damaged") from error
        self.width_pt = max(1.0, bounds.x1 - bounds.x0)
        self.height_pt = max(1.0, bounds.y1 - bounds.y0)
        self._origin = (bounds.x0, bounds.y0)
        self._read: tuple[list[Placement], list[Mark], list[DrawnMark]] | None = None
        self._lines: list[TextLine] | None = None
        self._words: list[tuple[str, BoxPt]] | None = None
        self._text: Any = None

    @property
    def box(self) -> BoxPt:
        return BoxPt(0.0, 0.0, self.width_pt, self.height_pt)

    def _matrix(self) -> Any:
        return mupdf.FzMatrix(1, 0, 0, 1, -self._origin[0], -self._origin[1])

    def _contents(self) -> tuple[list[Placement], list[Mark], list[DrawnMark]]:
        if self._read is None:
            cookie = mupdf.FzCookie()
            walker = PaintWalker(cookie, self.box.as_tuple())
            # Errors inside a page leave what was painted before them, as in a viewer.
            try:
                mupdf.fz_run_display_list(
                    self._list, walker, self._matrix(), mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE), cookie
                )
                mupdf.fz_close_device(walker)
            except Exception as error:
                if not walker.placements and not walker.marks:
                    raise MalformedArticle(f"Page {self.number} of the PDF can't be drawn.", "pdf_damaged") from error
            self._read = walker.placements, walker.marks, walker.drawn
        return self._read

    def placements(self) -> list[Placement]:
        """Return every image with its visible box, in painting order."""
        return self._contents()[0]

    def marks(self) -> list[Mark]:
        """Return every path and shading, in painting order, at most `MAX_MARKS`."""
        return self._contents()[1]

    def drawn(self) -> list[DrawnMark]:
        """Return the upright straight lines and thin rectangles, in painting order."""
        return self._contents()[2]

    def lines(self) -> list[TextLine]:
        """Return the text lines in the order of the page's content."""
        if self._lines is None:
            self._lines = list(self._read_lines())
        return self._lines

    def _text_page(self) -> Any:
        if self._text is None:
            self._text = self._read_text()
        return self._text

    def _read_text(self) -> Any:
        options = mupdf.FzStextOptions()
        options.flags = mupdf.FZ_STEXT_PRESERVE_WHITESPACE | mupdf.FZ_STEXT_MEDIABOX_CLIP
        return pymupdf.TextPage(mupdf.FzStextPage(self._list, options))

    def lone_words(self) -> list[tuple[str, BoxPt]]:
        """Return the words that have no neighbour in their line: panel letters, ticks of an axis."""
        if self._words is None:
            self._words = self._read_words()
        return self._words

    def _read_words(self) -> list[tuple[str, BoxPt]]:
        try:
            words = self._text_page().extractWORDS()
        except Exception:  # a page whose text can't be read still has pictures
            return []
        ox, oy = self._origin
        lone = []
        for i, (x0, y0, x1, y1, text, block, line, _n) in enumerate(words):
            gap = 0.9 * min(x1 - x0, y1 - y0) + 3
            beside = [w for w in (words[i - 1] if i else None, words[i + 1] if i + 1 < len(words) else None) if w]
            near = any(
                w[5] == block and w[6] == line and max(w[0] - x1, x0 - w[2], w[1] - y1, y0 - w[3]) < gap for w in beside
            )
            if not near and x0 < x1 and y0 < y1:
                lone.append((text, BoxPt(x0 - ox, y0 - oy, x1 - ox, y1 - oy)))
        return lone

    def _read_lines(self) -> Iterator[TextLine]:
        try:
            blocks = self._text_page().extractDICT(sort=False)["blocks"]
        except Exception:  # a page whose text can't be read still has pictures
            return
        ox, oy = self._origin
        for number, block in enumerate(blocks):
            for line in block.get("lines", ()):
                spans = [s for s in line["spans"] if s["text"].strip()]
                text = " ".join("".join(s["text"] for s in line["spans"]).split())
                if not text:
                    continue
                x0, y0, x1, y1 = line["bbox"]
                if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
                    continue
                cos, sin = line["dir"]
                turn = (0 if cos > 0 else 180) if abs(cos) >= abs(sin) else (90 if sin < 0 else 270)
                yield TextLine(
                    box=BoxPt(x0 - ox, y0 - oy, x1 - ox, y1 - oy),
                    text=text,
                    size_pt=max(s["size"] for s in spans),
                    is_bold=bool(spans[0]["flags"] & 16) or "bold" in spans[0]["font"].lower(),
                    turn=turn,
                    block=number,
                )

    def decode(self, placement: Placement) -> RgbImage | None:
        """Return the stored samples, (H, W, 3) uint8, upright as displayed and cut to the visible part.

        None when they are not what is seen (mask, transparency, angle), too large or damaged. Turns by right angles
        and mirrorings move samples without changing them; a clip leaves whole samples only.
        """
        if not placement.is_plain or placement.width_px * placement.height_px > self._settings.max_raster_px:
            return None
        try:
            pixmap = mupdf.fz_get_unscaled_pixmap_from_image(placement.image)
            if pixmap.alpha():  # a colour-key mask
                return None
            smooth_colours(placement.image, pixmap)
            pixels = to_rgb(pixmap)
        except Exception:  # MuPDF raises several types for damaged samples; the region is then rendered
            return None
        a, b, c, d, _, _ = placement.matrix
        if abs(b) + abs(c) > abs(a) + abs(d):
            pixels = pixels.transpose(1, 0, 2)
            a, d = c, b
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
        x0, y0, x1, y1 = visible_samples(placement, pixels.shape[1], pixels.shape[0])
        return np.ascontiguousarray(pixels[y0:y1, x0:x1])

    def render(self, box: BoxPt, width_px: int, height_px: int) -> RgbImage:
        """Paint a part of the page so that `box` fills exactly (height_px, width_px); (H, W, 3) uint8 on white.

        Raises:
            MalformedArticle: "image_too_large" when an image in it passes `max_raster_px`, "pdf_damaged" when MuPDF
                can't paint it.
        """
        for placement in self.placements():
            n_px = placement.width_px * placement.height_px
            if n_px > self._settings.max_raster_px and placement.box.intersection_area(box) > 0:
                raise MalformedArticle(
                    f"An image of {placement.width_px:,} by {placement.height_px:,} pixels is too large to be read.",
                    "image_too_large",
                )
        sx, sy = width_px / box.width, height_px / box.height
        matrix = mupdf.FzMatrix(sx, 0, 0, sy, -(box.x0 + self._origin[0]) * sx, -(box.y0 + self._origin[1]) * sy)
        try:
            area = mupdf.FzIrect(0, 0, width_px, height_px)
            pixmap = mupdf.fz_new_pixmap_with_bbox(mupdf.fz_device_rgb(), area, mupdf.FzSeparations(), 0)
            mupdf.fz_clear_pixmap_with_value(pixmap, 255)
            device = mupdf.fz_new_draw_device(matrix, pixmap)
            left, top = self._origin
            seen = mupdf.FzRect(box.x0 + left, box.y0 + top, box.x1 + left, box.y1 + top)
            mupdf.fz_run_display_list(self._list, device, mupdf.FzMatrix(), seen, mupdf.FzCookie())
            mupdf.fz_close_device(device)
            return samples(pixmap).copy()
        except Exception as error:
            raise MalformedArticle(f"Page {self.number} of the PDF can't be drawn.", "pdf_damaged") from error


class PdfDocument:
    """An open PDF; a context manager. Pages are read one at a time and nothing of them is kept here."""

    def __init__(self, handle: Any, settings: DocumentSettings) -> None:
        self.handle = handle
        self.settings = settings

    @property
    def n_pages(self) -> int:
        return int(self.handle.page_count)

    def page(self, index: int) -> PdfPage:
        """Return page `index` (from 0).

        Raises:
            MalformedArticle: "pdf_damaged" when it can't be read.
        """
        return PdfPage(self, index)

    def forget_pages(self) -> None:
        """Give back MuPDF's store of decoded images, which otherwise grows to 256 MB."""
        pymupdf.TOOLS.store_shrink(100)

    def __enter__(self) -> PdfDocument:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.handle.close()
        self.forget_pages()


def read_document(pdf: bytes, settings: DocumentSettings) -> PdfDocument:
    """Open a PDF held in memory.

    Raises:
        MalformedArticle: reason "pdf_empty", "not_a_pdf", "pdf_encrypted", "pdf_damaged" or "too_many_pages".
    """
    if not pdf.strip(b"\0 \r\n\t"):
        raise MalformedArticle("The PDF is empty.", "pdf_empty")
    # Readers accept the header anywhere in the first 1,024 bytes (PDF 32000, annex H.3.4.1).
    if b"%PDF-" not in pdf[:1024]:
        kind = "an HTML page" if b"<html" in pdf[:1024].lower() or b"<!doctype" in pdf[:1024].lower() else "no PDF"
        raise MalformedArticle(f"The file is called a PDF but is {kind}.", "not_a_pdf")
    try:
        handle = pymupdf.open(stream=pdf, filetype="pdf")
        if handle.needs_pass:
            handle.close()
            raise MalformedArticle("The PDF is encrypted and asks for a password.", "pdf_encrypted")
        n_pages = handle.page_count
    except MalformedArticle:
        raise
    except Exception as error:
        raise MalformedArticle("The PDF is damaged and can't be opened.", "pdf_damaged") from error
    if n_pages < 1:
        handle.close()
        raise MalformedArticle("The PDF has no page that can be read.", "pdf_damaged")
    if n_pages > settings.max_pages:
        handle.close()
        raise MalformedArticle(
            f"The PDF has {n_pages:,} pages, more than the {settings.max_pages:,} that are read.", "too_many_pages"
        )
    return PdfDocument(handle, settings)
