"""One article from its files to catalog rows: the way every figure takes, in one short function.

Runs in a worker process. Stages below are pure; the disk is touched here: the article's own files are read, the
snapshots it gives are written (named by their content, so that writing one twice changes nothing).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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
from harvester.magnification import PixelSize, measure_nuclei, read_pixel_size, read_rgb
from harvester.panels.split import split_figure
from harvester.pipeline.labels import label_of_file
from harvester.pipeline.witness import evidence_rows, read_bars, read_captions, read_panel_subject
from harvester.records import (
    ArticleFiles,
    ArticleResult,
    ArticleText,
    EvidenceRow,
    Figure,
    FigureRow,
    Panel,
    PanelKindScore,
    PanelRow,
    Skip,
    SnapshotRow,
    SubjectReading,
)
from harvester.scale.lettering import TextReader
from harvester.settings import AnnotateSettings
from harvester.stain.detect import find_he_regions, score_kind

ANNOTATION_VERSION = "2"
"""Counts up when the stages give other figures, panels, witnesses or snapshots: finished articles are read again."""

_READER = TextReader()
"""Its models are loaded by the first text that is read, once a worker."""


@dataclass(frozen=True, slots=True)
class ArticleJob:
    """What a worker needs to read one article."""

    root: Path
    files: ArticleFiles
    settings: AnnotateSettings


class LazyPictures(Mapping[str, RgbImage]):
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
    evidence: list[EvidenceRow] = field(default_factory=list)
    pixel_sizes: dict[str, PixelSize] = field(default_factory=dict)
    """What the files of your own pictures say of their pixels, by figure id."""
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
        _read_panels(job, figure, panels, text, store, rows)
    return ArticleResult(
        article_id,
        text,
        tuple(rows.figures),
        tuple(rows.panels),
        tuple(rows.snapshots),
        tuple(rows.evidence),
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
        media = LazyPictures(files.media, settings.max_raster_px)
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
                data = path.read_bytes()
                label = label_of_file(files.folder / f"{files.article_id}.json")
                caption = label.caption if label else ""
                figure = figure_from_image(files.article_id, read_rgb(data, settings.max_raster_px), "", caption)
                size = (label.pixel_size if label else None) or read_pixel_size(data)
                if size is not None:
                    rows.pixel_sizes[figure.figure_id] = size
        except MalformedArticle as error:
            rows.skips.append(Skip(path.name, files.article_id, "documents", error.reason, str(error)))
        else:
            yield figure


def _read_panels(
    job: ArticleJob, figure: Figure, panels: Sequence[Panel], text: ArticleText | None, store: Store, rows: _Rows
) -> None:
    with rows.timed("stain"):
        scores = {panel.panel_id: score_kind(panel.pixels) for panel in panels}
    kinds = {panel_id: score.kind for panel_id, score in scores.items()}
    with rows.timed("captions"):
        readings = read_captions(figure, panels, text)
    with rows.timed("bars"):
        bars = read_bars(figure, panels, kinds, readings, _READER)
    size = rows.pixel_sizes.get(figure.figure_id)
    for panel in panels:
        panel_id = panel.panel_id
        with rows.timed("captions"):
            subject = read_panel_subject(figure, panel, text)
        rows.panels.append(_panel_row(panel, scores[panel_id], subject))
        rows.evidence.extend(evidence_rows(panel, kinds[panel_id], readings[panel_id], bars.get(panel_id, ()), size))
        _read_regions(job, panel, scores[panel_id], store, rows)


def _panel_row(panel: Panel, score: PanelKindScore, subject: SubjectReading) -> PanelRow:
    height, width = panel.pixels.shape[:2]
    return PanelRow(
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
        subject,
    )


def _read_regions(job: ArticleJob, panel: Panel, score: PanelKindScore, store: Store, rows: _Rows) -> None:
    with rows.timed("stain"):
        regions, reasons = find_he_regions(panel.pixels, score, job.settings.stain)
    article_id = job.files.article_id
    rows.skips.extend(Skip(panel.panel_id, article_id, "stain", reason, detail) for reason, detail in reasons)
    for number, region in enumerate(regions, start=1):
        pixels = region.box.crop(panel.pixels)
        with rows.timed("nuclei"):
            nuclei = measure_nuclei(pixels)
        with rows.timed("store"):
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
                    nuclei.diameter_px if nuclei else None,
                    nuclei.spread_log2 if nuclei else None,
                    nuclei.count if nuclei else None,
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
