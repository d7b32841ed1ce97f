"""The catalog of images with a known pixel size: one record a picture, and the patient group it belongs to."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from hagnifinder.errors import DataError

_TCGA_PATIENT = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}")
_NEEDED = ("path", "dataset", "mpp_um", "scale_quality", "stain", "kind", "slide_id")

# Visium's first mouse brains may come from the same few animals; nothing says which, so they count as one.
_V1_MOUSE_BRAIN = re.compile(r"10x (V1_.*Mouse_Brain|mouse brain coronal)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SlideImage:
    """One picture of known scale.

    Attributes:
        path: where the file is.
        dataset: the collection it came from.
        mpp_um: micrometres per pixel of the file's own pixels.
        scale_quality: "A", "A-", "B" or "C", best first; C is not documented well enough to test on.
        group: patient, or the closest thing known; the unit of every split.
        licence, organ: as the catalog states them; empty when it does not.
    """

    path: Path
    dataset: str
    mpp_um: float
    scale_quality: str
    group: str
    licence: str = ""
    organ: str = ""


def group_of(slide_id: str, dataset: str) -> str:
    """Name the patient behind a slide.

    A TCGA patient barcode names the same person in every collection. Elsewhere the part of the slide's name before a
    slash is the patient, and the whole name where there is no slash; the TUPAC and CPM names recur across collections
    on purpose, others are kept apart by the collection's name.
    """
    if patient := _TCGA_PATIENT.search(slide_id):
        return patient.group(0)
    if _V1_MOUSE_BRAIN.match(slide_id):
        return "10x_V1_mouse_brain"
    name = slide_id.split("/", 1)[0]
    return name if name.startswith(("CPM", "her2st_")) else f"{dataset}/{name}"


def read_catalog(folder: Path) -> list[SlideImage]:
    """Read `catalog.csv` of a folder of images: the H&E pictures with a pixel size, in the file's order.

    Raises:
        DataError: when the file is missing, lacks a column, names a file outside the folder, or has no usable row.
    """
    path = folder / "catalog.csv"
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: a data folder needs a catalog.csv.") from error
    if not rows or any(name not in rows[0] for name in _NEEDED):
        raise DataError(f"{path} needs the columns {', '.join(_NEEDED)}.")
    images = []
    for number, row in enumerate(rows, start=2):
        if row["kind"] != "he" or not row["mpp_um"]:
            continue
        try:
            mpp_um = float(row["mpp_um"])
        except ValueError as error:
            raise DataError(f"{path} line {number}: mpp_um is {row['mpp_um']!r}, which is no number.") from error
        file = (folder / row["path"]).resolve()
        if not file.is_relative_to(folder.resolve()) or not mpp_um > 0:
            raise DataError(f"{path} line {number}: the path must stay in the folder and mpp_um must be positive.")
        images.append(
            SlideImage(
                file,
                row["dataset"],
                mpp_um,
                row["scale_quality"],
                group_of(row["slide_id"], row["dataset"]),
                row.get("licence") or "",
                row.get("organ") or "",
            )
        )
    if not images:
        raise DataError(f"{path} has no H&E image with a pixel size.")
    return images
