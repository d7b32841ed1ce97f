"""From a stored snapshot to the images that leave: checked, cleaned of all but pixels, brought to one size, cut."""

from __future__ import annotations

import hashlib
import io
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harvester.catalog_rows import SNAPSHOT_PATH
from harvester.export.overlay import find_overlay, largest_clean_box
from harvester.export.request import ExportRequest
from harvester.geometry import BoxPx, RgbImage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"sBIT"})
"""All that decides what the picture looks like. EXIF, texts, times and unknown chunks stay behind."""

LEAST_CLEAN_SIDE_PX = 96
LEAST_CLEAN_SHARE = 0.4
"""What must be left of a picture when drawn-over places are cut away; less is left out."""

Marks = Callable[[Mapping[str, Any]], list[BoxPx]]
"""Gives boxes of what the catalog knows to be drawn on a snapshot, in the snapshot's pixels."""


class PictureProblem(Exception):
    """A picture that can't leave; str() is a key of filters.REASONS."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One image that leaves.

    Attributes:
        png: The file.
        changes: Columns of the record that differ from the snapshot's.
    """

    png: bytes
    changes: dict[str, Any]


def cut(root: Path, row: Mapping[str, Any], request: ExportRequest, known_marks: Marks) -> Iterator[Piece]:
    """Yield the images that a snapshot gives: itself, or what resampling, cutting and cleaning leave of it.

    Raises:
        PictureProblem: "image_missing", "image_damaged", "overlay" or "too_small".
    """
    png = read_picture(root, row)
    if request.at_mpp_um is None and request.tile_px is None and not request.no_overlay:
        yield Piece(png, {"image_sha256": hashlib.sha256(png).hexdigest()})
        return
    pixels, done = decode(png), [CROPPED]
    native_mpp_um = row["mpp_um"]
    factor = 1.0 if request.at_mpp_um is None else request.at_mpp_um / native_mpp_um
    region = BoxPx(0, 0, pixels.shape[1], pixels.shape[0])
    marks = [*find_overlay(pixels), *known_marks(row)] if request.no_overlay else []
    if marks and request.tile_px is None:
        region = _clean_region(region, marks)
        done.append("cut to a part without letters and bars")
    pixels, scale = shrink(region.crop(pixels), factor)
    if factor != 1.0:
        done.append(f"resampled from {native_mpp_um:.6g} to {request.at_mpp_um:.6g} µm/px")
    labels = _scaled_labels(row, factor)
    height, width = pixels.shape[:2]
    if request.tile_px is None:
        tiles = [("", BoxPx(0, 0, width, height))]
    else:
        tiles = _tiles(width, height, request.tile_px, [_to_shrunk(mark, scale) for mark in marks])
        done.append(f"cut into tiles of {request.tile_px} px")
        if not tiles:
            raise PictureProblem("overlay" if marks else "too_small")
    words = f"{'; '.join(done)}; {'pixels averaged' if factor != 1.0 else 'pixels unchanged'}"
    for name, box in tiles:
        data = encode(box.crop(pixels))
        yield Piece(
            data,
            {
                **labels,
                "tile": name,
                "width_px": box.width,
                "height_px": box.height,
                "x0_px": row["x0_px"] + region.x0 + box.x0 * scale,
                "y0_px": row["y0_px"] + region.y0 + box.y0 * scale,
                "x1_px": row["x0_px"] + region.x0 + box.x1 * scale,
                "y1_px": row["y0_px"] + region.y0 + box.y1 * scale,
                "changes": words,
                "image_sha256": hashlib.sha256(data).hexdigest(),
            },
        )


CROPPED = "cropped to one region of one panel of the named figure"
UNCHANGED = f"{CROPPED}; pixels unchanged"


def _scaled_labels(row: Mapping[str, Any], factor: float) -> dict[str, Any]:
    if factor == 1.0:
        return {}
    labels = {name: row[name] and row[name] * factor for name in ("mpp_um", "mpp_lo_um", "mpp_hi_um")}
    return {**labels, "magnification_x": 10.0 / labels["mpp_um"]}


