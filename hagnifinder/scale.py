"""Pixel size and magnification: mpp_um (µm per pixel), magnification_x (10 / mpp_um), and log2 of the pixel size.

The network predicts log2(mpp_um): scale is multiplicative, so an error of 0.1 means 7 % at 1x and at 40x alike, and
shrinking a picture by r adds exactly -log2(r).
"""

from __future__ import annotations

import itertools
import math

UM_PX_AT_1X = 10.0
"""A pixel of 10 µm is called 1x, one of 0.25 µm is called 40x."""

BAND_EDGES_X = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0)
"""Edges of the bands of magnification that results are reported in; 40x itself belongs to the last band."""


def magnification_x_of(mpp_um: float) -> float:
    """Objective-equivalent magnification of a pixel size.

    Raises:
        ValueError: when the pixel size is not a positive finite number.
    """
    if not (mpp_um > 0.0 and math.isfinite(mpp_um)):
        raise ValueError(f"a pixel size must be positive and finite, not {mpp_um}")
    return UM_PX_AT_1X / mpp_um


def mpp_um_of(magnification_x: float) -> float:
    """Pixel size of an objective-equivalent magnification; the inverse of `magnification_x_of`.

    Raises:
        ValueError: when the magnification is not a positive finite number.
    """
    if not (magnification_x > 0.0 and math.isfinite(magnification_x)):
        raise ValueError(f"a magnification must be positive and finite, not {magnification_x}")
    return UM_PX_AT_1X / magnification_x


def log2_error(predicted_um: float, true_um: float) -> float:
    """log2(predicted / true) of two pixel sizes: +1 when the answer is twice too coarse."""
    return math.log2(predicted_um / true_um)


def round_significant(value: float, digits: int = 4) -> float:
    """Round to significant digits, so that sums taken in another order print the same answer."""
    if value == 0.0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def band_of(mpp_um: float) -> str:
    """Name of the band of magnification, such as "10-20x"; the outer bands take what lies beyond them."""
    x = magnification_x_of(mpp_um)
    for low, high in itertools.pairwise(BAND_EDGES_X[:-1]):
        if x < high * (1.0 - 1e-9):
            return f"{low:g}-{high:g}x"
    return f"{BAND_EDGES_X[-2]:g}-{BAND_EDGES_X[-1]:g}x"
