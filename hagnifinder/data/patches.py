"""What `hagnifinder build` wrote: a manifest with a row a patch, and the patches as PNG beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hagnifinder.errors import DataError, ImageError
from hagnifinder.images import read_rgb
from hagnifinder.preprocess import RgbImage

MANIFEST_NAME = "manifest.csv"


@dataclass(frozen=True, slots=True)
class Patch:
    """One row of the manifest.

    Attributes:
        path: PNG below the folder of the data set; empty for a refused patch that was not stored.
        slide_id, patient, organ, dataset: where it is from; organ and dataset are empty when not known.
        tile: size (at 40x) and corner of the tile in the slide; patches of a tile show the same tissue.
        level_x: nominal magnification, the label of the paper.
        mpp_um: µm per pixel of the patch, from the slide's metadata.
        slide_mpp_um, nominal_x: of the slide's finest pixels.
        x_px, y_px, source_px: the square of the slide's finest pixels that it shows.
        patch_px: its side; no model is told.
        filter: the kernel it was shrunk with; "none" for native pixels.
        tissue: share that is tissue, 0 to 1.
        refused: why it is no part of the data set; empty when it is.
        sha256: of the file.
    """

    path: str
    slide_id: str
    patient: str
    organ: str
    dataset: str
    tile: str
    level_x: float
    mpp_um: float
    slide_mpp_um: float
    nominal_x: float
    x_px: int
    y_px: int
    source_px: int
    patch_px: int
    filter: str
    tissue: float
    refused: str
    sha256: str

    @property
    def is_kept(self) -> bool:
        """Whether it is part of the data set."""
        return not self.refused

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Patch:
        """Read a row of the manifest, or of its JSON.

        Raises:
            KeyError, ValueError, TypeError: when it is none.
        """
        return cls(**{f.name: _KINDS[str(f.type)](row[f.name]) for f in fields(cls)})


_KINDS: dict[str, Any] = {"str": str, "float": float, "int": int}
COLUMNS = tuple(f.name for f in fields(Patch))


def manifest_bytes(patches: Iterable[Patch]) -> bytes:
    """The manifest of these patches, in their order."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(patch) for patch in patches)
    return text.getvalue().encode()


def is_built(folder: Path) -> bool:
    """Whether a folder was written by `hagnifinder build`."""
    return (folder / MANIFEST_NAME).is_file()


def read_manifest(folder: Path, *, with_refused: bool = False) -> list[Patch]:
    """The patches of a data set, in the order of its manifest.

    Raises:
        DataError: when the manifest is missing or damaged, names files outside the folder, or holds no patch.
    """
    path = folder / MANIFEST_NAME
    patches = []
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                patch = Patch.from_row(row)
                if Path(patch.path).is_absolute() or ".." in Path(patch.path).parts:
                    raise DataError(f"{path} names {patch.path}, which lies outside the data set.")
                if not (patch.mpp_um > 0 and patch.level_x > 0):
                    raise DataError(f"{path} gives {patch.path} a scale of nothing.")
                if patch.is_kept or with_refused:
                    patches.append(patch)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read: build the data set first (hagnifinder build).") from error
    if not any(p.is_kept for p in patches):
        raise DataError(f"{path} holds no patch.")
    return patches


def read_patch(folder: Path, patch: Patch) -> RgbImage:
    """Pixels of a patch, (patch_px, patch_px, 3) uint8.

    Raises:
        DataError: when the file is gone or damaged.
    """
    try:
        pixels: RgbImage = np.asarray(read_rgb(folder / patch.path))
    except ImageError as error:
        raise DataError(
            f"the patch {patch.path} cannot be read any more: build the data set again, then add --resume."
        ) from error
    if pixels.shape[0] != patch.patch_px or pixels.shape[1] != patch.patch_px:
        raise DataError(f"the patch {patch.path} is not the one of the manifest: build the data set again.")
    return pixels
