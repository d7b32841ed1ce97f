"""Files that people and servers really hand over: broken, hostile, or merely odd."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image

ENTITY_BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE article [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<article><front><article-meta><title-group><article-title>&c;</article-title></title-group></article-meta></front></article>
"""
FILE_ENTITY = b"""<?xml version="1.0"?>
<!DOCTYPE article [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
<article><front><article-meta><title-group><article-title>&secret;</article-title></title-group></article-meta></front></article>
"""


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return (height, width, 3) uint8 noise with some structure."""
    small = np.random.default_rng(seed).integers(90, 230, (max(1, height // 8), max(1, width // 8), 3))
    tiled = np.repeat(np.repeat(small, 8, axis=0), 8, axis=1)[:height, :width]
    return np.pad(tiled, ((0, height - tiled.shape[0]), (0, width - tiled.shape[1]), (0, 0)), mode="edge").astype(
        np.uint8
    )


def pdf(pages: int = 1, **save: object) -> bytes:
    """Return a PDF of pages with one picture and a caption on the first."""
    with pymupdf.open() as document:
        for number in range(pages):
            page = document.new_page()
            if number == 0:
                data = io.BytesIO()
                Image.fromarray(picture(400, 300)).save(data, "PNG")
                page.insert_image(pymupdf.Rect(100, 100, 400, 325), stream=data.getvalue())
                page.insert_text((100, 345), "Figure 1. A picture of noise.")
        return document.tobytes(**save)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a few bytes of PNG that would decode to width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def write_odd_images(folder: Path) -> None:
    """Write pictures that are unusual and all right: each must be taken."""
    rgb = Image.fromarray(picture(300, 200))
    grey16 = Image.fromarray(np.random.default_rng(1).integers(0, 65535, (200, 300)).astype(np.uint16))
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(rgb.size))
    (folder / "sixteen bit.tif").write_bytes(saved(grey16, "TIFF"))
    (folder / "cmyk.jpg").write_bytes(saved(rgb.convert("CMYK"), "JPEG"))
    (folder / "palette.png").write_bytes(saved(rgb.quantize(16), "PNG"))
    (folder / "alpha.png").write_bytes(saved(alpha, "PNG"))
    (folder / "animated.gif").write_bytes(
        saved(
            rgb.convert("P"), "GIF", save_all=True, append_images=[Image.fromarray(picture(300, 200, 5)).convert("P")]
        )
    )
    (folder / "one pixel.png").write_bytes(saved(Image.fromarray(picture(1, 1)), "PNG"))
    (folder / "wide.png").write_bytes(saved(Image.fromarray(picture(30_000, 64)), "PNG"))
    (folder / "quote ' double \" new\nline 😀 .. .png").write_bytes(saved(Image.fromarray(picture(200, 150, 9)), "PNG"))


def write_bad_images(folder: Path) -> None:
    """Write pictures that can't be read: each must be named and cost nothing else."""
    whole = saved(Image.fromarray(picture(300, 200, 3)), "JPEG")
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "bomb.png").write_bytes(png_that_claims(60_000, 60_000))
    (folder / "text.png").write_bytes(b"this is no picture at all")
    (folder / "empty.png").write_bytes(b"")


def write_bad_pdfs(folder: Path) -> None:
    """Write PDFs that can't be read: each must be named and cost nothing else."""
    whole = pdf()
    (folder / "encrypted.pdf").write_bytes(
        pdf(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="locked", owner_pw="owner")
    )
    (folder / "damaged.pdf").write_bytes(whole[:15] + bytes(len(whole) // 2))
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "portal.pdf").write_bytes(b"<!DOCTYPE html><html><title>Sign in</title></html>")
    (folder / "proceedings.pdf").write_bytes(pdf(pages=10_000))
