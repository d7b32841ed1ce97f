"""How large the nuclei of an H&E picture are, in pixels: by thresholding and counting, without anything learned.

Nuclei are the only ruler that every tissue carries: most measure 5 to 12 µm across, so their size in pixels says about
how large a pixel is, and a scale bar by which they would measure 17 µm is not to be believed.

How large a dark blob is depends on how finely one looks: chromatin breaks a nucleus into crumbs, blur joins neighbours.
The picture is therefore shrunk until its blobs are `MEASURED_PX` across, and measured there. So a picture enlarged by
two gives twice the answer, and a picture too coarse to resolve nuclei gives none.

Haematoxylin absorbs red light and eosin hardly does: the red channel's optical density is the stain image (Ruifrok and
Johnston, Anal Quant Cytol Histol 23(4):291-299, 2001, give 0.65 against 0.07 of unit density). Threshold: Otsu, IEEE
Trans Syst Man Cybern 9(1):62-66, 1979.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
FloatPlane = NDArray[np.float32]

MEASURED_PX = 9.0
"""Diameter at which nuclei are measured: above the 6 px to which noise and blur round everything, below chromatin."""
RESOLVED_PX = 7.5
"""Blobs smaller than this at full resolution are no nuclei that could be measured."""
MAX_SIDE_PX = 1000
"""Larger pictures are measured in the middle: a thousand nuclei are enough."""
MIN_SIDE_PX = 64
MIN_BLOBS = 12
MIN_SOLIDITY = 0.8
"""Share of its convex hull that a nucleus fills; nuclei that touch fill less of theirs."""

_SHRINKS = tuple(2.0 ** (k / 2) for k in range(9))
_DENSITY_OF_LEVEL: FloatPlane = -np.log10((np.arange(256) + 1.0) / 256.0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class NucleiSize:
    """The nuclei of a picture.

    Attributes:
        diameter_px: Median diameter of the circle of a nucleus's area, in pixels of the picture; every nucleus counts
            by its area, as crumbs outnumber nuclei.
        spread_log2: Half the distance from the 16th to the 84th percentile of log2 of the diameters.
        count: How many blobs were measured.
        contrast: Distance of nuclei and the rest in stain, in standard deviations; below about 2 there may be none.
    """

    diameter_px: float
    spread_log2: float
    count: int
    contrast: float


@dataclass(frozen=True, slots=True)
class _Level:
    shrink: float
    diameters_px: FloatPlane
    contrast: float

    def quantile_px(self, share: float) -> float:
        """Return the diameter below which that share of the blobs' area lies."""
        area = np.cumsum(self.diameters_px.astype(np.float64) ** 2)
        return float(self.diameters_px[int(np.searchsorted(area, share * area[-1]))])


def measure_nuclei(rgb: RgbImage) -> NucleiSize | None:
    """Measure the dark blobs of an H&E picture.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        None when the picture is too small, holds too few blobs, or is too coarse for nuclei to be resolved.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        return None
    top, left = max(0, height - MAX_SIDE_PX) // 2, max(0, width - MAX_SIDE_PX) // 2
    stain = _DENSITY_OF_LEVEL[rgb[top : top + MAX_SIDE_PX, left : left + MAX_SIDE_PX, 0]]
    finer: _Level | None = None
    for shrink in _SHRINKS:
        level = _look(stain, shrink)
        if level is None:
            return None
        size_px = level.quantile_px(0.5)
        if size_px < MEASURED_PX:
            if finer is not None:
                return _between(finer, level)
            return _as_size(level, size_px) if size_px >= RESOLVED_PX else None
        finer = level
    return None


def _look(stain: FloatPlane, shrink: float) -> _Level | None:
    height, width = round(stain.shape[0] / shrink), round(stain.shape[1] / shrink)
    if min(height, width) < MIN_SIDE_PX // 2:
        return None
    copy = stain if shrink == 1.0 else cv2.resize(stain, (width, height), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(copy, (0, 0), 1.0)
    threshold, contrast = _threshold(smooth)
    if contrast <= 0.0:
        return None
    blobs = _without_holes((smooth > threshold).astype(np.uint8))
    outlines, _ = cv2.findContours(blobs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        # the outline runs through the middle of its pixels
        area = cv2.contourArea(outline) + len(outline) / 2
        x, y, w, h = cv2.boundingRect(outline)
        if area <= 6 or x == 0 or y == 0 or x + w >= width or y + h >= height:
            continue
        if area > MIN_SOLIDITY * (cv2.contourArea(cv2.convexHull(outline)) + len(outline) / 2):
            found.append(2.0 * math.sqrt(area / math.pi))
    if len(found) < MIN_BLOBS:
        return None
    return _Level(shrink, np.sort(np.array(found, dtype=np.float32)), contrast)


def _threshold(smooth: FloatPlane) -> tuple[float, float]:
    """Return Otsu's threshold among stained pixels and how far apart it puts the two sides."""
    stained = smooth[smooth > 0.03]
    if len(stained) < 0.1 * smooth.size:
        return 0.0, 0.0
    low, high = (float(v) for v in np.percentile(stained, [0.5, 99.5]))
    if high - low < 0.02:
        return 0.0, 0.0
    levels = np.clip((stained - low) / (high - low) * 255.0, 0, 255).astype(np.uint8).reshape(-1, 1)
    cut, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    dark = levels[:, 0] > cut
    above, below = stained[dark], stained[~dark]
    if not len(above) or not len(below):
        return 0.0, 0.0
    spread = math.sqrt(0.5 * (float(above.var()) + float(below.var())) + 1e-6)
    return low + (cut + 0.5) / 255.0 * (high - low), (float(above.mean()) - float(below.mean())) / spread


def _without_holes(blobs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill the pale middle of vesicular nuclei: background patches smaller than a nucleus."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - blobs, connectivity=4)
    is_hole = stats[:, cv2.CC_STAT_AREA] < 16
    is_hole[0] = False
    return np.asarray(np.where(is_hole[labels], 1, blobs), dtype=np.uint8)


def _between(finer: _Level, level: _Level) -> NucleiSize:
    """Measure where the blobs would be exactly `MEASURED_PX` across, between two looks."""
    before, after = math.log2(finer.quantile_px(0.5)), math.log2(level.quantile_px(0.5))
    share = (math.log2(MEASURED_PX) - before) / (after - before)
    shrink = 2.0 ** (math.log2(finer.shrink) * (1.0 - share) + math.log2(level.shrink) * share)
    return _as_size(level, MEASURED_PX * shrink)


def _as_size(level: _Level, diameter_px: float) -> NucleiSize:
    return NucleiSize(
        diameter_px=round(diameter_px, 3),
        spread_log2=round(math.log2(level.quantile_px(0.84) / level.quantile_px(0.16)) / 2.0, 3),
        count=len(level.diameters_px),
        contrast=round(level.contrast, 3),
    )
