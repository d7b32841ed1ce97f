"""One article from its files to catalog rows: the way every figure takes, in one short function.

Runs in a worker process. Stages below are pure; the disk is touched here: the article's own files are read, the
snapshots it gives are written (named by their content, so that writing one twice changes nothing).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from harvester.documents.figures import figure_from_image, iter_figures
from harvester.documents.jats import parse_jats
from harvester.errors import FetchError, MalformedArticle
from harvester.fetch.store import Store
from harvester.fingerprint import perceptual_hash
from harvester.geometry import RgbImage
from harvester.magnification import read_rgb
from harvester.panels.split import split_figure
from harvester.records import (
    ArticleFiles,
    ArticleResult,
    ArticleText,
    Figure,
    FigureRow,
    Panel,
    PanelRow,
    Skip,
    SnapshotRow,
)
from harvester.settings import AnnotateSettings
from harvester.stain.detect import find_he_regions, score_kind

ANNOTATION_VERSION = "1"
"""Counts up when the stages give other figures, panels or snapshots than before: finished articles are read again."""


@dataclass(frozen=True, slots=True)
class ArticleJob:
    """What a worker needs to read one article."""

    root: Path
    files: ArticleFiles
    settings: AnnotateSettings


class _LazyPictures(Mapping[str, RgbImage]):
    """Publisher's pictures by file name, decoded when asked for and not kept."""

    def __init__(self, paths: tuple[Path, ...], max_px: int) -> None:
        self._paths = {path.name: path for path in paths}
        self._max_px = max_px

    def __getitem__(self, name: str) -> RgbImage:
        try:
            return read_rgb(self._paths[name], self._max_px)
        except MalformedArticle as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@dataclass(slots=True)
class _Rows:
    figures: list[FigureRow] = field(default_factory=list)
    panels: list[PanelRow] = field(default_factory=list)
    snapshots: list[SnapshotRow] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def read_article(job: ArticleJob) -> ArticleResult:
    """Find the figures, panels and H&E regions of one article and store the snapshots.

    Whatever can't be read or is not wanted becomes a Skip with its reason; nothing is dropped silently.

    Raises:
        FetchError: when a snapshot can't be written (disk full, read-only).
    """
    rows = _Rows()
    article_id = job.files.article_id
    text = _read_text(job.files, rows)
    store = Store(job.root)
    for figure in _figures(job, text, rows):
        rows.figures.append(_figure_row(figure))
        with rows.timed("panels"):
            panels = split_figure(figure, job.settings.panels)
        for panel in panels:
            _read_panel(article_id, panel, job.settings, store, rows)
    return ArticleResult(
        article_id,
        text,
        tuple(rows.figures),
        tuple(rows.panels),
        tuple(rows.snapshots),
        tuple(rows.skips),
        rows.seconds,
    )


def read_figures(job: ArticleJob) -> Iterator[Figure]:
    """Yield the figures of an article once more, with their pixels; writes nothing."""
    rows = _Rows()
    yield from _figures(job, _read_text(job.files, rows), rows)


def _read_text(files: ArticleFiles, rows: _Rows) -> ArticleText | None:
    if files.xml is None:
        return None
    try:
        with rows.timed("jats"):
            return parse_jats(files.xml.read_bytes())
    except MalformedArticle as error:
        # the PDF alone still gives figures, with captions read from the page
        rows.skips.append(Skip(files.xml.name, files.article_id, "documents", error.reason, str(error)))
        return None


def _figures(job: ArticleJob, text: ArticleText | None, rows: _Rows) -> Iterator[Figure]:
    """Yield figure by figure, so that only one is in memory; what is left out goes to the rows."""
    files, settings = job.files, job.settings.documents
    if files.pdf is not None or text is not None:
        media = _LazyPictures(files.media, settings.max_raster_px)
        pdf = files.pdf.read_bytes() if files.pdf is not None else None
        found = iter_figures(files.article_id, pdf, text, media, settings)
        try:
            while True:
                with rows.timed("figures"):
                    item = next(found, None)
                if item is None:
                    break
                if isinstance(item, Skip):
                    rows.skips.append(item)
                else:
                    yield item
        except MalformedArticle as error:
            name = files.pdf.name if files.pdf else files.article_id
            rows.skips.append(Skip(name, files.article_id, "documents", error.reason, str(error)))
    for path in files.images:
        try:
            with rows.timed("figures"):
                figure = figure_from_image(files.article_id, read_rgb(path, settings.max_raster_px), "")
        except MalformedArticle as error:
            rows.skips.append(Skip(path.name, files.article_id, "documents", error.reason, str(error)))
        else:
            yield figure


def _read_panel(article_id: str, panel: Panel, settings: AnnotateSettings, store: Store, rows: _Rows) -> None:
    with rows.timed("stain"):
        score = score_kind(panel.pixels)
        regions, reasons = find_he_regions(panel.pixels, score, settings.stain)
    height, width = panel.pixels.shape[:2]
    rows.panels.append(
        PanelRow(
            panel.panel_id,
            panel.figure_id,
            panel.label,
            panel.caption,
            panel.box,
            panel.page_box,
            width,
            height,
            score.kind,
            round(score.kind_score, 4),
        )
    )
    rows.skips.extend(Skip(panel.panel_id, article_id, "stain", reason, detail) for reason, detail in reasons)
    with rows.timed("store"):
        for number, region in enumerate(regions, start=1):
            pixels = region.box.crop(panel.pixels)
            path, sha256 = store.write_snapshot(encode_png(pixels))
            rows.snapshots.append(
                SnapshotRow(
                    f"{panel.panel_id}/s{number}",
                    panel.panel_id,
                    region.box,
                    round(region.he_score, 4),
                    round(region.tissue_share, 4),
                    path,
                    sha256,
                    perceptual_hash(pixels),
                )
            )


def encode_png(pixels: RgbImage) -> bytes:
    """Encode (H, W, 3) uint8 RGB losslessly; the same pixels give the same bytes, and no metadata."""
    done, data = cv2.imencode(
        ".png", cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    if not done:
        raise FetchError(f"A snapshot of {pixels.shape[1]} x {pixels.shape[0]} px could not be encoded as PNG.")
    return data.tobytes()


def _figure_row(figure: Figure) -> FigureRow:
    height, width = figure.pixels.shape[:2]
    return FigureRow(
        figure.figure_id,
        figure.label,
        figure.caption,
        figure.rights,
        figure.page_number,
        figure.page_box,
        width,
        height,
        figure.pixels_from,
    )
