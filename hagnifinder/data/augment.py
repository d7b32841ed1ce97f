"""What cameras, scanners, editors and publishers do to a picture without changing the size of its pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hagnifinder.preprocess import RgbImage

# Absorbance of haematoxylin, eosin and the residual: Ruifrok and Johnston, Anal Quant Cytol Histol 23(4):291-299, 2001.
STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]], dtype=np.float32)
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIX = np.linalg.inv(STAINS).astype(np.float32)


def augment(crop: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Change colour, sharpness, compression and orientation of a crop, never its scale.

    The 8-pixel grid of JPEG falls at a random offset, so that its distance to the tissue says nothing.

    Args:
        crop: (S, S, 3) uint8.
        rng: the only source of chance.
    """
    pixels = _recolour(crop, rng)
    pixels = _refocus(pixels, rng)
    if rng.random() < 0.1:
        pixels = through_cmyk(pixels)
    # A figure is often compressed more than once: by the camera, the author, the publisher.
    n_codings = int(rng.choice(4, p=(0.2, 0.45, 0.25, 0.1)))
    after = int(rng.integers(0, n_codings + 1))
    for i in range(n_codings + 1):
        if i == after and rng.random() < 0.35:
            pixels = _draw_overlay(pixels, rng)
        if i < n_codings:
            pixels = recompress(pixels, int(rng.integers(40, 97)), int(rng.integers(8)), int(rng.integers(8)))
    pixels = np.rot90(pixels, int(rng.integers(4)))
    return np.ascontiguousarray(pixels[:, ::-1] if rng.random() < 0.5 else pixels)


def recompress(pixels: RgbImage, quality: int, offset_y: int = 0, offset_x: int = 0) -> RgbImage:
    """Through JPEG and back, with the block grid shifted by 0 to 7 pixels."""
    shifted = np.pad(pixels, ((offset_y, 0), (offset_x, 0), (0, 0)), mode="edge")
    _, code = cv2.imencode(".jpg", shifted, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    result: RgbImage = np.asarray(decoded, dtype=np.uint8)[offset_y:, offset_x:]
    return result


def through_cmyk(pixels: RgbImage) -> RgbImage:
    """To printing inks and back, with the rounding of 8 bits and a black that takes its share of the others."""
    light = pixels.astype(np.float32) / 255.0
    black = 1.0 - light.max(axis=2, keepdims=True)
    inks = np.round((1.0 - light - black) / np.maximum(1.0 - black, 1e-3) * 255.0) / 255.0
    # What paper shows of full ink is never pure: a slightly smaller gamut comes back.
    black = np.round(black * 255.0) / 255.0 * 0.93
    back = (1.0 - 0.95 * inks) * (1.0 - black)
    printed: RgbImage = np.clip(back * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    return printed


def _recolour(pixels: RgbImage, rng: np.random.Generator) -> RgbImage:
    density: NDArray[np.float32] = -np.log((pixels.astype(np.float32) + 1.0) / 256.0)
    if rng.random() < 0.8:
        gains = np.exp(rng.normal(0.0, 0.25, 3)).astype(np.float32)
        # One matrix does unmix, scale, mix: stains of another strength, the same tissue.
        density = density @ (UNMIX * gains) @ STAINS
    if rng.random() < 0.6:
        density = density * np.exp(rng.normal(0.0, 0.12, 3)).astype(np.float32)
    if rng.random() < 0.5:
        density = density + rng.uniform(-0.03, 0.25) + rng.normal(0.0, 0.03, 3).astype(np.float32)
    light = np.exp(-np.clip(density, 0.0, 6.0))
    if rng.random() < 0.5:
        light = light ** np.float32(np.exp(rng.normal(0.0, 0.25)))
    return np.clip(light * 256.0 - 1.0, 0.0, 255.0).astype(np.uint8)


def _refocus(pixels: RgbImage, rng: np.random.Generator) -> RgbImage:
    chance = rng.random()
    if chance < 0.4:
        result: RgbImage = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.3, 1.8)))
        return result
    if chance < 0.6:
        soft = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.6, 1.5)))
        amount = float(rng.uniform(0.2, 1.0))
        sharp: RgbImage = cv2.addWeighted(pixels, 1.0 + amount, soft, -amount, 0.0)
        return sharp
    if chance < 0.7:
        noise = rng.normal(0.0, rng.uniform(1.0, 6.0), pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return pixels


def _draw_overlay(pixels: RgbImage, rng: np.random.Generator) -> RgbImage:
    drawn = pixels.copy()
    side = drawn.shape[0]
    colour = (255, 255, 255) if rng.random() < 0.4 else (0, 0, 0) if rng.random() < 0.8 else (240, 220, 40)
    kind = rng.integers(4)
    x, y = (int(v) for v in rng.integers(0, side, 2))
    if kind == 0:  # a scale bar of a length that means nothing
        cv2.rectangle(drawn, (x, y), (x + int(rng.integers(10, side // 2)), y + int(rng.integers(1, 5))), colour, -1)
    elif kind == 3:  # the border of the panel, and what lies beyond
        width = int(rng.integers(2, side // 5))
        edge = int(rng.integers(4))
        drawn = np.ascontiguousarray(np.rot90(drawn, edge))
        drawn[:width] = colour if rng.random() < 0.5 else 255
        drawn = np.ascontiguousarray(np.rot90(drawn, -edge))
    elif kind == 1:
        letter = chr(int(rng.integers(65, 91)))
        size = float(rng.uniform(0.4, 1.6))
        cv2.putText(drawn, letter, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, int(rng.integers(1, 4)))
    else:
        tip = tuple(int(v) for v in rng.integers(0, side, 2))
        cv2.arrowedLine(drawn, (x, y), tip, colour, int(rng.integers(1, 3)))
    return drawn
