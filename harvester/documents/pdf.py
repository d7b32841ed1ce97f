"""Pages of a PDF: what is painted where, in displayed points, and the samples behind it.

One pass of a MuPDF device over a page gives every placed image with its matrix, clip and mask in painting order, which the
ready-made lists of PyMuPDF do not (they ignore clips, masks and page rotation, or hash every image to learn its number).

All colours take one path: MuPDF's own conversion to RGB, for decoded samples and for renders alike. Another decoder would
turn CMYK into colours about 24 dB away and split stain statistics in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import pymupdf
from pymupdf import mupdf

from harvester.errors import MalformedArticle
from harvester.geometry import BoxPt, RgbImage
from harvester.settings import DocumentSettings

pymupdf.TOOLS.mupdf_display_errors(False)
pymupdf.TOOLS.mupdf_display_warnings(False)

Matrix = tuple[float, float, float, float, float, float]
Rect = tuple[float, float, float, float]

MAX_MARKS = 200_000
"""Paths read from one page before reading stops; at about 14 µs each this bounds a page to some seconds."""
EDGE_PT = 0.02
"""Two edges closer than this are the same edge."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One image as painted on a page.

    Attributes:
        box: The visible part, in displayed points.
        whole: The box of the whole image, before any clip.
        matrix: (a, b, c, d, e, f) from the unit square, row 0 of the samples at y = 0, to displayed points (PDF 32000 8.3.4).
        width_px, height_px: Size of the stored samples.
        order: Painting order among everything on the page.
        is_plain: No mask, no transparency, no odd clip or angle: the samples are what is seen.
        is_stencil: A one-bit mask painted in a colour.
    """

    box: BoxPt
    whole: BoxPt
    matrix: Matrix
    width_px: int
    height_px: int
    order: int
    is_plain: bool
    is_stencil: bool
    image: Any = field(repr=False, compare=False, default=None)

    @property
    def scale(self) -> float:
        """Stored samples per point, the finer direction."""
        a, b, c, d, _, _ = self.matrix
        across, down = math.hypot(a, b), math.hypot(c, d)
        return max(self.width_px / max(across, 1e-6), self.height_px / max(down, 1e-6))

    def upright_size_px(self) -> tuple[int, int]:
        """Return (width, height) of the whole image as displayed."""
        a, b, _, _, _, _ = self.matrix
        return (self.width_px, self.height_px) if abs(a) >= abs(b) else (self.height_px, self.width_px)


@dataclass(frozen=True, slots=True)
class Mark:
    """A path or a shading.

    Attributes:
        x0, y0, x1, y1: Its visible bounds in displayed points; a straight line has no height or no width.
        order: Painting order among everything on the page.
        n_strokes: How many straight or curved pieces a large path has (a whole plot may be one path); 1 for a small one.
        is_white: A fill that can't be seen on paper, though it may hide what is under it.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    order: int
    n_strokes: int = 1
    is_white: bool = False


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


LARGE_PT = 30.0
"""Shorter side from which a path is looked at closely."""
MAX_LOOKS = 3000


class _Outline(mupdf.FzPathWalker2):  # type: ignore[misc]
    """Counts the pieces of a path and keeps the corners of its straight ones."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("moveto", "lineto", "curveto", "closepath"):
            getattr(self, f"use_virtual_{name}")()
        self.points: list[tuple[float, float]] = []
        self.n_lines = 0
        self.n_curves = 0

    def moveto(self, _ctx: Any, x: float, y: float) -> None:
        self.points.append((x, y))

    def lineto(self, _ctx: Any, x: float, y: float) -> None:
        self.points.append((x, y))
        self.n_lines += 1

    def curveto(self, _ctx: Any, *_points: float) -> None:
        self.n_curves += 1

    def closepath(self, _ctx: Any) -> None:
        return


def _outline(path: Any) -> _Outline:
    outline = _Outline()
    mupdf.fz_walk_path(mupdf.FzPath(mupdf.ll_fz_keep_path(path)), outline, outline.m_internal)
    return outline


def _is_rectangle(path: Any, ctm: Any) -> bool:
    """Whether a clip is an upright rectangle; publishers draw it with lines, which MuPDF's own test does not take for one."""
    if mupdf.ll_fz_path_is_rect(path, ctm):
        return True
    if min(abs(ctm.a) + abs(ctm.d), abs(ctm.b) + abs(ctm.c)) > 1e-6:
        return False
    outline = _outline(path)
    if outline.n_curves or not 4 <= len(outline.points) <= 6:
        return False
    xs, ys = [p[0] for p in outline.points], [p[1] for p in outline.points]
    x_off = [min(x - min(xs), max(xs) - x) for x in xs]
    y_off = [min(y - min(ys), max(ys) - y) for y in ys]
    return max(x_off) <= 0.01 * (max(xs) - min(xs)) and max(y_off) <= 0.01 * (max(ys) - min(ys))


