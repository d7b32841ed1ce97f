"""Tiled TIFF without OpenSlide: SVS, OME-TIFF and plain pyramids, one tile at a time."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from hagnifinder.errors import DataError
from hagnifinder.metadata import read_pixel_size
from hagnifinder.preprocess import RgbImage
from hagnifinder.wholeslide.reader import Metadata, Size, on_white

# Oddities of vendors' files are told here where they matter; the library's own log would repeat them.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_CACHED_TILES = 64
_MAX_TILE_PX = 4096 * 4096
_DAMAGE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, AttributeError, ZeroDivisionError)


class TiffSlide:
    """The tiled pages of a TIFF, largest first."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            DataError: when it is no TIFF, or holds no tiled 8-bit RGB page.
        """
        self._name = path.name
        try:
            self._file = tifffile.TiffFile(path)
        except (*_DAMAGE, tifffile.TiffFileError) as error:
            raise DataError(f"{path.name} is no TIFF") from error
        try:
            self._pages = _tiled_pages(self._file)
        except (*_DAMAGE, tifffile.TiffFileError) as error:
            self._file.close()
            raise DataError(f"{path.name} is damaged or cut short") from error
        if not self._pages:
            self._file.close()
            raise DataError(f"{path.name} has no tiles of 8-bit colour")
        self.metadata = tiff_metadata(path)
        self._cache: OrderedDict[tuple[int, int], RgbImage] = OrderedDict()

    @property
    def levels(self) -> tuple[Size, ...]:
        """Sizes, the finest first."""
        return tuple((int(p.imagewidth), int(p.imagelength)) for p in self._pages)

    def read(self, level: int, x_px: int, y_px: int, width_px: int, height_px: int) -> RgbImage:
        """Put the tiles under a rectangle together.

        Raises:
            DataError: when one of them cannot be decoded.
        """
        page = self._pages[level]
        tile_w, tile_h = int(page.tilewidth), int(page.tilelength)
        x1, y1 = min(x_px + width_px, int(page.imagewidth)), min(y_px + height_px, int(page.imagelength))
        out = on_white(np.empty((0, 0, 3), dtype=np.uint8), width_px, height_px)
        for row in range(max(0, y_px) // tile_h, -(-y1 // tile_h)):
            for column in range(max(0, x_px) // tile_w, -(-x1 // tile_w)):
                tile = self._tile(level, row * -(-int(page.imagewidth) // tile_w) + column)
                top, left = row * tile_h, column * tile_w
                a, b = max(y_px, top), min(y1, top + tile.shape[0])
                c, d = max(x_px, left), min(x1, left + tile.shape[1])
                if a < b and c < d:
                    out[a - y_px : b - y_px, c - x_px : d - x_px] = tile[a - top : b - top, c - left : d - left]
        return out

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _tile(self, level: int, index: int) -> RgbImage:
        key = (level, index)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        page = self._pages[level]
        try:
            self._file.filehandle.seek(page.dataoffsets[index])
            data = self._file.filehandle.read(page.databytecounts[index])
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
        except (*_DAMAGE, tifffile.TiffFileError) as error:
            if "imagecodecs" in str(error):
                raise DataError(
                    f"{self._name} is compressed in a way that needs imagecodecs: "
                    "pip install 'histology-harvester[slides]'"
                ) from error
            raise DataError(f"{self._name} is damaged or cut short") from error
        if decoded is None:  # a tile of no bytes is glass that was never stored
            tile = np.full((int(page.tilelength), int(page.tilewidth), 3), 255, dtype=np.uint8)
        else:
            tile = np.ascontiguousarray(np.asarray(decoded).reshape(decoded.shape[-3:])[..., :3])
        self._cache[key] = tile
        if len(self._cache) > _CACHED_TILES:
            self._cache.popitem(last=False)
        return tile


def _tiled_pages(file: tifffile.TiffFile) -> list[Any]:
    found = []
    for series in file.pages:
        page = series.aspage()
        found += [page, *(page.pages or [])]
    tiled = [
        page
        for page in (p.aspage() for p in found)
        if page.is_tiled
        and page.dtype == np.uint8
        and page.samplesperpixel in (3, 4)
        and page.tilewidth * page.tilelength <= _MAX_TILE_PX
    ]
    tiled.sort(key=lambda p: -p.imagewidth)
    if not tiled:
        return []
    shape = tiled[0].imagewidth / tiled[0].imagelength
    # Labels and macro pictures of other proportions are no levels.
    return [p for p in tiled if abs(p.imagewidth / p.imagelength / shape - 1.0) < 0.05]


def tiff_metadata(path: Path) -> Metadata:
    """µm per pixel and objective of a TIFF, as Aperio, OME and others write them.

    Anything unreadable counts as not said.
    """
    size = read_pixel_size(path)
    objective_x = None
    with contextlib.suppress(*_DAMAGE, tifffile.TiffFileError), tifffile.TiffFile(path) as file:
        words = file.ome_metadata or str(file.pages[0].aspage().description or "")
        power = re.search(r"\b(?:AppMag\s*=\s*|NominalMagnification=\")([0-9.]+)", words)
        objective_x = float(power[1]) if power else None
    return Metadata(size.mpp_um if size else None, objective_x)