def shrink(pixels: RgbImage, factor: float) -> tuple[RgbImage, float]:
    """Return a picture whose pixels are `factor` (1 or more) as large, and the factor.

    The new grid is exact: output pixel (i, j) stands for the square of `factor` input pixels at (i, j) * factor,
    weighted with a Lanczos window of that width; a rest narrower than a pixel at the right and lower edge is cut off.
    """
    if factor == 1.0:
        return pixels, 1.0
    height, width = pixels.shape[:2]
    # a hair more, so that 300 pixels at 2.9999999999999996 are still 100
    new_width, new_height = (math.floor(side / factor + 1e-9) for side in (width, height))
    if not (new_width and new_height):
        raise PictureProblem("too_small")
    box = (0.0, 0.0, min(width, new_width * factor), min(height, new_height * factor))
    small = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.LANCZOS, box=box)
    return np.asarray(small), factor


def _clean_region(region: BoxPx, marks: list[BoxPx]) -> BoxPx:
    clean = largest_clean_box(region.width, region.height, marks)
    least = min(LEAST_CLEAN_SIDE_PX, region.width, region.height)
    if clean is None or min(clean.width, clean.height) < least or clean.area < LEAST_CLEAN_SHARE * region.area:
        raise PictureProblem("overlay")
    return clean


def _to_shrunk(mark: BoxPx, factor: float) -> BoxPx:
    x0, y0 = math.floor(mark.x0 / factor), math.floor(mark.y0 / factor)
    return BoxPx(x0, y0, max(x0 + 1, math.ceil(mark.x1 / factor)), max(y0 + 1, math.ceil(mark.y1 / factor)))


def _tiles(width: int, height: int, side: int, marks: list[BoxPx]) -> list[tuple[str, BoxPx]]:
    """Return a centred grid of whole tiles side by side, numbered row by row; those that touch a mark are left out."""
    n_x, n_y = width // side, height // side
    left, top = (width - n_x * side) // 2, (height - n_y * side) // 2
    grid = [
        BoxPx(left + i * side, top + j * side, left + (i + 1) * side, top + (j + 1) * side)
        for j in range(n_y)
        for i in range(n_x)
    ]
    named = [(f"t{number}", box) for number, box in enumerate(grid, start=1)]
    return [(name, box) for name, box in named if not any(box.intersection_area(mark) for mark in marks)]


def decode(png: bytes) -> RgbImage:
    """Return a stored snapshot as (H, W, 3) uint8 RGB.

    Raises:
        PictureProblem: "image_damaged".
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureProblem("image_damaged") from error


def encode(pixels: RgbImage) -> bytes:
    """Return (H, W, 3) uint8 RGB as a PNG that holds nothing but pixels; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def read_picture(root: Path, row: Mapping[str, Any]) -> bytes:
    """Return the bytes of a snapshot's PNG without metadata.

    Raises:
        PictureProblem: "image_missing" or "image_damaged".
    """
    match = SNAPSHOT_PATH.fullmatch(row["image_path"])
    path = root / row["image_path"]
    if match is None or path.is_symlink():
        raise PictureProblem("image_damaged")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PictureProblem("image_missing") from error
    except OSError as error:
        raise PictureProblem("image_damaged") from error
    if hashlib.sha256(data).hexdigest() != row["image_sha256"]:
        raise PictureProblem("image_damaged")
    return pixels_only(data)


def pixels_only(png: bytes) -> bytes:
    """Return a PNG without the chunks that carry anything but pixels; the same bytes when it has none of them.

    Source: PNG Specification (Third Edition), section 5, "Datastream structure".

    Raises:
        PictureProblem: when it is no well-formed PNG.
    """
    if not png.startswith(_SIGNATURE):
        raise PictureProblem("image_damaged")
    kept, position = [_SIGNATURE], len(_SIGNATURE)
    while position < len(png):
        header = png[position : position + 8]
        if len(header) < 8:
            raise PictureProblem("image_damaged")
        length, name = struct.unpack(">I4s", header)
        chunk = png[position : position + 12 + length]
        if len(chunk) < 12 + length:
            raise PictureProblem("image_damaged")
        if name in _PIXEL_CHUNKS:
            kept.append(chunk)
        position += len(chunk)
        if name == b"IEND":
            break
    return b"".join(kept)
