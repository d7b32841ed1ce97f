"""Slides through OpenSlide: every vendor it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide

from hagnifinder.errors import DataError
from hagnifinder.preprocess import RgbImage
from hagnifinder.wholeslide.reader import Metadata, Size
from hagnifinder.wholeslide.tiff import tiff_metadata

_SQUARE = 1.02
"""Pixels whose sides differ more than this have no single size."""


class OpenSlideSlide:
    """A slide in the hands of OpenSlide."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            DataError: when OpenSlide does not know the format or finds it damaged.
        """
        self._name = path.name
        try:
            self._slide = openslide.OpenSlide(str(path))
        except (openslide.OpenSlideError, OSError) as error:
            raise DataError(f"OpenSlide says {error}") from error
        self.metadata = self._read_metadata(path)

    @property
    def levels(self) -> tuple[Size, ...]:
        """Sizes, the finest first."""
        return tuple((int(w), int(h)) for w, h in self._slide.level_dimensions)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        """Transparent pixels, which no scanner has seen, are white.

        Raises:
            DataError: when this part cannot be decoded.
        """
        ratio = self._slide.level_downsamples[level]
        try:
            region = self._slide.read_region((round(x_px * ratio), round(y_px * ratio)), level, (width_px, height_px))
        except (openslide.OpenSlideError, OSError) as error:
            raise DataError(f"{self._name} is damaged or cut short: {error}") from error
        rgba = np.asarray(region)
        rgb = np.ascontiguousarray(rgba[..., :3])
        rgb[rgba[..., 3] == 0] = 255
        return rgb

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()

    def _read_metadata(self, path: Path) -> Metadata:
        said = self._slide.properties
        across = _number(said.get(openslide.PROPERTY_NAME_MPP_X))
        down = _number(said.get(openslide.PROPERTY_NAME_MPP_Y)) or across
        if said.get(openslide.PROPERTY_NAME_VENDOR) == "generic-tiff":
            # its resolution tags are taken as they are, printers' numbers too
            return tiff_metadata(path)
        objective = _number(said.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
        if across and down and max(across / down, down / across) > _SQUARE:
            self._slide.close()
            raise DataError(f"its pixels are not square ({across:g} x {down:g} µm)")
        if across and down:
            return Metadata((across + down) / 2.0, objective)
        # OME-TIFF and resolution tags are not OpenSlide's business.
        elsewhere = tiff_metadata(path)
        return Metadata(elsewhere.mpp_um, objective or elsewhere.objective_x)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else 0.0
    except ValueError:
        return None
    return value if value > 0.0 and value != float("inf") else None
