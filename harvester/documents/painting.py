"""What a page paints: every image with its matrix, clip and mask, every path, in painting order.

One pass of a MuPDF device gives all of it, which the ready-made lists of PyMuPDF do not (they ignore clips, masks and
page rotation, or hash every image to learn its number).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray
from pymupdf import mupdf

from harvester.documents.strokes import MAX_LOOKS as MAX_STROKE_LOOKS
from harvester.documents.strokes import drawn_rectangle, is_worth_a_look, straight_lines
from harvester.geometry import BoxPt, RgbImage
from harvester.records import DrawnMark

Matrix = tuple[float, float, float, float, float, float]
Rect = tuple[float, float, float, float]

MAX_MARKS = 200_000
"""Paths read from one page before reading stops; at about 14 µs each this bounds a page to some seconds."""
EDGE_PT = 0.02
"""Two edges closer than this are the same edge."""
MOST_SMOOTHED = 6.0
"""Mean grey levels by which interpolated colours may differ from repeated ones."""
MOST_SMOOTHED_PX = 80_000_000


@dataclass(frozen=True, slots=True)
class Placement:
    """One image as painted on a page.

    Attributes:
        box: The visible part, in displayed points.
        whole: The box of the whole image, before any clip.
        matrix: (a, b, c, d, e, f) from the unit square, row 0 of the samples at y = 0, to displayed points (PDF 32000,
            8.3.4).
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
        n_strokes: How many pieces a large path has (a whole plot may be one path); 1 for a small one.
        is_white: A fill that can't be seen on paper, though it may hide what is under it.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    order: int
    n_strokes: int = 1
    is_white: bool = False


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
    """Whether a clip is an upright rectangle; MuPDF's own test misses those that publishers draw with lines."""
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
    return alpha >= 1.0 and min(_rgb(colorspace, color)) >= _WHITE_FROM


def _rgb(colorspace: Any, color: Any) -> tuple[float, float, float]:
    """Return red, green and blue from 0 to 1; mid grey for an odd colour space."""
    try:
        parameters = mupdf.FzColorParams()
        rgb = mupdf.ll_fz_convert_color(
            colorspace, color, mupdf.FzColorspace(mupdf.FzColorspace.Fixed_RGB).m_internal, None, parameters.internal()
        )
        return float(rgb[0]), float(rgb[1]), float(rgb[2])
    except Exception:  # MuPDF raises several types
        return 0.5, 0.5, 0.5


def _levels(colorspace: Any, color: Any) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(1.0, max(0.0, v))) for v in _rgb(colorspace, color))
    return red, green, blue


class PaintWalker(mupdf.FzDevice2):  # type: ignore[misc]
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
        self.drawn: list[DrawnMark] = []
        self.stroke_looks = 0
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
        rect = mupdf.ll_fz_bound_path(path, None, ctm)
        self._mark(rect, path, (space, color, alpha))
        if self._may_be_bar(rect, alpha) and _is_rectangle(path, ctm):
            mark = drawn_rectangle(rect, _levels(space, color))
            self.drawn += [mark] if mark else []

    def stroke_path(
        self, _ctx: Any, path: Any, stroke: Any, ctm: Any, space: Any, color: Any, alpha: float, *_rest: Any
    ) -> None:
        rect = mupdf.ll_fz_bound_path(path, stroke, ctm)
        self._mark(rect, path)
        if self._may_be_bar(rect, alpha):
            self.drawn += straight_lines(path, ctm, stroke, _levels(space, color))

    def _may_be_bar(self, rect: Any, alpha: float) -> bool:
        """Whether a path is worth a look; one that a clip cuts is not drawn at its length."""
        x0, y0, x1, y1 = self.clips[-1][0]
        whole = x0 - 1 <= rect.x0 and y0 - 1 <= rect.y0 and rect.x1 <= x1 + 1 and rect.y1 <= y1 + 1
        if alpha < 0.5 or not whole or not is_worth_a_look(rect.x0, rect.y0, rect.x1, rect.y1):
            return False
        self.stroke_looks += 1
        return self.stroke_looks <= MAX_STROKE_LOOKS

    def fill_shade(self, _ctx: Any, shade: Any, ctm: Any, *_rest: Any) -> None:
        self._mark(mupdf.ll_fz_bound_shade(shade, ctm))

    def fill_image(self, _ctx: Any, image: Any, ctm: Any, alpha: float, *_rest: Any) -> None:
        self._image(image, ctm, alpha, stencil=False)

    def fill_image_mask(
        self, _ctx: Any, image: Any, ctm: Any, _space: Any, _color: Any, alpha: float, *_r: Any
    ) -> None:
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
        return bool(samples(pixmap).min() == 255)
    except Exception:  # MuPDF raises several types for a damaged mask; the picture is then rendered, not decoded
        return False


def samples(pixmap: Any) -> NDArray[np.uint8]:
    """Return (H, W, n) uint8, a view on memory that MuPDF owns."""
    n, width, height = pixmap.n(), pixmap.w(), pixmap.h()
    flat = np.frombuffer(mupdf.fz_pixmap_samples_memoryview(pixmap), np.uint8)
    return flat.reshape(height, pixmap.stride())[:, : width * n].reshape(height, width, n)


def smooth_colours(image: Any, pixmap: Any) -> None:
    """Put the samples of a JPEG with halved colours into its pixmap as other decoders give them.

    MuPDF repeats each colour sample over two by two pixels; everybody else interpolates, which is what a reader sees
    and what the picture was before it went into the PDF. Samples that mean something else (an inverted or remapped
    picture) stay as they are.
    """
    held = mupdf.fz_compressed_image_buffer(image)
    if not held.m_internal or held.m_internal.params.type != mupdf.FZ_IMAGE_JPEG or pixmap.n() != 3:
        return
    if pixmap.w() * pixmap.h() > MOST_SMOOTHED_PX:
        return
    stored = mupdf.FzBuffer(mupdf.ll_fz_keep_buffer(held.m_internal.buffer))
    try:
        file = io.BytesIO(bytes(mupdf.fz_buffer_storage_memoryview(stored)))
        with PIL.Image.open(file, formats=["JPEG"]) as opened:
            sampling = {layer[1:3] for layer in getattr(opened, "layer", ())}
            if opened.mode != "RGB" or opened.size != (pixmap.w(), pixmap.h()) or len(sampling) < 2:
                return
            smooth = np.asarray(opened)
    except (OSError, SyntaxError, ValueError):  # MuPDF made something of it, Pillow does not
        return
    own = samples(pixmap)
    if float(np.mean(cv2.mean(cv2.absdiff(np.ascontiguousarray(own), smooth))[:3])) < MOST_SMOOTHED:
        own[...] = smooth


def to_rgb(pixmap: Any) -> RgbImage:
    """Convert a MuPDF pixmap to a (H, W, 3) uint8 array of our own memory."""
    rgb = mupdf.fz_device_rgb()
    space = pixmap.colorspace()
    if not space.m_internal or pixmap.alpha() or mupdf.fz_colorspace_name(space) != mupdf.fz_colorspace_name(rgb):
        pixmap = mupdf.fz_convert_pixmap(
            pixmap, rgb, mupdf.FzColorspace(), mupdf.FzDefaultColorspaces(), mupdf.FzColorParams(), 0
        )
    return samples(pixmap).copy()


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
