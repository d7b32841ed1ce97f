"""Writes a data set: judged first, then streamed into a folder beside its place, which takes it when it is whole.

The same catalog and the same request give the same bytes, interrupted or not.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from harvester import __version__
from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.export.about import write_about
from harvester.export.columns import export_row
from harvester.export.figures import FigureReader, figure_source
from harvester.export.filters import REASONS
from harvester.export.formats import Writer, open_writer
from harvester.export.formats.coco import CocoWriter
from harvester.export.formats.writer import FigureSource, append_csv
from harvester.export.marks import known_marks
from harvester.export.pictures import UNCHANGED, Marks, PictureProblem, cut
from harvester.export.request import ExportRequest
from harvester.export.selection import Selection, select_rows
from harvester.export.splits import split_key, split_of
from harvester.export.tally import Tally, ordered
from harvester.export.workplace import Workplace, built_beside, check_dest, discard

BLOCK_IMAGES = 8192
BLOCK_BYTES = 512 << 20
"""A block, and with it a shard, ends with the article that reaches one of these."""

MANIFEST_NAME = "manifest.csv"
MANIFEST = (
    "article_id", "snapshot_id", "tile", "split", "source_sha256", "image_sha256", "x0_px", "y0_px", "x1_px", "y1_px",
    "native_mpp_um", "mpp_um", "magnification_source",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(slots=True)
class ExportSummary:
    """What an export wrote, or would write.

    Attributes:
        n_seen: Snapshots in the catalog; n_seen = tally.n_snapshots + sum(tally.left_out.values()).
        refused_licences: Snapshots that the licence held back, by "code: why".
        dropped_columns: Columns that metadata.jsonl had to leave to snapshots.csv, because a split has none.
    """

    dest: Path
    dry_run: bool
    n_seen: int = 0
    tally: Tally = field(default_factory=Tally)
    refused_licences: Counter[str] = field(default_factory=Counter)
    dropped_columns: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the funnel of the export as plain lines: each loss with what is left after it."""
        lines: list[tuple[str, str, str]] = [("snapshots in the catalog", f"{self.n_seen:,}", "")]
        left = self.n_seen
        for name, why in REASONS.items():
            if n := self.tally.left_out[name]:
                left -= n
                lines.append((f"  left out: {name}", f"-{n:,}", f"{left:>9,} left; {why}"))
        verb = "would be exported" if self.dry_run else "exported"
        lines.append((f"snapshots {verb}", f"{self.tally.n_snapshots:,}", ""))
        if self.tally.n_images != self.tally.n_snapshots:
            lines.append((f"images {verb}", f"{self.tally.n_images:,}", ""))
        lines += [(f"  {name}", f"{n:,}", "") for name, n in ordered(self.tally.by_split).items()]
        lines += [
            (("refused by licence" if i == 0 else ""), f"{n:,}", name)
            for i, (name, n) in enumerate(ordered(self.refused_licences).items())
        ]
        wide = max(len(name) for name, _, _ in lines)
        return "\n".join(f"{name:<{wide}}  {n:>9}  {rest}".rstrip() for name, n, rest in lines)


def export_dataset(
    catalog: Catalog,
    dest: Path,
    request: ExportRequest,
    *,
    read_figures: FigureReader | None = None,
    tick: Callable[[], None] = lambda: None,
) -> ExportSummary:
    """Write the snapshots that a request lets through to the folder `dest`.

    Args:
        dest: A new or empty folder, or an earlier export of the same harvest, which is replaced.
        read_figures: Reads an article's figures from its files; needed for COCO.
        tick: Called once per snapshot of the catalog, for a progress bar.

    Raises:
        UsageError: `dest` holds something else, another export writes there, or nothing is left to export.
        FetchError: the catalog changed meanwhile.
        OSError: when the disk refuses; `dest` is as it was before, and a later call goes on from the last block.
    """
    first = catalog.rows("SELECT MIN(run_id) AS run_id FROM run")[0]["run_id"]
    harvest_id = str(first or "without a run")
    check_dest(dest, harvest_id)
    selection = select_rows(catalog, request)
    summary = ExportSummary(dest, request.dry_run, len(selection.decisions))
    summary.refused_licences = selection.refused_licences
    if request.dry_run:
        summary.tally.left_out = Counter(selection.left_out)
        for row in selection.rows(catalog):
            tick()
            if row is not None:
                _count_unseen(summary.tally, row, request)
        return summary
    if not selection.n_going:
        summary.tally.left_out = Counter(selection.left_out)
        raise UsageError(_nothing_left(summary))
    asked = {name: value for name, value in asdict(request).items() if name != "dry_run"}
    key = hashlib.sha256(json.dumps([harvest_id, asked, __version__, selection.digest]).encode()).hexdigest()
    figures = figure_source(catalog, read_figures) if read_figures else None
    with built_beside(dest) as workplace:
        writer = open_writer(request.format, workplace)
        try:
            summary.tally = _write(catalog, workplace, writer, request, selection, key, tick, figures)
        finally:
            writer.abandon()
        if not summary.tally.n_images:
            discard(workplace)
            raise UsageError(_nothing_left(summary))
        writer.finish()
        summary.dropped_columns = getattr(writer, "dropped_columns", ())
        write_about(catalog, workplace, request, summary, harvest_id, asked)
    return summary


