"""Optical density, stain separation and the mask of tissue.

Stain separation follows A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
deconvolution", Anal Quant Cytol Histol 23 (2001) 291-299: by Lambert-Beer the optical densities of stains add up, so
the amounts of three stains are the densities of R, G, B times the inverse of the matrix of the stains' own densities.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage

FloatImage = NDArray[np.float32]
"""(H, W, 3) float32."""
Mask = NDArray[np.bool_]
"""(H, W) bool."""

HEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)
DAB = (0.268, 0.570, 0.776)
"""Densities of R, G, B of a pure stain, unit length: Ruifrok and Johnston 2001, as used since for H, E and DAB."""

DENSITY_OF_LEVEL: NDArray[np.float32] = -np.log10(np.maximum(np.arange(256), 1) / 255.0).astype(np.float32)
"""(256,) float32: optical density of a channel value; level 0 counts as 1."""


def stain_matrix(*stains: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return (3, 3) float64, a stain a row at unit length; a third, when not given, at right angles to both."""
    rows = [np.asarray(stain, dtype=np.float64) / np.linalg.norm(stain) for stain in stains]
    if len(rows) == 2:
        normal = np.cross(rows[0], rows[1])
        rows.append(normal / np.linalg.norm(normal))
    return np.vstack(rows)


H_E_DAB = stain_matrix(HEMATOXYLIN, EOSIN, DAB)


def optical_density(pixels: RgbImage) -> FloatImage:
    """Return (H, W, 3) float32: -log10(value / 255) per channel, 0 (clear) to 2.41 (black)."""
    return np.asarray(cv2.LUT(pixels, DENSITY_OF_LEVEL), dtype=np.float32).reshape(pixels.shape)


def separate_stains(pixels: RgbImage, matrix: NDArray[np.float64] = H_E_DAB) -> FloatImage:
    """Return (H, W, 3) float32: the amount of each of the matrix's three stains, in units of optical density.

    Amounts can be slightly negative where a colour lies outside the three stains.
    """
    inverse = np.linalg.inv(matrix).astype(np.float32)
    return np.asarray(cv2.transform(optical_density(pixels), inverse.T), dtype=np.float32)


def join_stains(amounts: FloatImage, matrix: NDArray[np.float64] = H_E_DAB) -> RgbImage:
    """Return the picture (H, W, 3) uint8 of the given amounts of stain: the way back of `separate_stains`."""
    density = cv2.transform(amounts, matrix.astype(np.float32).T)
    return np.asarray(np.clip(np.rint(255.0 * 10.0 ** (-density)), 0, 255), dtype=np.uint8)


def extremes(pixels: RgbImage) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the smallest and the largest channel of every pixel, (H, W) uint8 each."""
    red, green, blue = cv2.split(pixels)
    return (
        np.asarray(cv2.min(cv2.min(red, green), blue), dtype=np.uint8),
        np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8),
    )


def glass_colour(pixels: RgbImage) -> NDArray[np.float32] | None:
    """Return the (3,) float32 colour of empty glass in the picture, None when no glass can be told from tissue.

    Glass is the commonest colour among smooth, bright, hardly coloured pixels. White, grey, yellowish and pinkish
    backgrounds are all found; a crop full of tissue has no such pixels.
    """
    lowest, highest = extremes(pixels)
    chroma = highest - lowest
    mean = cv2.boxFilter(highest, cv2.CV_32F, (5, 5))
    smooth = cv2.sqrBoxFilter(highest, cv2.CV_32F, (5, 5)) - np.square(mean) < 16.0
    # lamps make glass yellowish or peach; only stain takes out green and leaves red and blue
    red, green, blue = cv2.split(pixels)
    pink = cv2.subtract(cv2.min(red, blue), green)
    candidates = smooth & (highest > 110) & (chroma <= np.where(highest > 190, 46, 18)) & (pink <= 14)
    n_candidates = int(np.count_nonzero(candidates))
    if n_candidates < max(16, pixels.shape[0] * pixels.shape[1] // 200):
        return None
    colours = pixels[candidates]
    codes = (colours >> 3).astype(np.int32) @ np.array([1024, 32, 1], dtype=np.int32)
    commonest = np.bincount(codes).argmax()
    glass = np.asarray(np.median(colours[codes == commonest], axis=0), dtype=np.float32)
    # a colour darker than most of the picture is a smooth part of the tissue, not the light that passes beside it
    if float(glass.mean()) < float(np.percentile(highest, 50)) * 0.8 or float(glass.mean()) < 110:
        return None
    return glass


def tissue_mask(pixels: RgbImage) -> Mask:
    """Return (H, W) bool: True where the pixel shows stained tissue, not glass, paper, frame or black print.

    Works without any background in the picture and with white, grey, yellowish or pinkish ones. A picture without
    colour has tissue where it is darker than its glass.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 3:
        return np.zeros((height, width), dtype=bool)
    glass = glass_colour(pixels)
    if glass is None:
        glass = np.array([247.0, 247.0, 247.0], dtype=np.float32)
    smooth = cv2.GaussianBlur(pixels, (0, 0), 1.0) if min(height, width) > 8 else pixels
    density = optical_density(smooth) - (-np.log10(np.maximum(glass, 1.0) / 255.0)).astype(np.float32)
    red, green, blue = cv2.split(density)
    darker = (red + green + blue) / 3.0
    tinted = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
    black = extremes(smooth)[1] < 28
    mask = ((darker > 0.055) | (tinted > 0.075)) & ~black
    if min(height, width) >= 24:
        kernel = np.ones((3, 3), dtype=np.uint8)
        mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)
    return np.asarray(mask, dtype=bool)
