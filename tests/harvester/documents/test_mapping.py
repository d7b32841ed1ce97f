"""A picture placed on a page by a known affine map and clip comes back as its own samples, where it was placed."""

import io

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from harvester.documents.figures import extract_figures
from harvester.records import ArticleText, FigureText
from harvester.settings import DocumentSettings

from .drawn import Drawing, text
from .drawn import tissue as smooth

WIDE_PT, HIGH_PT = 620, 700
TURNS = {
    "upright": ("{w} 0 0 {h} {x} {y}", lambda p: p),
    "flipped across": ("-{w} 0 0 {h} {right} {y}", lambda p: p[:, ::-1]),
    "flipped down": ("{w} 0 0 -{h} {x} {top}", lambda p: p[::-1]),
    "turned left": ("0 {h} -{w} 0 {right} {y}", lambda p: np.rot90(p)),
    "turned right": ("0 -{h} {w} 0 {x} {top}", lambda p: np.rot90(p, -1)),
    "upside down": ("-{w} 0 0 -{h} {right} {top}", lambda p: np.rot90(p, 2)),
}
KINDS = ("rgb", "grey", "indexed", "one bit", "jpeg", "jpeg, whole colours", "grey jpeg", "jpeg 2000")
CAPTION = "A section of the liver stained with haematoxylin and eosin."


def place(drawing: Drawing, kind: str, pixels: np.ndarray) -> tuple[int, np.ndarray]:
    """Store a picture; its object number and the samples every decoder gives, (H, W, 3) uint8."""
    height, width = pixels.shape[:2]
    head = f"/Type/XObject/Subtype/Image/Width {width}/Height {height}/BitsPerComponent 8"
    if "jpeg" in kind:
        coded = io.BytesIO()
        picture = Image.fromarray(pixels[..., 0] if "grey" in kind else pixels)
        if kind == "jpeg 2000":
            picture.save(coded, "JPEG2000", irreversible=False)
            number = drawing.stream(f"{head}/ColorSpace /DeviceRGB/Filter/JPXDecode", coded.getvalue())
        else:
            extra = {} if "grey" in kind else {"subsampling": 0 if "whole" in kind else 2}
            picture.save(coded, "JPEG", quality=92, **extra)
            space = "/DeviceGray" if "grey" in kind else "/DeviceRGB"
            number = drawing.stream(f"{head}/ColorSpace {space}/Filter/DCTDecode", coded.getvalue())
        return number, np.asarray(Image.open(coded).convert("RGB"))
    if kind == "grey":
        return drawing.image(pixels[..., 0]), np.repeat(pixels[..., :1], 3, axis=2)
    if kind == "one bit":
        bits = pixels[..., 0] > 150
        return drawing.image(bits, bits=1), np.repeat(bits[..., None], 3, axis=2).astype(np.uint8) * 255
    if kind == "indexed":
        colours = np.random.default_rng(7).integers(0, 256, (256, 3), dtype=np.uint8)
        space = f"[/Indexed /DeviceRGB 255 <{colours.tobytes().hex()}>]"
        return drawing.image(pixels[..., 0], space), colours[pixels[..., 0]]
    return drawing.image(pixels), pixels


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    turn=st.sampled_from(sorted(TURNS)),
    at=st.tuples(st.floats(40, 150), st.floats(150, 300), st.floats(120, 300), st.floats(120, 300)),
    size=st.tuples(st.integers(60, 400), st.integers(60, 400)),
    clip=st.tuples(*[st.floats(0, 0.2)] * 4),
    rotate=st.sampled_from([0, 90, 180, 270]),
    offset=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    cropped=st.booleans(),
    kind=st.sampled_from(KINDS),
)
def test_own_samples_come_back_from_any_placing(turn, at, size, clip, rotate, offset, cropped, kind):
    (wide, high), (dx, dy) = size, offset
    drawing = Drawing()
    number, stored = place(drawing, kind, smooth(wide, high, seed=wide))
    x, y, w, h = (round(v, 2) for v in at)
    x, y = x + dx, y + dy
    matrix, oriented = TURNS[turn]
    matrix = matrix.format(x=f"{x:.2f}", y=f"{y:.2f}", right=f"{x + w:.2f}", top=f"{y + h:.2f}", w=w, h=h)
    left, right = round(clip[0] * wide), wide - round(clip[1] * wide)
    top, bottom = round(clip[2] * high), high - round(clip[3] * high)
    # in the picture's own unit square, whose y runs upwards
    unit = (left / wide, 1 - bottom / high, right / wide, 1 - top / high)
    shown = f"{unit[0]:.6f} {unit[1]:.6f} {unit[2] - unit[0]:.6f} {unit[3] - unit[1]:.6f} re W n"
    words = f"Figure 1: {CAPTION}"
    content = f"q {matrix} cm {shown} /A Do Q\n" + text(x, HIGH_PT - (y - 14), words, page_height=HIGH_PT)
    page = (dx, dy, WIDE_PT + dx, HIGH_PT + dy)
    box = (dx - 30, dy - 20, WIDE_PT + dx + 10, HIGH_PT + dy + 40) if cropped else page
    crop = f"/CropBox[{' '.join(map(str, page))}]" if cropped else ""
    drawing.page(content, {"A": number}, box=box, extra=f"/Rotate {rotate}{crop}")
    article = ArticleText(title="T", figures=(FigureText("Figure 1", CAPTION),))

    (figure,), _ = extract_figures("A.1", drawing.bytes(), article, {}, DocumentSettings())

    wanted = np.rot90(oriented(stored[top:bottom, left:right]), -rotate // 90)
    assert figure.pixels.shape == wanted.shape
    away = int(np.abs(figure.pixels.astype(int) - wanted).max())
    assert away <= (1 if kind in ("jpeg", "jpeg, whole colours", "grey jpeg") else 0)
    assert figure.pixels_from == "pdf"

    a, b, c, d, e, f = map(float, matrix.split())
    corners = [(a * u + c * v + e - dx, HIGH_PT - (b * u + d * v + f - dy)) for u in unit[::2] for v in unit[1::2]]
    displayed = {
        0: lambda p, q: (p, q),
        90: lambda p, q: (HIGH_PT - q, p),
        180: lambda p, q: (WIDE_PT - p, HIGH_PT - q),
        270: lambda p, q: (q, WIDE_PT - p),
    }[rotate]
    seen = np.array([displayed(*corner) for corner in corners])
    expected = (*seen.min(axis=0), *seen.max(axis=0))
    found = figure.page_box
    half = 0.5 * max((found.x1 - found.x0) / wanted.shape[1], (found.y1 - found.y0) / wanted.shape[0])
    assert max(abs(p - q) for p, q in zip(found.as_tuple(), expected, strict=True)) <= half
