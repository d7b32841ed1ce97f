"""One way to read every slide: its metadata, its levels, and rectangles of its pixels.

`open_slide` tries OpenSlide, then the TIFF reader, then a plain picture; whoever reads, x and y count the pixels of the
level that is read, and what lies beyond the slide is white.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from hagnifinder.errors import DataError, ImageError
from hagnifinder.images import MAX_PX, read_rgb
from hagnifinder.preprocess import RgbImage
from hagnifinder.scale import UM_PX_AT_1X

SLIDE_SUFFIXES = frozenset({".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".svslide", ".dcm"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".jp2"})

MAX_DISAGREEMENT = 1.25
"""Objective and µm/px may differ by this ratio: 40x scanners stand between 0.2265 and 0.2527 µm/px, 20x reach 0.55."""
SNAP_RATIO = 1.12
OBJECTIVES_X = (2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""A slide that names no objective is taken for the nearest of these when its µm/px is within SNAP_RATIO of it."""
BELIEVABLE_UM = (0.05, 20.0)

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says of its own scale.

    Attributes:
        mpp_um: µm per pixel of the finest level; None when the file does not say.
        objective_x: power of the objective; None when the file does not say.
    """

    mpp_um: float | None = None
    objective_x: float | None = None


class Slide(Protocol):
    """An open slide. Not to be shared between threads."""

    metadata: Metadata

    @property
    def levels(self) -> tuple[Size, ...]:
        """Sizes, the finest first."""
        ...

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        """Pixels of one level: (height_px, width_px, 3) uint8.

        Raises:
            DataError: when this part of the file cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Picture:
    """A picture that is decoded whole; its scale is told by somebody else."""

    def __init__(self, path: Path) -> None:
        """Decode it.

        Raises:
            DataError: when it is no picture, or has more pixels than are decoded.
        """
        try:
            self._pixels = read_rgb(path, MAX_PX)
        except ImageError as error:
            raise DataError(str(error)) from error
        self.metadata = Metadata()

    @property
    def levels(self) -> tuple[Size, ...]:
        """One level."""
        return ((self._pixels.shape[1], self._pixels.shape[0]),)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        """Cut from the pixels."""
        return on_white(self._pixels[y_px : y_px + height_px, x_px : x_px + width_px], width_px, height_px)

    def close(self) -> None:
        """Nothing is open."""


def on_white(pixels: RgbImage, width_px: int, height_px: int) -> RgbImage:
    """Lay (h, w, 3) pixels in the upper left corner of a white (height_px, width_px, 3)."""
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    canvas = np.full((height_px, width_px, 3), 255, dtype=np.uint8)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    return canvas


def open_slide(path: Path) -> Slide:
    """Open a slide with whatever reads it.

    Raises:
        DataError: one sentence, when nothing does or the file is an unfinished download.
    """
    if path.suffix.lower() in (".partial", ".part"):
        raise DataError(f"{path.name} is an unfinished download: finish it and build again.")
    if not path.is_file():
        raise DataError(f"{path} is not a file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty: download it again.")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Picture(path)
    refusals: list[str] = []
    for opener in (_with_openslide, _with_tifffile, _as_picture):
        slide = opener(path, refusals.append)
        if slide is not None:
            return slide
    raise DataError(f"{path.name} cannot be read as a slide: {'; '.join(refusals)}.")


def nominal_of(metadata: Metadata, stated_um: float | None) -> tuple[float, float]:
    """µm per pixel and nominal magnification of the finest level, from the file and from what a person states.

    The file's own µm/px wins where a person gives one for files without. A plain picture has no objective: its nominal
    magnification is 10 / µm per pixel. A slide's is its objective, or the usual objective nearest to its µm/px.

    Raises:
        DataError: when nothing says how large a pixel is, or when what is said cannot all be true.
    """
    mpp_um = metadata.mpp_um if metadata.mpp_um is not None else stated_um
    if mpp_um is None:
        raise DataError("it does not say how large its pixels are: give --mpp, or a row in slides.csv")
    if not (math.isfinite(mpp_um) and BELIEVABLE_UM[0] <= mpp_um <= BELIEVABLE_UM[1]):
        raise DataError(f"{mpp_um:g} µm per pixel is no light microscope's")
    physical_x = UM_PX_AT_1X / mpp_um
    objective_x = metadata.objective_x
    if objective_x is not None:
        ratio = physical_x / objective_x
        if not 1.0 / MAX_DISAGREEMENT <= ratio <= MAX_DISAGREEMENT:
            raise DataError(f"its objective says {objective_x:g}x and its {mpp_um:.4g} µm/px say {physical_x:.3g}x")
        return mpp_um, objective_x
    if metadata.mpp_um is None:
        return mpp_um, physical_x
    nearest = min(OBJECTIVES_X, key=lambda x: abs(math.log(x / physical_x)))
    return mpp_um, nearest if max(nearest / physical_x, physical_x / nearest) <= SNAP_RATIO else physical_x


def read_averaged(slide: Slide, x_px: int, y_px: int, side_px: int, by: int) -> RgbImage:
    """Read a square of the finest level as averages over `by` x `by` pixels; memory is that of a band.

    Returns:
        (side_px // by, side_px // by, 3) uint8.
    """
    n = side_px // by
    if by == 1:
        return slide.read(0, x_px, y_px, n, n)
    out = np.empty((n, n, 3), dtype=np.uint8)
    rows = max(1, 512 // by)
    for top in range(0, n, rows):
        count = min(rows, n - top)
        band = slide.read(0, x_px, y_px + top * by, n * by, count * by)
        cv2.resize(band, (n, count), dst=out[top : top + count], interpolation=cv2.INTER_AREA)
    return out


def _with_openslide(path: Path, refuse: Callable[[str], None]) -> Slide | None:
    try:
        from hagnifinder.wholeslide.vendor import OpenSlideSlide
    except (ImportError, OSError):
        refuse("OpenSlide is not installed (pip install 'histology-harvester[slides]')")
        return None
    try:
        return OpenSlideSlide(path)
    except DataError as error:
        refuse(str(error))
        return None


def _with_tifffile(path: Path, refuse: Callable[[str], None]) -> Slide | None:
    from hagnifinder.wholeslide.tiff import TiffSlide

    try:
        return TiffSlide(path)
    except DataError as error:
        refuse(str(error))
        return None


def _as_picture(path: Path, refuse: Callable[[str], None]) -> Slide | None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    from hagnifinder.wholeslide.tiff import tiff_metadata

    try:
        picture = Picture(path)
    except DataError as error:
        refuse(str(error).rstrip("."))
        return None
    picture.metadata = tiff_metadata(path)
    return picture
