"""Where a slide shows tissue worth cutting: HistoQC's mask when its output is given, otherwise our own."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hagnifinder.errors import DataError, ImageError
from hagnifinder.images import read_rgb
from hagnifinder.preprocess import tissue_mask
from hagnifinder.wholeslide.reader import Slide

CELL_UM = 8.0
"""Our mask's cells; HistoQC works at 1.25x, which is the same."""
_BAND_ROWS = 64


@dataclass(frozen=True, slots=True)
class TissueMap:
    """Share of usable tissue in the cells of a slide.

    Attributes:
        cells: (rows, columns) float32, 0 for glass or what a quality control refused, 1 for tissue.
        cell_w_px, cell_h_px: size of a cell in the slide's finest pixels.
        source: "histoqc" or "own".
        warnings: what HistoQC had to say of the slide, else empty.
    """

    cells: NDArray[np.float32]
    cell_w_px: float
    cell_h_px: float
    source: str
    warnings: str = ""

    def share(self, x_px: int, y_px: int, side_px: int) -> float:
        """Tissue in a square of the slide's finest pixels, 0 to 1."""
        x0, y0 = int(x_px / self.cell_w_px), int(y_px / self.cell_h_px)
        x1 = max(x0 + 1, math.ceil((x_px + side_px) / self.cell_w_px - 1e-6))
        y1 = max(y0 + 1, math.ceil((y_px + side_px) / self.cell_h_px - 1e-6))
        part = self.cells[y0:y1, x0:x1]
        return float(part.mean()) if part.size else 0.0


def own_map(slide: Slide, mpp_um: float) -> TissueMap:
    """Tissue by colour on cells of 8 µm, from the coarsest level that still shows it; read in bands."""
    width_px, height_px = slide.levels[0]
    level = max(
        (i for i, (w, _) in enumerate(slide.levels) if mpp_um * width_px / w <= CELL_UM / 4.0),
        default=0,
    )
    level_w, level_h = slide.levels[level]
    cell_px = max(2, round(CELL_UM / (mpp_um * width_px / level_w)))
    band_px = cell_px * _BAND_ROWS
    bands = [
        tissue_mask(slide.read(level, 0, y, level_w, min(band_px, level_h - y)), cell_px)
        for y in range(0, level_h, band_px)
    ]
    scale_x, scale_y = width_px / level_w, height_px / level_h
    return TissueMap(np.concatenate(bands), cell_px * scale_x, cell_px * scale_y, "own")


class HistoQc:
    """The output folder of a HistoQC run: `results.tsv` and `<slide>/<slide>_mask_use.png`."""

    def __init__(self, folder: Path) -> None:
        """Read the table.

        Raises:
            DataError: when there is none, or it has no column "filename".
        """
        self.folder = folder
        self._rows = _read_results(folder / "results.tsv")

    def map_of(self, slide_name: str, width_px: int, height_px: int) -> TissueMap:
        """The mask of a slide's file.

        Raises:
            DataError: when HistoQC did not finish the slide, or its mask is missing, damaged or of another slide.
        """
        row = self._rows.get(slide_name)
        if row is None:
            raise DataError("HistoQC did not finish it: results.tsv has no row of it")
        path = self.mask_path(slide_name)
        try:
            mask = read_rgb(path)[..., 0]
        except ImageError as error:
            raise DataError(f"HistoQC's mask cannot be used: {error}".rstrip(".")) from error
        if abs(math.log((mask.shape[1] / mask.shape[0]) / (width_px / height_px))) > 0.05:
            raise DataError("HistoQC's mask has other proportions: it is of another slide")
        cells = np.asarray(mask > 0, dtype=np.float32)
        warnings = (row.get("warnings") or "").strip("|")
        return TissueMap(cells, width_px / mask.shape[1], height_px / mask.shape[0], "histoqc", warnings)

    def mask_path(self, slide_name: str) -> Path:
        """Where the mask of a slide's file lies."""
        return self.folder / slide_name / f"{slide_name}_mask_use.png"


def _read_results(path: Path) -> dict[str, dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: --histoqc needs the output folder of a HistoQC run.") from error
    header: list[str] = []
    rows = []
    for line in lines:
        # Remarks begin with '#'; the one that begins with '#dataset:' holds the names of the columns.
        if line.startswith("#dataset:"):
            header = line.removeprefix("#dataset:").strip().split("\t")
        elif not line.startswith("#") and line.strip():
            rows.append(line)
    if not header and rows:
        header = rows.pop(0).split("\t")
    if "filename" not in header:
        raise DataError(f"{path} has no column filename: it is no table of HistoQC.")
    found = csv.DictReader(rows, fieldnames=header, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {Path(row["filename"]).name: row for row in found}


def shown_share(patch: NDArray[np.uint8]) -> float:
    """Tissue in a patch by its own pixels, 0 to 1; a little smoothed, so that grain is not taken for colour."""
    return float(tissue_mask(np.asarray(cv2.GaussianBlur(patch, (0, 0), 1.0), dtype=np.uint8)).mean())
