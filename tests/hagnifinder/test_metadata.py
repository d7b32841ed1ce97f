"""Pixel sizes that files state, and print defaults that state nothing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hagnifinder.metadata import read_pixel_size

PIXELS = np.zeros((8, 8, 3), dtype=np.uint8)


def tiff(**options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, photometric="rgb", **options)
    return file.getvalue()


def png(pixels_per_m: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    body = b"pHYs" + struct.pack(">IIB", pixels_per_m, pixels_per_m, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    data = file.getvalue()
    return data[:33] + chunk + data[33:]


def test_ome_states_the_pixel_size_with_its_unit():
    for size, unit, expected in ((0.2325, "µm", 0.2325), (250.0, "nm", 0.25), (0.0005, "mm", 0.5)):
        data = tiff(ome=True, metadata={"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit})

        found = read_pixel_size(data)

        assert found is not None and found.tag == "ome"
        assert found.mpp_um == pytest.approx(expected)


def test_imagej_states_pixels_per_unit():
    found = read_pixel_size(tiff(imagej=True, resolution=(4.3, 4.3), metadata={"unit": "um"}))

    assert found is not None and found.tag == "imagej"
    assert found.mpp_um == pytest.approx(1 / 4.3, rel=1e-3)


def test_a_resolution_finer_than_print_is_meant_for_the_specimen():
    found = read_pixel_size(tiff(resolution=(20_000, 20_000), resolutionunit="CENTIMETER"))

    assert found is not None and found.tag == "resolution"
    assert found.mpp_um == pytest.approx(0.5)
    assert read_pixel_size(png(2_000_000)).mpp_um == pytest.approx(0.5)


def test_a_description_states_it_in_words():
    found = read_pixel_size(tiff(description="Aperio Image |AppMag = 20|MPP = 0.4990"))

    assert found is not None and found.mpp_um == pytest.approx(0.499)


@pytest.mark.parametrize("dpi", [1, 72, 96, 150, 300, 600, 1200, 2400, 4800, 9600])
def test_print_defaults_are_no_pixel_size(dpi):
    assert read_pixel_size(tiff(resolution=(dpi, dpi), resolutionunit="INCH")) is None
    assert read_pixel_size(tiff(resolution=(dpi / 2.54, dpi / 2.54), resolutionunit="CENTIMETER")) is None
    assert read_pixel_size(png(round(dpi / 0.0254))) is None


def test_files_that_say_nothing_say_nothing():
    jpeg = io.BytesIO()
    Image.fromarray(PIXELS).save(jpeg, "JPEG", dpi=(300, 300))
    uncalibrated = tiff(ome=True, metadata={"axes": "YXS", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "µm"})

    assert read_pixel_size(jpeg.getvalue()) is None
    assert read_pixel_size(tiff()) is None
    assert read_pixel_size(uncalibrated) is None
    assert read_pixel_size(b"") is None


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n", b""]))
def test_no_bytes_break_it(data, magic):
    read_pixel_size(magic + data)