_WHITE_FROM = 0.98


def _is_white(colorspace: Any, color: Any, alpha: float) -> bool:
    """Whether a fill is opaque white."""
    if alpha < 1.0 or not colorspace:
        return False
    try:
        parameters = mupdf.FzColorParams()
        rgb = mupdf.ll_fz_convert_color(
            colorspace, color, mupdf.FzColorspace(mupdf.FzColorspace.Fixed_RGB).m_internal, None, parameters.internal()
        )
        return min(rgb[:3]) >= _WHITE_FROM
    except Exception:  # an odd colour space: then it is taken for a colour
        return False


class _Walker(mupdf.FzDevice2):  # type: ignore[misc]
    """Collects images and marks while MuPDF paints a page into nothing."""

    def __init__(self, cookie: Any, bounds: Rect) -> None:
        super().__init__()
        for name in (
            "fill_path", "stroke_path", "fill_shade", "fill_image", "fill_image_mask", "clip_path", "clip_stroke_path",
            "clip_text", "clip_stroke_text", "clip_image_mask", "pop_clip", "begin_mask", "end_mask", "begin_group",
            "end_group",
        ):  # fmt: skip
            getattr(self, f"use_virtual_{name}")()
        self.cookie = cookie
        self.placements: list[Placement] = []
        self.marks: list[Mark] = []
        self.order = 0
        self.looks = 0
        # (visible rectangle, whether what is drawn inside is drawn as it is)
        self.clips: list[tuple[Rect, bool]] = [(bounds, True)]

    def _push(self, rect: Any, plain: bool) -> None:
        (x0, y0, x1, y1), was_plain = self.clips[-1]
        if rect is not None:
            x0, y0, x1, y1 = max(x0, rect.x0), max(y0, rect.y0), min(x1, rect.x1), min(y1, rect.y1)
        self.clips.append(((x0, y0, x1, y1), was_plain and plain))

    def _pop(self) -> None:
        if len(self.clips) > 1:
            self.clips.pop()

    def _mark(self, rect: Any, path: Any = None, fill: Any = None) -> None:
        self.order += 1
        cx0, cy0, cx1, cy1 = self.clips[-1][0]
        x0, y0, x1, y1 = max(cx0, rect.x0), max(cy0, rect.y0), min(cx1, rect.x1), min(cy1, rect.y1)
        if not (x1 >= x0 and y1 >= y0):
            return
        n_strokes, is_white = 1, False
        if min(x1 - x0, y1 - y0) >= LARGE_PT and self.looks < MAX_LOOKS:
            self.looks += 1
            if path is not None:
                outline = _outline(path)
                n_strokes = max(1, outline.n_lines + outline.n_curves)
            is_white = fill is not None and _is_white(*fill)
        self.marks.append(Mark(x0, y0, x1, y1, self.order, n_strokes, is_white))
        if len(self.marks) >= MAX_MARKS:
            self.cookie.m_internal.abort = 1

    def _image(self, image: Any, m: Any, alpha: float, *, stencil: bool) -> None:
        self.order += 1
        corners_x = (m.e, m.e + m.a, m.e + m.c, m.e + m.a + m.c)
        corners_y = (m.f, m.f + m.b, m.f + m.d, m.f + m.b + m.d)
        whole = (min(corners_x), min(corners_y), max(corners_x), max(corners_y))
        clip, plain = self.clips[-1]
        x0, y0, x1, y1 = (
            max(whole[0], clip[0]), max(whole[1], clip[1]), min(whole[2], clip[2]), min(whole[3], clip[3]),
        )  # fmt: skip
        if not (all(map(math.isfinite, whole)) and x0 < x1 and y0 < y1):
            return
        # Publishers clip every picture to its own edge, rounded: less than a sample is no crop.
        if max(x0 - whole[0], whole[2] - x1) * image.w < whole[2] - whole[0]:
            x0, x1 = whole[0], whole[2]
        if max(y0 - whole[1], whole[3] - y1) * image.h < whole[3] - whole[1]:
            y0, y1 = whole[1], whole[3]
        upright = min(abs(m.a) + abs(m.d), abs(m.b) + abs(m.c)) < 1e-3 * (abs(m.a) + abs(m.d) + abs(m.b) + abs(m.c))
        self.placements.append(
            Placement(
                box=BoxPt(x0, y0, x1, y1),
                whole=BoxPt(*whole),
                matrix=(m.a, m.b, m.c, m.d, m.e, m.f),
                width_px=image.w,
                height_px=image.h,
                order=self.order,
                is_plain=plain and upright and alpha >= 1.0 and not stencil,
                is_stencil=stencil,
                image=mupdf.FzImage(mupdf.ll_fz_keep_image(image)),
            )
        )

    def fill_path(
        self, _ctx: Any, path: Any, _even_odd: Any, ctm: Any, space: Any, color: Any, alpha: float, *_rest: Any
    ) -> None:
        self._mark(mupdf.ll_fz_bound_path(path, None, ctm), path, (space, color, alpha))

    def stroke_path(self, _ctx: Any, path: Any, stroke: Any, ctm: Any, *_rest: Any) -> None:
        self._mark(mupdf.ll_fz_bound_path(path, stroke, ctm), path)

    def fill_shade(self, _ctx: Any, shade: Any, ctm: Any, *_rest: Any) -> None:
        self._mark(mupdf.ll_fz_bound_shade(shade, ctm))

    def fill_image(self, _ctx: Any, image: Any, ctm: Any, alpha: float, *_rest: Any) -> None:
        self._image(image, ctm, alpha, stencil=False)

    def fill_image_mask(self, _ctx: Any, image: Any, ctm: Any, _space: Any, _color: Any, alpha: float, *_r: Any) -> None:
        self._image(image, ctm, alpha, stencil=True)

    def clip_path(self, _ctx: Any, path: Any, _even_odd: Any, ctm: Any, *_rest: Any) -> None:
        self._push(mupdf.ll_fz_bound_path(path, None, ctm), _is_rectangle(path, ctm))

    def clip_stroke_path(self, _ctx: Any, path: Any, stroke: Any, ctm: Any, *_rest: Any) -> None:
        self._push(mupdf.ll_fz_bound_path(path, stroke, ctm), False)

    def clip_text(self, *_rest: Any) -> None:
        self._push(None, False)

    def clip_stroke_text(self, *_rest: Any) -> None:
        self._push(None, False)

    def clip_image_mask(self, _ctx: Any, image: Any, *_rest: Any) -> None:
        self._push(None, _is_opaque(image))

    def pop_clip(self, *_rest: Any) -> None:
        self._pop()

    def begin_mask(self, *_rest: Any) -> None:
        # What is painted until end_mask is the mask itself, and from there to pop_clip what shows through it.
        self._push(None, False)

    def end_mask(self, *_rest: Any) -> None:
        return

    def begin_group(self, _ctx: Any, _area: Any, _space: Any, _iso: Any, _knock: Any, blend: int, alpha: float) -> None:
        self._push(None, blend == 0 and alpha >= 1.0)

    def end_group(self, *_rest: Any) -> None:
        self._pop()


