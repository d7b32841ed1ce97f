"""A short hash that survives recompression and small changes of size: for finding the same picture twice."""

from __future__ import annotations

import cv2
import numpy as np

from harvester.geometry import RgbImage


def perceptual_hash(pixels: RgbImage) -> str:
    """Return 16 hex digits: the signs of the 64 lowest DCT frequencies of the luminance against their median.

    Args:
        pixels: (H, W, 3) uint8 RGB.

    Source:
        The DCT hash described by Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    # the mean brightness (first coefficient) says nothing about the structure
    bits = low > np.median(low[1:])
    return f"{int(np.packbits(bits).view('>u8')[0]):016x}"


def hamming(first: str, second: str) -> int:
    """Return in how many of the 64 bits two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()
