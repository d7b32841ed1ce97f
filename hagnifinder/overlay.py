"""A picture with its predicted scale drawn on it, so that a person sees whether the nuclei are as large as nuclei.

The bar and a ring of 8 µm, about the width of a nucleus, lie on the picture, white with a black edge: legible on
tissue, glass and ink alike. The numbers stand in a strip below it and hide nothing.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hagnifinder.predict import Estimate
from hagnifinder.preprocess import RgbImage

NUCLEUS_UM = 8.0
MOST_PX, LEAST_PX = 2000, 480
"""Longest side of an overlay: larger pictures are shrunk, smaller ones enlarged whole times, up to fourfold."""
_STRIP_MIN_PX = 360
_SHARE = 0.3
"""The bar is at most so much of the picture's width."""


def round_length_um(at_most_um: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that does not exceed a length.

    Raises:
        ValueError: when the length is not a positive finite number.
    """
    if not (at_most_um > 0.0 and math.isfinite(at_most_um)):
        raise ValueError(f"a length must be positive and finite, not {at_most_um}")
    power = 10.0 ** math.floor(math.log10(at_most_um))
    return max(step * power for step in (0.5, 1.0, 2.0, 5.0) if step * power <= at_most_um * (1.0 + 1e-9))


def draw_scale(rgb: RgbImage, estimate: Estimate) -> RgbImage:
    """Draw a scale bar of a round length, a ring of 8 µm and the estimate in words.

    Args:
        rgb: (H, W, 3) uint8.
        estimate: what `Predictor.predict` said of it. Without a guess only the words are drawn; an abstained guess is
            drawn too, and called unsure.

    Returns:
        (H', W', 3) uint8, the picture shrunk or enlarged to be looked at, with a strip below.
    """
    height, width = rgb.shape[:2]
    zoom = _zoom(max(height, width))
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    shown = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_NEAREST)
    font_px = max(14, min(30, size[0] // 40))
    font = _font(font_px)
    lines = _words(estimate)
    margin = font_px // 2
    strip_px = margin * 2 + round(font_px * 1.35) * len(lines)
    widest = max(round(font.getlength(line)) for line in lines) + 2 * margin
    canvas = Image.new("RGB", (max(size[0], widest, _STRIP_MIN_PX), size[1] + strip_px), "white")
    canvas.paste(Image.fromarray(shown), (0, 0))
    draw = ImageDraw.Draw(canvas)
    if estimate.mpp_um is not None:
        _draw_bar(draw, size, estimate.mpp_um / zoom, font)
    for row, line in enumerate(lines):
        draw.text((margin, size[1] + margin + row * round(font_px * 1.35)), line, fill="black", font=font)
    return np.asarray(canvas, dtype=np.uint8)


@lru_cache(maxsize=4)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # The font that comes with Pillow has no µ; Helvetica's stand-in that comes with PyMuPDF has.
    import pymupdf

    return ImageFont.truetype(io.BytesIO(pymupdf.Font("helv").buffer), size_px)


def _zoom(longest_px: int) -> float:
    if longest_px > MOST_PX:
        return MOST_PX / longest_px
    return float(min(4, -(-LEAST_PX // longest_px)))


def _draw_bar(draw: ImageDraw.ImageDraw, size: tuple[int, int], mpp_um: float, font: ImageFont.FreeTypeFont) -> None:
    """Bar, label and ring in the lower left corner; `mpp_um` is of the pixels drawn on."""
    width, height = size
    length_um = round_length_um(width * _SHARE * mpp_um)
    bar_px = length_um / mpp_um
    pad = max(4, min(width, height) // 40)
    thick = max(3, min(width, height) // 110)
    x, y = pad, height - pad - thick
    draw.rectangle((x - 1, y - 1, x + round(bar_px), y + thick), fill="white", outline="black", width=1)
    label = f"{length_um:g} µm"
    _, top, _, bottom = draw.textbbox((0, 0), label, font=font)
    draw.text((x, y - bottom - 4), label, fill="white", font=font, stroke_width=2, stroke_fill="black")
    ring_px = NUCLEUS_UM / mpp_um
    if 5.0 <= ring_px <= min(width, height) * 0.8:
        left, low = x + max(bar_px, draw.textlength(label, font=font)) + 2 * pad, y + thick
        box = (left, low - ring_px, left + ring_px, low)
        # The ring's white middle line lies on the circle of 8 µm; its black edges are beside it.
        draw.ellipse((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), outline="black", width=4)
        draw.ellipse((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline="white", width=2)
        words = f"{NUCLEUS_UM:g} µm"
        place = (box[2] + pad, low - bottom + top // 2)
        draw.text(place, words, fill="white", font=font, stroke_width=2, stroke_fill="black")


def _words(estimate: Estimate) -> list[str]:
    lines = []
    if estimate.mpp_um is not None and estimate.magnification_x is not None:
        lines.append(f"{estimate.mpp_um:.3g} µm/px ({estimate.magnification_x:.3g}x)")
        if estimate.mpp_lo_um is not None and estimate.mpp_hi_um is not None:
            lines[0] += f", 90 %: {estimate.mpp_lo_um:.3g} to {estimate.mpp_hi_um:.3g}"
    if estimate.abstained:
        verdict = "unsure" if lines else "no answer"
        lines.append(f"{verdict}: {estimate.reason.replace('_', ' ')}")
    return lines or ["no answer"]
