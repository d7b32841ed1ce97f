"""The pixel size that an image file states: OME-XML, ImageJ, tags of microscope cameras, TIFF resolution.

What programs write when nobody told them is no statement: 72, 96, 150, 300, 600 dpi and their kin are how large a
picture is to be printed. A resolution in inches or centimetres only counts when it is finer than any printer's.

Sources: OME-TIFF specification 6.0 (Pixels/@PhysicalSizeX); ImageJ's description of TIFF ("unit=", XResolution in
pixels a unit); TIFF 6.0 (XResolution, ResolutionUnit); tifffile's readers of the vendors' tags; PNG 1.2
(pHYs); JFIF 1.02 (density).
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

FINEST_PRINT_DPI = 5000.0
"""A picture is not printed finer (5 µm a pixel); only a resolution beyond it was meant for the specimen."""
SCANNER_DPI = (5080, 6000, 6400, 7200, 9600, 10_000, 12_800)
"""Finer ones that photograph scanners set."""
MPP_RANGE_UM = (0.01, 100.0)
"""What a light micrograph of tissue can have."""
MAX_XML_BYTES = 20_000_000
_HEAD_BYTES = 65_536

_UM_PER = {
    "m": 1e6, "meter": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "\\u00b5m": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "pm": 1e-6, "inch": 25_400.0, "in": 25_400.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PixelSize:
    """A pixel size that a file states.

    Attributes:
        mpp_um: Micrometres per pixel of the file's own pixels.
        tag: Who says so: ome, imagej, description, camera, resolution or openslide.
        text: The words or numbers it was read from.
        score: 0 to 1; lower for a bare resolution than for a statement about the specimen.
    """

    mpp_um: float
    tag: str
    text: str
    score: float


def read_pixel_size(source: bytes | Path) -> PixelSize | None:
    """Return what an image file says of the size of its pixels, None when it says nothing that can be believed.

    Never raises for the content: a damaged header is a file that says nothing. Of a file on disk the head is read, of
    a TIFF its tags.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            return None
    else:
        head = source[:_HEAD_BYTES]
    if is_tiff(head):
        return _from_tiff(source)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _from_png(head)
    if head[:3] == b"\xff\xd8\xff":
        return _from_jpeg(head)
    return None


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF, of 4 or of 8 byte offsets."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _from_tiff(source: bytes | Path) -> PixelSize | None:
    import tifffile

    try:
        with tifffile.TiffFile(source if isinstance(source, Path) else io.BytesIO(source)) as tiff:
            page = tiff.pages[0]
            tags = {tag.name: tag.value for tag in page.tags}
            # a file may hold several descriptions
            words = "\n".join(str(tag.value)[:20_000] for tag in page.tags if tag.name == "ImageDescription")
            ome = tiff.ome_metadata if tiff.is_ome else None
            imagej = dict(tiff.imagej_metadata or {}) if tiff.is_imagej else None
            vendor = _vendor_tags(tiff)
    except Exception:  # the reader raises whatever a hostile header provokes
        return None
    resolution = _resolution(tags)
    return (
        (_from_ome(ome) if ome else None)
        or (_from_imagej(imagej, resolution) if imagej is not None else None)
        or _from_vendor(vendor)
        or _from_description(words)
        or _from_resolution(resolution, tags.get("ResolutionUnit"))
    )


def _vendor_tags(tiff: Any) -> dict[str, Any]:
    """Return the numbers of the microscope programs that tifffile knows, by name."""
    found: dict[str, Any] = {}
    for name in (
        "stk_metadata",
        "fluoview_metadata",
        "metaseries_metadata",
        "sis_metadata",
        "nih_metadata",
        "fei_metadata",
    ):
        values = getattr(tiff, name, None)
        if isinstance(values, Mapping):
            found[name] = dict(values)
    return found


def _from_vendor(vendor: Mapping[str, Any]) -> PixelSize | None:
    sis = vendor.get("sis_metadata") or {}
    # Olympus: metres per pixel
    if size := _believed(_number(sis.get("pixelsizex")), 1e6, "camera", "Olympus SIS pixelsizex", 0.95):
        return size
    stk = vendor.get("stk_metadata") or {}
    unit = str(stk.get("CalibrationUnits", "")).strip().lower()
    if unit in _UM_PER and stk.get("XCalibration") not in (None, 1, 1.0):
        return _believed(
            _number(stk.get("XCalibration")), _UM_PER[unit], "camera", f"MetaMorph XCalibration {unit}", 0.9
        )
    series = (vendor.get("metaseries_metadata") or {}).get("PlaneInfo") or {}
    if isinstance(series, Mapping) and series.get("spatial-calibration-state"):
        unit = str(series.get("spatial-calibration-units", "")).strip().lower()
        number = _number(series.get("spatial-calibration-x"))
        return _believed(number, _UM_PER.get(unit), "camera", f"MetaSeries spatial-calibration-x {unit}", 0.9)
    return None


