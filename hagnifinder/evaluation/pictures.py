"""Test pictures: what a reader would have cut from a slide, at scales between the native ones, never enlarged.

Every picture follows from its source's name alone, so that two models are asked the same questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hagnifinder.data.augment import recompress
from hagnifinder.data.loader import shrink
from hagnifinder.data.slides import SlideImage
from hagnifinder.images import read_rgb
from hagnifinder.preprocess import MIN_DETAIL, MIN_TISSUE_SHARE, RgbImage, detail, tissue_share

SIDE_PX = 384
MIN_SIDE_PX = 128
COARSEST_UM = 6.5
"""No picture is made coarser than this."""
KERNELS = ("area", "lanczos", "bicubic")
"""The last one is never used in training."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One question with its answer."""

    pixels: RgbImage
    mpp_um: float
    group: str
    dataset: str
    is_native: bool


def pictures_of(image: SlideImage) -> Iterator[Picture]:
    """Cut pictures of at most 384 px from one source: one in native pixels, then one about every octave coarser.

    The shrunken ones pass through JPEG of quality 50 to 95, as figures do. Crops with little tissue are left out.
    """
    source = read_rgb(image.path)
    seed = int.from_bytes(hashlib.sha256(f"{image.dataset}/{image.path.name}".encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    phase = float(rng.uniform(0.3, 1.0))
    ratio, step = 1.0, 0
    while image.mpp_um * ratio <= COARSEST_UM and min(source.shape[:2]) / ratio >= MIN_SIDE_PX:
        picture = _cut(source, ratio, rng)
        if picture is not None:
            pixels, exact = picture
            if step:
                pixels = recompress(pixels, int(rng.integers(50, 96)), int(rng.integers(8)), int(rng.integers(8)))
            yield Picture(pixels, image.mpp_um * exact, image.group, image.dataset, step == 0)
        ratio = 2.0 ** (step + phase)
        step += 1


def _cut(source: RgbImage, ratio: float, rng: np.random.Generator) -> tuple[RgbImage, float] | None:
    height = min(source.shape[0], round(SIDE_PX * ratio))
    width = min(source.shape[1], round(SIDE_PX * ratio))
    kernel = KERNELS[int(rng.integers(len(KERNELS)))]
    for _ in range(12):
        y = int(rng.integers(source.shape[0] - height + 1))
        x = int(rng.integers(source.shape[1] - width + 1))
        crop = np.ascontiguousarray(source[y : y + height, x : x + width])
        if tissue_share(crop) < MIN_TISSUE_SHARE:
            continue
        shrunk = crop if ratio == 1.0 else shrink(crop, round(width / ratio), round(height / ratio), kernel)
        if detail(shrunk) >= MIN_DETAIL:
            return shrunk, width / shrunk.shape[1]
    return None
