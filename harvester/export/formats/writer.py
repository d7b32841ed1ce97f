"""What every format has to offer, and the tables that all of them carry."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harvester.export.columns import COLUMNS
from harvester.export.workplace import Workplace
from harvester.geometry import BoxPx, RgbImage

TABLE_NAME = "snapshots.csv"
CREDITS_NAME = "ATTRIBUTION.csv"

CREDITS = (
    "file_name", "citation", "title", "article_id", "figure_label", "panel_label", "doi", "article_url", "licence_code",
    "licence_name", "licence_url", "copyright_line", "changes",
)  # fmt: skip

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


Box = tuple[float, float, float, float]
"""(x, y, width, height) in the figure's raster, as COCO has it."""


@dataclass(frozen=True, slots=True)
class FigureRegion:
    """A box in a figure's raster: a panel, or one H&E region of a panel (then `snapshot_id` names it)."""

    box: Box
    panel_id: str
    kind: str
    label: str | None
    caption: str
    snapshot_id: str | None = None


@dataclass(frozen=True, slots=True)
class FigurePicture:
    """A figure as the catalog knows it, with the pixels (H, W, 3) uint8 RGB read from the article again."""

    figure_id: str
    label: str | None
    caption: str
    pixels: RgbImage
    regions: tuple[FigureRegion, ...]


FigureSource = Callable[[str, frozenset[str]], Iterator[FigurePicture]]
"""Takes an article and the figures wanted of it; leaves out what can't be read as it was."""


class Writer:
    """Writes records to a workplace. Between `begin` and `end` of a block records come in the catalog's order.

    Attributes:
        state: What must survive an interruption between blocks; plain JSON.
    """

    counts_figures: ClassVar[bool] = False
    """Whether ATTRIBUTION.csv has a line a figure instead of a line an image."""
    has_table: ClassVar[bool] = True
    """Whether snapshots.csv goes along; a format that holds all columns itself needs none."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.state: dict[str, Any] = {}

    def begin(self, block: int) -> None:
        """Start a block, numbered from 0."""

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        """Write one record and its image."""
        raise NotImplementedError

    def end(self) -> None:
        """Finish what was begun in this block; afterwards an interruption loses nothing of it."""

    def abandon(self) -> None:
        """Close what an interruption left open."""

    def finish(self) -> None:
        """Finish the data set; nothing is added afterwards. May be interrupted and repeated."""

    def _list(self, record: Mapping[str, Any], file_name: str) -> None:
        """Add a record to the tables."""
        row = {**record, "file_name": file_name}
        if self.has_table:
            append_csv(self.workplace, TABLE_NAME, COLUMNS, row)
        append_csv(self.workplace, CREDITS_NAME, CREDITS, row)


def append_csv(workplace: Workplace, name: str, columns: Iterable[str], row: Mapping[str, Any]) -> None:
    """Add a row to a CSV file that grows; its first line names the columns."""
    columns = tuple(columns)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if not workplace.has(name):
        writer.writerow(columns)
    writer.writerow([safe_cell(row[column]) for column in columns])
    workplace.append(name, buffer.getvalue())


def safe_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula.

    Source: OWASP, "CSV Injection": a text that begins like a formula gets an apostrophe before it.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def box_in_figure(panel: BoxPx, native_width_px: int, native_height_px: int, box: BoxPx) -> Box:
    """Return a box of a panel's own raster as (x, y, width, height) in the figure's raster."""
    sx, sy = panel.width / native_width_px, panel.height / native_height_px
    return panel.x0 + box.x0 * sx, panel.y0 + box.y0 * sy, box.width * sx, box.height * sy