MAX_MASK_PX = 40_000_000


def _is_opaque(image: Any) -> bool:
    """Whether a soft mask hides nothing; office programs attach such masks to every picture."""
    if image.w * image.h > MAX_MASK_PX:
        return False
    try:
        pixmap = mupdf.fz_get_unscaled_pixmap_from_image(mupdf.FzImage(mupdf.ll_fz_keep_image(image)))
        return bool(_samples(pixmap).min() == 255)
    except Exception:  # MuPDF raises several types for a damaged mask; the picture is then rendered, not decoded
        return False


def _samples(pixmap: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return (H, W, n) uint8, a view on memory that MuPDF owns."""
    n, width, height = pixmap.n(), pixmap.w(), pixmap.h()
    flat = np.frombuffer(mupdf.fz_pixmap_samples_memoryview(pixmap), np.uint8)
    return flat.reshape(height, pixmap.stride())[:, : width * n].reshape(height, width, n)


def _rgb(pixmap: Any) -> RgbImage:
    """Convert a MuPDF pixmap to a (H, W, 3) uint8 array of our own memory."""
    rgb = mupdf.fz_device_rgb()
    space = pixmap.colorspace()
    if not space.m_internal or pixmap.alpha() or mupdf.fz_colorspace_name(space) != mupdf.fz_colorspace_name(rgb):
        pixmap = mupdf.fz_convert_pixmap(
            pixmap, rgb, mupdf.FzColorspace(), mupdf.FzDefaultColorspaces(), mupdf.FzColorParams(), 0
        )
    return _samples(pixmap).copy()


class PdfPage:
    """One page. Everything is in points of the page as displayed: rotation applied, origin at the crop box's top left."""

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
        self._read: tuple[list[Placement], list[Mark]] | None = None
        self._lines: list[TextLine] | None = None

    @property
    def box(self) -> BoxPt:
        return BoxPt(0.0, 0.0, self.width_pt, self.height_pt)

    def _matrix(self) -> Any:
        return mupdf.FzMatrix(1, 0, 0, 1, -self._origin[0], -self._origin[1])

    def _contents(self) -> tuple[list[Placement], list[Mark]]:
        if self._read is None:
            cookie = mupdf.FzCookie()
            walker = _Walker(cookie, self.box.as_tuple())
            # Errors inside a page leave what was painted before them, as in a viewer.
            try:
                mupdf.fz_run_display_list(
                    self._list, walker, self._matrix(), mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE), cookie
                )
                mupdf.fz_close_device(walker)
            except Exception as error:
                if not walker.placements and not walker.marks:
                    raise MalformedArticle(f"Page {self.number} of the PDF can't be drawn.", "pdf_damaged") from error
            self._read = walker.placements, walker.marks
        return self._read

    def placements(self) -> list[Placement]:
        """Return every image with its visible box, in painting order."""
        return self._contents()[0]

    def marks(self) -> list[Mark]:
        """Return every path and shading, in painting order, at most `MAX_MARKS`."""
        return self._contents()[1]

    def lines(self) -> list[TextLine]:
        """Return the text lines in the order of the page's content."""
        if self._lines is None:
            self._lines = list(self._read_lines())
        return self._lines

    def _text_page(self) -> Any:
        options = mupdf.FzStextOptions()
        options.flags = mupdf.FZ_STEXT_PRESERVE_WHITESPACE | mupdf.FZ_STEXT_MEDIABOX_CLIP
        return pymupdf.TextPage(mupdf.FzStextPage(self._list, options))

    def lone_words(self) -> list[tuple[str, BoxPt]]:
        """Return the words that have no neighbour in their line: panel letters, ticks of an axis."""
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
            pixels = _rgb(pixmap)
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
            MalformedArticle: "image_too_large" when an image in it passes `max_raster_px`, "pdf_damaged" when MuPDF can't
                paint it.
        """
        for placement in self.placements():
            n_px = placement.width_px * placement.height_px
            if n_px > self._settings.max_raster_px and placement.box.intersection_area(box) > 0:
                raise MalformedArticle(
                    f"An image of {placement.width_px:,} by {placement.height_px:,} pixels on page {self.number} is too large.",
                    "image_too_large",
                )
        sx, sy = width_px / box.width, height_px / box.height
        matrix = mupdf.FzMatrix(sx, 0, 0, sy, -(box.x0 + self._origin[0]) * sx, -(box.y0 + self._origin[1]) * sy)
        try:
            area = mupdf.FzIrect(0, 0, width_px, height_px)
            pixmap = mupdf.fz_new_pixmap_with_bbox(mupdf.fz_device_rgb(), area, mupdf.FzSeparations(), 0)
            mupdf.fz_clear_pixmap_with_value(pixmap, 255)
            device = mupdf.fz_new_draw_device(matrix, pixmap)
            seen = mupdf.FzRect(0, 0, width_px, height_px)
            mupdf.fz_run_display_list(self._list, device, mupdf.FzMatrix(), seen, mupdf.FzCookie())
            mupdf.fz_close_device(device)
            return _samples(pixmap).copy()
        except Exception as error:
            raise MalformedArticle(f"Page {self.number} of the PDF can't be drawn.", "pdf_damaged") from error


def visible_samples(placement: Placement, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Return the whole samples (x0, y0, x1, y1) of the upright image that the visible box holds, at least one."""
    box, whole = placement.box, placement.whole
    sx, sy = width_px / whole.width, height_px / whole.height

    def inner(lo: float, hi: float, n: int) -> tuple[int, int]:
        first = max(0, min(n - 1, math.ceil(lo - 0.5)))
        return first, max(first + 1, min(n, math.floor(hi + 0.5)))

    x0, x1 = inner((box.x0 - whole.x0) * sx, (box.x1 - whole.x0) * sx, width_px)
    y0, y1 = inner((box.y0 - whole.y0) * sy, (box.y1 - whole.y0) * sy, height_px)
    return x0, y0, x1, y1


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
