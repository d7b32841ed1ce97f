"""A picture as the network is shown it, ordinary ones whole, slides as a few fields; beside it what the file says.

That number is never shown to the network. No torch import.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hagnifinder.errors import DataError, ImageError
from hagnifinder.images import read_rgb
from hagnifinder.metadata import MPP_RANGE_UM, PixelSize, is_tiff, read_pixel_size
from hagnifinder.preprocess import RgbImage

SLIDE_SUFFIXES = frozenset({".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".vmu", ".svslide", ".dcm"})
"""Always read as slides. A TIFF is when it is large."""
WHOLE_PX = 50_000_000
"""A TIFF with more pixels is read field by field."""


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """What was read.

    Attributes:
        fields: the whole picture, or the fields of a slide, the one with the most tissue first: (h, w, 3) uint8.
        width_px, height_px: of the whole, at its finest level.
        file_size: the pixel size that the file states of itself; None when it states none that can be believed.
        file_objective_x: the objective that a slide names.
        is_slide: it was read field by field.
    """

    fields: tuple[RgbImage, ...] = field(repr=False, compare=False)
    width_px: int
    height_px: int
    file_size: PixelSize | None = None
    file_objective_x: float | None = None
    is_slide: bool = False


def read_picture(source: str | bytes) -> ReadPicture:
    """Read a picture by its file's name or from a file's bytes.

    Raises:
        ImageError: one sentence, when it cannot be read.
    """
    if isinstance(source, str) and _is_slide(source):
        return _read_slide(Path(source))
    rgb = read_rgb(source)
    said = read_pixel_size(source if isinstance(source, bytes) else Path(source))
    return ReadPicture((rgb,), rgb.shape[1], rgb.shape[0], said)


def _is_slide(name: str) -> bool:
    path = Path(name)
    try:
        if not path.is_file() or not path.stat().st_size:
            return False
        if path.suffix.lower() in SLIDE_SUFFIXES:
            return True
        with path.open("rb") as file:
            if not is_tiff(file.read(4)):
                return False
    except (OSError, ValueError):
        return False
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0].aspage()
            return bool(page.imagewidth * page.imagelength > WHOLE_PX)
    except Exception:  # the reader raises whatever a hostile header provokes; decoding will say what is wrong
        return False


def _read_slide(path: Path) -> ReadPicture:
    from hagnifinder.wholeslide.fields import read_fields
    from hagnifinder.wholeslide.reader import open_slide

    try:
        slide = open_slide(path)
        try:
            fields = tuple(read_fields(slide))
            width, height = slide.levels[0]
        finally:
            slide.close()
    except DataError as error:
        raise ImageError(f"{str(error).rstrip('.')}.") from error
    said = read_pixel_size(path)
    mpp_um = slide.metadata.mpp_um
    if said is None and mpp_um is not None and MPP_RANGE_UM[0] <= mpp_um <= MPP_RANGE_UM[1]:
        said = PixelSize(mpp_um, "openslide", f"openslide.mpp {mpp_um:.6g}", 0.98)
    return ReadPicture(fields, width, height, said, slide.metadata.objective_x, is_slide=True)