def _from_ome(xml: str) -> PixelSize | None:
    raw = xml.encode("utf-8", "replace")
    if len(raw) > MAX_XML_BYTES:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.rpartition("}")[2] == "Pixels":
            unit = (element.get("PhysicalSizeXUnit") or "µm").strip()
            number = _number(element.get("PhysicalSizeX"))
            return _believed(number, _UM_PER.get(unit.lower()), "ome", f"PhysicalSizeX {number} {unit}", 0.98)
    return None


def _from_imagej(metadata: Mapping[str, Any], resolution: float | None) -> PixelSize | None:
    unit = str(metadata.get("unit") or "").strip().lower()
    if unit in ("inch", "in", "") or unit not in _UM_PER or not resolution:
        return None
    return _believed(1.0 / resolution, _UM_PER[unit], "imagej", f"ImageJ {resolution:.6g} pixels per {unit}", 0.95)


_STATED = re.compile(
    r"(?:MPP|microns?\s*per\s*pixel|um\s*/\s*(?:px|pixel)|µm\s*/\s*(?:px|pixel)|pixel\s*size(?:\s*\(?(?:um|µm)\)?))"
    r"\s*[:=]\s*(?P<before>\d*\.?\d+(?:e-?\d+)?)"
    r"|(?P<after>\d*\.?\d+(?:e-?\d+)?)\s*(?:um|µm|microns?)\s*(?:/|per\s+)(?:px|pixel)\b",
    re.IGNORECASE,
)


def _from_description(text: str) -> PixelSize | None:
    found = _STATED.search(text)
    if not found:
        return None
    return _believed(_number(found["before"] or found["after"]), 1.0, "description", found[0].strip()[:100], 0.9)


def _resolution(tags: Mapping[str, Any]) -> float | None:
    """Return XResolution in pixels a unit, when both directions agree."""
    both = [_ratio(tags.get(name)) for name in ("XResolution", "YResolution")]
    if both[0] is None or (both[1] is not None and abs(both[1] / both[0] - 1.0) > 0.02):
        return None
    return both[0]


def _from_resolution(resolution: float | None, unit: Any) -> PixelSize | None:
    um_per = {2: 25_400.0, 3: 10_000.0}.get(int(unit) if isinstance(unit, int) else 0)
    if resolution is None or um_per is None:
        return None
    dpi = resolution * 25_400.0 / um_per
    if dpi <= FINEST_PRINT_DPI or any(abs(dpi / known - 1.0) < 0.004 for known in SCANNER_DPI):
        return None
    return _believed(1.0 / resolution, um_per, "resolution", f"{dpi:.6g} pixels per inch", 0.7)


def _from_png(data: bytes) -> PixelSize | None:
    at = data.find(b"pHYs")
    if at < 0 or len(data) < at + 13 or data[at + 12] != 1:
        return None
    x, y = int.from_bytes(data[at + 4 : at + 8], "big"), int.from_bytes(data[at + 8 : at + 12], "big")
    if x == 0 or x != y:
        return None
    return _from_resolution(x / 100.0, 3)


def _from_jpeg(data: bytes) -> PixelSize | None:
    """JFIF's own density, which can be as fine as 0.15 µm a pixel; EXIF's is the telephone's or the printer's."""
    if len(data) < 18 or data[6:11] != b"JFIF\0" or data[13] not in (1, 2):
        return None
    x, y = int.from_bytes(data[14:16], "big"), int.from_bytes(data[16:18], "big")
    if x == 0 or x != y:
        return None
    return _from_resolution(float(x), data[13] + 1)


def _believed(number: float | None, um_per: float | None, tag: str, text: str, score: float) -> PixelSize | None:
    if number is None or um_per is None:
        return None
    mpp_um = number * um_per
    # exactly one unit a pixel is what uncalibrated programs write
    if number == 1.0 or not MPP_RANGE_UM[0] <= mpp_um <= MPP_RANGE_UM[1]:
        return None
    return PixelSize(mpp_um, tag, text, score)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _ratio(value: Any) -> float | None:
    try:
        return _number(value[0] / value[1]) if isinstance(value, tuple) else _number(value)
    except (ZeroDivisionError, TypeError, IndexError, OverflowError):
        return None
