import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hagnifinder.errors import ImageError
from hagnifinder.images import read_rgb


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises this size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_one_pixel_is_a_picture() -> None:
    assert read_rgb(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]]]


def test_thirty_thousand_pixels_in_one_row_are_read() -> None:
    assert read_rgb(encoded(Image.new("L", (30_000, 2), 9), "PNG")).shape == (2, 30_000, 3)


def test_sixteen_bits_become_eight() -> None:
    levels = np.array([[0, 32768, 65535]], dtype=np.uint16)

    assert read_rgb(encoded(Image.fromarray(levels), "PNG"))[0, :, 0].tolist() == [0, 127, 255]


def test_a_camera_of_twelve_bits_is_not_left_dark() -> None:
    levels = np.array([[0, 4095]], dtype=np.uint16)

    assert read_rgb(encoded(Image.fromarray(levels), "TIFF"))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    pixels = read_rgb(encoded(Image.new(mode, (5, 4)), "TIFF"))

    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8


def test_cmyk_jpeg_without_ink_is_white() -> None:
    pixels = read_rgb(encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG"))

    assert pixels.min() >= 254


def test_what_is_transparent_is_white_paper() -> None:
    assert read_rgb(encoded(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "PNG")).min() == 255


def test_a_palette_with_a_transparent_entry_is_white_there() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)

    assert read_rgb(encoded(image, "PNG", transparency=1)).tolist() == [[[200, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_of_many_frames_the_first_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]

    pixels = read_rgb(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))

    assert pixels[..., 0].min() > 200


def test_the_camera_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    assert read_rgb(encoded(Image.new("RGB", (10, 4)), "JPEG", exif=exif)).shape == (10, 4, 3)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_cut_short_is_refused(kind: str, share: float) -> None:
    rng = np.random.default_rng(0)
    whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)

    with pytest.raises(ImageError) as caught:
        read_rgb(whole[: int(len(whole) * share)])
    assert str(caught.value).count(".") == 1


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(ImageError, match="more"):
        read_rgb(png_header(60_000, 60_000))
    with pytest.raises(ImageError, match="more than the 100"):
        read_rgb(encoded(Image.new("L", (11, 10)), "PNG"), max_px=100)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html>sorry</html>",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0\xff\xff\xff\xff",
        b"%!PS-Adobe-3.0",
        b"\0" * 99,
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "renamed.jpg"
    path.write_bytes(data)

    with pytest.raises(ImageError, match=r"renamed\.jpg is") as caught:
        read_rgb(path)
    assert "\n" not in str(caught.value)


def test_nothing_and_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is empty"):
        read_rgb(b"")
    with pytest.raises(ImageError, match="cannot be read"):
        read_rgb(tmp_path / "not there.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_rgb(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_rgb("nul\0name.png")


def test_reading_pictures_does_not_load_the_network_library() -> None:
    import subprocess

    check = "import sys, hagnifinder.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ({"tile": (64, 64)}, np.uint8),
        ({"tile": (64, 64), "bigtiff": True}, np.uint8),
        ({"tile": (64, 64), "compression": "zlib"}, np.uint16),
        ({"planarconfig": "separate"}, np.uint8),
        ({}, np.uint16),
    ],
)
def test_tiff_of_all_kinds_gives_the_same_pixels(options: dict, levels: type) -> None:
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 255, (120, 150, 3)).astype(np.uint8)
    stored = pixels.astype(levels) * (257 if levels is np.uint16 else 1)
    if "planarconfig" in options:
        stored = np.moveaxis(stored, 2, 0)
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as tiff:
        tiff.write(stored.astype(levels), photometric="rgb", **options)
        tiff.write(255 - pixels, photometric="rgb")

    np.testing.assert_array_equal(read_rgb(file.getvalue()), pixels)


def test_heic_is_read_where_its_reader_is_installed_and_named_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.full((64, 80, 3), (200, 120, 180), dtype=np.uint8)
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(file, quality=95)

    read = read_rgb(file.getvalue())
    assert read.shape == pixels.shape
    assert np.abs(read.astype(int) - pixels).max() < 12
    with pytest.raises(ImageError):
        read_rgb(file.getvalue()[:200])
    with pytest.raises(ImageError):
        read_rgb(file.getvalue(), max_px=100)

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        read_rgb(file.getvalue())
