"""Small JPEG pictures for the report, within a budget of bytes; what might show a person is blurred."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from harvester.catalog import Catalog
from harvester.catalog_rows import SNAPSHOT_PATH
from harvester.engines.local import Done, WorkerPool
from harvester.errors import HarvestError
from harvester.geometry import BoxPx, RgbImage
from harvester.magnification import read_rgb
from harvester.pipeline.read import ArticleJob, read_figures
from harvester.report.facts import RefusedPanel
from harvester.report.scan import Shot
from harvester.settings import AnnotateSettings

SIDE_PX = (320, 240)
"""Largest width and height of a picture; twice what a page shows, for fine screens and print."""
QUALITY = 74
BUDGET_BYTES = 3_400_000
"""Of all pictures as they stand in the file (base64), so that it stays below 5 MB with everything else."""
MAX_PICTURE_PX = 200_000_000
RECUT_SECONDS = 40.0
RECUT_BYTES = 3_000_000_000

BLURRED_KINDS = frozenset({"gross", "other"})
"""Where photographs of people, patients and organs end up."""
SURE = 0.5
"""A picture whose kind is less sure than this might be anything, so it is blurred too."""


def needs_blur(kind: str, kind_score: float) -> bool:
    """Say whether a refused panel might show a person or a gross photograph."""
    return kind in BLURRED_KINDS or kind_score < SURE


def thumbnail(pixels: RgbImage, *, blur: bool = False) -> bytes:
    """Return (H, W, 3) uint8 RGB as a small JPEG: the whole field, never enlarged; blurred, it keeps ten"
    " pixels across."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE_PX[0] / width, SIDE_PX[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if blur:
        # shrunken for good before it is enlarged: sharpening brings nothing back
        tiny = cv2.resize(small, (10, max(1, round(10 * size[1] / size[0]))), interpolation=cv2.INTER_AREA)
        small = cv2.resize(tiny, size, interpolation=cv2.INTER_CUBIC)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return data.tobytes() if done else b""


@dataclass(slots=True)
class Album:
    """Pictures by the id of what they show, as addresses that stand in the page itself.

    Attributes:
        addresses: data: address by snapshot_id or panel_id.
        missing: Why a picture is not there, by id.
    """

    budget_bytes: int = BUDGET_BYTES
    addresses: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, jpeg: bytes) -> None:
        """Take a picture, unless the budget is spent."""
        address = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
        if not jpeg or len(address) > self.budget_bytes:
            self.missing[name] = "no room left in the file" if jpeg else "could not be encoded"
            return
        self.budget_bytes -= len(address)
        self.addresses[name] = address


def add_snapshots(album: Album, root: Path, shots: Iterable[Shot]) -> None:
    """Put stored snapshots into the album; what is missing, damaged or not to be passed on is noted."""
    for shot in shots:
        if shot.snapshot_id in album.addresses:
            continue
        if not shot.may_show:
            album.missing[shot.snapshot_id] = "not shown: its licence or a permission note forbids to pass on a crop"
            continue
        path = root / shot.image_path
        # a catalog from elsewhere could name any file of this machine
        if not SNAPSHOT_PATH.fullmatch(shot.image_path) or path.is_symlink() or not path.is_file():
            album.missing[shot.snapshot_id] = "the file is not there (harvester verify --repair)"
            continue
        try:
            album.add(shot.snapshot_id, thumbnail(read_rgb(path, MAX_PICTURE_PX)))
        except HarvestError:
            album.missing[shot.snapshot_id] = "the file is damaged (harvester verify --repair)"


@dataclass(frozen=True, slots=True)
class RecutJob:
    """One article and the panels to be cut out of it."""

    article: ArticleJob
    panels: tuple[RefusedPanel, ...]


def recut(job: RecutJob) -> dict[str, bytes]:
    """Cut panels out of their article once more; runs in a worker process. Panels that are not found are left out."""
    wanted: dict[str, list[RefusedPanel]] = {}
    for panel in job.panels:
        wanted.setdefault(panel.figure_id, []).append(panel)
    found: dict[str, bytes] = {}
    for figure in read_figures(job.article):
        height, width = figure.pixels.shape[:2]
        for panel in wanted.pop(figure.figure_id, ()):
            if panel.figure_size == (width, height) and panel.box[2] <= width and panel.box[3] <= height:
                pixels = BoxPx(*panel.box).crop(figure.pixels)
                found[panel.panel_id] = thumbnail(pixels, blur=needs_blur(panel.kind, panel.kind_score))
        if not wanted:
            break
    return found


def add_refused(
    album: Album,
    catalog: Catalog,
    root: Path,
    panels: Iterable[RefusedPanel],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Put refused panels into the album; their pictures are in no harvest, so their articles are read again.

    Each article has its own process time and memory, as when it was annotated: one that hangs costs its own pictures.
    """
    by_article: dict[str, list[RefusedPanel]] = {}
    for panel in panels:
        by_article.setdefault(panel.article_id, []).append(panel)
    if not by_article:
        return
    todo = [
        RecutJob(ArticleJob(root, catalog.article_files(article_id, root), AnnotateSettings()), tuple(own))
        for article_id, own in by_article.items()
    ]
    found: dict[str, bytes] = {}
    with WorkerPool[RecutJob, Mapping[str, bytes]](
        recut, workers=1, task_seconds=RECUT_SECONDS, extra_bytes=RECUT_BYTES
    ) as pool:
        while todo or pool.n_busy:
            if todo and pool.has_room:
                pool.submit(todo.pop())
            for report in pool.poll(0.2):
                tick()
                if isinstance(report, Done):
                    found.update(report.result)
    for own in by_article.values():
        for panel in own:
            if panel.panel_id in found:
                album.add(panel.panel_id, found[panel.panel_id])
            else:
                album.missing[panel.panel_id] = "could not be cut out of its article again"