def _write(
    catalog: Catalog,
    workplace: Workplace,
    writer: Writer,
    request: ExportRequest,
    selection: Selection,
    key: str,
    tick: Callable[[], None],
    figures: FigureSource | None,
) -> Tally:
    """Write all records, block by block, from where an earlier call was interrupted."""
    resumed = workplace.resume(key)
    position, block, tally = 0, 0, Tally(left_out=Counter(selection.left_out))
    if resumed is not None:
        position, block, tally = resumed["position"], resumed["block"], Tally.from_json(resumed["tally"])
        writer.state = resumed["writer"]
    rows = _ticked(selection.rows(catalog), tick)
    for _ in islice(rows, position):
        pass
    step = _Step(catalog, workplace, writer, request, tally, known_marks(catalog), figures)
    begun = False
    numbered = ((number, row) for number, row in enumerate(rows, start=position + 1) if row is not None)
    for _, group in groupby(numbered, key=lambda item: item[1]["article_id"]):
        if not begun:
            writer.begin(block)
            begun = True
        members = list(group)
        step.write_article([row for _, row in members])
        if step.n_images >= BLOCK_IMAGES or step.n_bytes >= BLOCK_BYTES:
            writer.end()
            block, begun = block + 1, False
            step.n_images = step.n_bytes = 0
            state = {"position": members[-1][0], "block": block, "tally": tally.to_json(), "writer": writer.state}
            workplace.checkpoint(key, state)
    if begun:
        writer.end()
    state = {"position": len(selection.decisions), "block": block + 1, "tally": tally.to_json(), "writer": writer.state}
    workplace.checkpoint(key, state)
    return tally


def _ticked(rows: Iterator[Row | None], tick: Callable[[], None]) -> Iterator[Row | None]:
    for row in rows:
        tick()
        yield row


@dataclass(slots=True)
class _Step:
    """Writes articles and counts; n_images and n_bytes since the block began."""

    catalog: Catalog
    workplace: Workplace
    writer: Writer
    request: ExportRequest
    tally: Tally
    marks: Marks
    figures: FigureSource | None
    n_images: int = 0
    n_bytes: int = 0

    def write_article(self, rows: list[Row]) -> None:
        if isinstance(self.writer, CocoWriter):
            self._write_figures(self.writer, rows)
            return
        for row in rows:
            split = split_of(split_key(row))
            record = export_row(row, split) | {"changes": UNCHANGED}
            n_images = 0
            try:
                for piece in cut(self.catalog.root, row, self.request, self.marks):
                    full = record | piece.changes
                    self.writer.add(full, piece.png)
                    append_csv(self.workplace, MANIFEST_NAME, MANIFEST, full)
                    n_images += 1
                    self.n_bytes += len(piece.png)
            except PictureProblem as problem:
                self.tally.left_out[str(problem)] += 1
            else:
                self.n_images += n_images
                self.tally.add(row, split, full["magnification_x"], n_images)

    def _write_figures(self, writer: CocoWriter, rows: list[Row]) -> None:
        if self.figures is None:
            raise UsageError("Figures can't be read here, so there is no COCO; choose another --format.")
        by_figure = {figure_id: list(group) for figure_id, group in groupby(rows, key=lambda row: row["figure_id"])}
        for picture in self.figures(rows[0]["article_id"], frozenset(by_figure)):
            records = {}
            for row in by_figure.pop(picture.figure_id, ()):
                split = split_of(split_key(row))
                record = records[row["snapshot_id"]] = export_row(row, split) | {"changes": UNCHANGED}
                append_csv(self.workplace, MANIFEST_NAME, MANIFEST, record)
                self.tally.add(row, split, record["magnification_x"])
            if records:
                writer.add_figure(picture, records)
                self.n_images += 1
                self.n_bytes += picture.pixels.nbytes // 2
        self.tally.left_out["figure_unreadable"] += sum(map(len, by_figure.values()))


def _count_unseen(tally: Tally, row: Row, request: ExportRequest) -> None:
    """Count a snapshot whose image is not read: whole, or the tiles its size gives."""
    at, x = request.at_mpp_um, row["magnification_x"]
    shrink = 1.0 if at is None else row["mpp_um"] / at
    tiles = (
        [int(row[side] * shrink + 1e-9) // request.tile_px for side in ("width_px", "height_px")]
        if request.tile_px
        else []
    )
    n_images = tiles[0] * tiles[1] if tiles else 1
    tally.add(row, split_of(split_key(row)), x and x * shrink, n_images)


def _nothing_left(summary: ExportSummary) -> str:
    if not summary.n_seen:
        return "The catalog holds no snapshot yet, so there is nothing to export; run 'harvester annotate' first."
    name, n = summary.tally.left_out.most_common(1)[0]
    return f"None of {summary.n_seen:,} snapshots is left to export; {n:,} because {REASONS[name]}."
