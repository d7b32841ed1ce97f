"""Pictures from anywhere to (H, W, 3) uint8, or one sentence why not. Every byte is taken as hostile.

The size is read from the header and refused before anything is decoded.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hagnifinder.errors import ImageError

MAX_PX = 200_000_000
MAX_BYTES = 2_000_000_000
"""A larger file is refused unread: nothing of MAX_PX pixels needs it."""
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM", "TGA")

_HEIC_BRANDS = (b"heic", b"heix", b"mif1")


def read_rgb(source: str | Path | bytes, max_px: int = MAX_PX) -> NDArray[np.uint8]:
    """Read the first frame of a picture as it is meant to be seen.

    16-bit grey levels are scaled to 8, CMYK and palettes become RGB, transparency lies on white, the EXIF orientation
    is applied.

    Args:
        source: a path, or the bytes of a file.
        max_px: more pixels than this are refused before decoding.

    Returns:
        (H, W, 3) uint8, order R, G, B, contiguous.

    Raises:
        ImageError: when the file is missing, empty, no picture, damaged, cut short or too large.
    """
    name = "the picture" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else _read_bytes(Path(source), name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the name is not a file's name"
        raise ImageError(f"{name} cannot be read: {reason}.") from error
    if not data:
        raise ImageError(f"{name} is empty.")
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large pictures; we decide on both ourselves.
        warnings.simplefilter("ignore")
        try:
            return _decode(data, name, max_px)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(f"{name} is not a picture of a known format.") from error
        except Image.DecompressionBombError as error:
            raise ImageError(f"{name} has more pixels than can be decoded safely.") from error
        # Decoders of two dozen formats raise what they like on damaged bytes; all of it means the same to us.
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error) as error:
            raise ImageError(f"{name} is damaged or cut short.") from error
        except (MemoryError, OverflowError, ZeroDivisionError, RuntimeError, AttributeError) as error:
            raise ImageError(f"{name} is damaged or too large to decode.") from error


def _read_bytes(path: Path, name: str) -> bytes:
    """A device or a pipe has no end to wait for: only files are opened."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"{name} cannot be read: it is not a file.")
    if found.st_size > MAX_BYTES:
        raise ImageError(f"{name} is larger than the {MAX_BYTES:,} bytes we read.")
    return path.read_bytes()


def _decode(data: bytes, name: str, max_px: int) -> NDArray[np.uint8]:
    formats: tuple[str, ...] = _FORMATS
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise ImageError(f"{name} is HEIC: pip install pillow-heif to read it.") from None
        register_heif_opener(thumbnails=False)
        formats = ("HEIF",)
    with Image.open(io.BytesIO(data), formats=formats) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise ImageError(f"{name} has no pixels.")
        if width * height > max_px:
            raise ImageError(f"{name} has {width:,} x {height:,} pixels, more than the {max_px:,} we decode.")
        if getattr(image, "n_frames", 1) > 1:
            image.seek(0)
        image.load()
        upright = ImageOps.exif_transpose(image)
        pixels = np.asarray(_to_rgb(upright), dtype=np.uint8)
    return np.ascontiguousarray(pixels)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        return _scaled_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _scaled_grey(image: Image.Image) -> Image.Image:
    levels = np.asarray(image, dtype=np.float64)
    levels = np.nan_to_num(levels, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(levels.max(initial=0.0))
    # 12-bit cameras write into 16-bit files: the nearest usual full scale above the brightest pixel is the white.
    full = next((f for f in (1.0, 255.0, 4095.0, 65535.0) if top <= f), top)
    if image.mode != "F" and full == 1.0:
        full = 65535.0
    grey = np.clip(levels * (255.0 / full), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
