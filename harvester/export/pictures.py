"""Copies a stored snapshot: checked against its hash, and with nothing but pixels in it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harvester.catalog_rows import SNAPSHOT_PATH

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"sBIT"})
"""All that decides what the picture looks like. EXIF, texts, times and unknown chunks stay behind."""


class PictureProblem(Exception):
    """A picture that can't leave; str() is a key of request.REASONS."""


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
