"""Whole slides drawn for the tests: real pyramidal TIFFs in the manner of a scanner, with tissue on glass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.hagnifinder.drawn import draw_tissue

APERIO = "Aperio Image Library v11.2.1\r\n{w}x{h} [0,0 {w}x{h}] (256x256) J2K/YUV16 Q=70|AppMag = {x:g}|MPP = {um:g}"


def halved(level: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """A picture and its `count` halvings."""
    levels = [level]
    for _ in range(count):
        last = levels[-1]
        size = (last.shape[1] // 2, last.shape[0] // 2)
        levels.append(np.asarray(cv2.resize(last, size, interpolation=cv2.INTER_AREA), dtype=np.uint8))
    return levels


def draw_slide(width_px: int, height_px: int, *, mpp_um: float = 0.25, seed: int = 0, glass: float = 0.25) -> NDArray:
    """Tissue with nuclei of 8 µm; the right `glass` of the slide is empty."""
    rgb = draw_tissue(height_px, width_px, nucleus_px=8.0 / mpp_um, seed=seed)
    rgb[:, round(width_px * (1 - glass)) :] = 243
    return rgb


def write_slide(
    path: Path,
    pixels: NDArray[np.uint8],
    *,
    mpp_um: float | None = 0.25,
    objective_x: float | None = 40.0,
    levels: int = 3,
    compression: str | None = "jpeg",
    **options: Any,
) -> Path:
    """A tiled pyramid as scanners write them; without a scale when `mpp_um` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = "drawn for a test"
    if mpp_um is not None:
        words = APERIO.format(w=pixels.shape[1], h=pixels.shape[0], x=objective_x or 0, um=mpp_um)
        if objective_x is None:
            words = words.replace("|AppMag = 0", "")
    with tifffile.TiffWriter(path) as file:
        for i, level in enumerate(halved(pixels, levels - 1)):
            file.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression=compression,
                description=words if i == 0 else None,
                metadata=None,
                subfiletype=0 if i == 0 else 1,
                **options,
            )
    return path
