"""A picture placed on a page by a known affine map and clip comes back as its own samples."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harvester.documents.figures import extract_figures
from harvester.records import ArticleText, FigureText
from harvester.settings import DocumentSettings

from .drawn import Drawing, text
from .drawn import tissue as smooth

TURNS = {
    "upright": ("{w} 0 0 {h} {x} {y}", lambda p: p),
    "flipped across": ("-{w} 0 0 {h} {right} {y}", lambda p: p[:, ::-1]),
    "flipped down": ("{w} 0 0 -{h} {x} {top}", lambda p: p[::-1]),
    "turned left": ("0 {h} -{w} 0 {right} {y}", lambda p: np.rot90(p)),
    "turned right": ("0 -{h} {w} 0 {x} {top}", lambda p: np.rot90(p, -1)),
    "upside down": ("-{w} 0 0 -{h} {right} {top}", lambda p: np.rot90(p, 2)),
}
CAPTION = "A section of the liver stained with haematoxylin and eosin."


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    turn=st.sampled_from(sorted(TURNS)),
    place=st.tuples(st.floats(40, 150), st.floats(150, 300), st.floats(120, 300), st.floats(120, 300)),
    size=st.tuples(st.integers(60, 400), st.integers(60, 400)),
    clip=st.tuples(*[st.floats(0, 0.2)] * 4),
    rotate=st.sampled_from([0, 90, 180, 270]),
    offset=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    kind=st.sampled_from(["rgb", "grey", "jpeg"]),
)
def test_own_samples_come_back_from_any_placing(turn, place, size, clip, rotate, offset, kind):
    (wide, high), (dx, dy) = size, offset
    stored = smooth(wide, high, seed=wide)
    drawing = Drawing()
    if kind == "jpeg":
        number = drawing.jpeg(stored)
        coded = io.BytesIO()
        Image.fromarray(stored).save(coded, "JPEG", quality=92)
        stored = np.asarray(Image.open(coded).convert("RGB"))
    elif kind == "grey":
        number = drawing.image(stored[..., 0])
        stored = np.repeat(stored[..., :1], 3, axis=2)
    else:
        number = drawing.image(stored)
    x, y, w, h = (round(v, 2) for v in place)
    x, y = x + dx, y + dy
    matrix, oriented = TURNS[turn]
    matrix = matrix.format(x=f"{x:.2f}", y=f"{y:.2f}", right=f"{x + w:.2f}", top=f"{y + h:.2f}", w=w, h=h)
    left, right = round(clip[0] * wide), wide - round(clip[1] * wide)
    top, bottom = round(clip[2] * high), high - round(clip[3] * high)
    # in the picture's own unit square, whose y runs upwards
    shown = f"{left / wide:.6f} {1 - bottom / high:.6f} {(right - left) / wide:.6f} {(bottom - top) / high:.6f} re W n"
    words = f"Figure 1: {CAPTION}"
    content = f"q {matrix} cm {shown} /A Do Q\n" + text(x, 700 - (y - 14), words, page_height=700)
    drawing.page(content, {"A": number}, box=(dx, dy, 620 + dx, 700 + dy), extra=f"/Rotate {rotate}")
    announced = FigureText("Figure 1", CAPTION)
    article = ArticleText(title="T", figures=(announced,))

    (figure,), _ = extract_figures("A.1", drawing.bytes(), article, {}, DocumentSettings())

    wanted = np.rot90(oriented(stored[top:bottom, left:right]), -rotate // 90)
    assert figure.pixels.shape == wanted.shape
    away = int(np.abs(figure.pixels.astype(int) - wanted).max())
    assert away <= (1 if kind == "jpeg" else 0)
