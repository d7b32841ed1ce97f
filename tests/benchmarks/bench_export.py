"""Rows a second and peak memory of exports at growing sizes, and how far copies of a picture lie from other pictures.

    python -m tests.benchmarks.bench_export [ROWS ...] [FORMAT ...]     default: 1000 100000 1000000
    python -m tests.benchmarks.bench_export hashes HISTOLOGY      perceptual hashes on a folder with catalog.csv

The catalog rows are drawn straight into SQLite; 16 small pictures are shared by all rows of a split, so duplicates are
kept (`--keep-duplicates`) and the search for duplicates is timed apart, on as many random hashes. Each export runs in
a process of its own, whose largest resident memory is told, and is deleted before the next. COCO gets a drawn figure
for each article, 300 by 200 pixels.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harvester.catalog import Catalog
from harvester.export.request import FORMATS
from harvester.export.splits import SPLITS, split_of
from harvester.records import Figure
from tests.harvester.small_harvest import MODEL, add_article, write_png

PER_ARTICLE = 10
FORMATS_BY_SIZE = {1_000: FORMATS, 100_000: ("csv", "parquet", "webdataset", "imagefolder")}
AT_MOST = ("parquet", "webdataset", "csv")
"""Formats at any other size."""


def draw_catalog(root: Path, n_rows: int) -> None:
    """Fill a catalog with articles of one figure and ten panels each."""
    with Catalog.open(root, create=True) as catalog:
        catalog.finish_run(catalog.start_run("run", {}), 0)
        add_article(catalog, 999_999_999, n=1)
        pictures = [[write_png(root, 100 * k + seed, 32) for seed in range(16)] for k in range(len(SPLITS))]
    with sqlite3.connect(root / "catalog.db") as db:
        db.execute("PRAGMA foreign_keys = OFF")
        rng = np.random.default_rng(1)
        for start in range(0, n_rows // PER_ARTICLE, 10_000):
            numbers = range(start + 1, min(start + 10_000, n_rows // PER_ARTICLE) + 1)
            draw_rows(db, numbers, pictures, rng)
        db.commit()


def draw_rows(
    db: sqlite3.Connection, numbers: range, pictures: list[list[tuple[str, str]]], rng: np.random.Generator
) -> None:
    """Copy the rows of the one real article under new ids."""

    def insert(table: str, rows: list[dict]) -> None:
        names = list(rows[0])
        marks = ", ".join(f":{name}" for name in names)
        db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)

    db.row_factory = sqlite3.Row
    old = {
        name: dict(db.execute(f"SELECT * FROM {name} LIMIT 1").fetchone())
        for name in ("article", "figure", "snapshot", "estimate")
    }
    old["panel"] = dict(db.execute("SELECT * FROM panel WHERE kind = 'he' LIMIT 1").fetchone())
    articles, figures, panels, snapshots, estimates = [], [], [], [], []
    words = "Liver, H&E. " + "A caption of ordinary length with a scale bar of 50 µm and some more words. " * 4
    for number in numbers:
        article_id, figure_id = f"PMC{number}.1", f"PMC{number}.1/f1"
        articles.append({**old["article"], "article_id": article_id, "pmcid": f"PMC{number}", "doi": f"10.1/{number}"})
        figures.append({**old["figure"], "figure_id": figure_id, "article_id": article_id, "caption": words})
        own = pictures[SPLITS.index(split_of(f"PMC{number}"))]
        for i in range(PER_ARTICLE):
            panel_id, mpp_um = f"{figure_id}/p{i}", float(np.exp(rng.normal(-0.7, 0.6)))
            path, sha256 = own[int(rng.integers(16))]
            panels.append({**old["panel"], "panel_id": panel_id, "figure_id": figure_id, "caption": words})
            snapshots.append(
                {**old["snapshot"], "snapshot_id": f"{panel_id}/s1", "panel_id": panel_id, "image_path": path}
                | {"image_sha256": sha256, "phash": f"{int(rng.integers(2**63)):016x}", "width_px": 32, "height_px": 32}
            )
            x = 10 / mpp_um
            estimates.append(
                {**old["estimate"], "snapshot_id": f"{panel_id}/s1", "mpp_um": mpp_um, "magnification_x": x}
                | {"magnification_lo_x": x / 1.5, "magnification_hi_x": x * 1.5, "model_id": MODEL}
                | {"mpp_lo99_um": mpp_um / 1.9, "mpp_hi99_um": mpp_um * 1.9}
            )
    for table, rows in (
        ("article", articles), ("figure", figures), ("panel", panels), ("snapshot", snapshots), ("estimate", estimates),
    ):  # fmt: skip
        insert(table, rows)


def read_figures(article_id: str) -> Iterator[Figure]:
    """Draw the one figure of an article."""
    rng = np.random.default_rng(int(article_id.removeprefix("PMC").removesuffix(".1")))
    pixels = np.full((200, 300, 3), rng.integers(0, 255, 3), np.uint8)
    yield Figure(f"{article_id}/f1", "Figure 1", "", None, 2, None, pixels, "pdf")


def export_once(root: Path, dest: Path, format_name: str, pipe) -> None:
    """Export in this process and send what it took."""
    from harvester.export.dataset import export_dataset
    from harvester.export.request import ExportRequest

    request = ExportRequest(format_name, keep_duplicates=True, tolerance=0.9, confidence=0.5)
    with Catalog.open(root) as catalog:
        start = time.perf_counter()
        cpu = time.process_time()
        summary = export_dataset(catalog, dest, request, read_figures=read_figures)
        values = {
            "wall_s": time.perf_counter() - start,
            "cpu_s": time.process_time() - cpu,
            "rows": summary.tally.n_images,
            "left_out": summary.tally.left_out.total(),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    pipe.send(values)


def time_duplicates(n_rows: int) -> float:
    """Return seconds to judge as many random hashes, of which one in a hundred is a near copy of another."""
    from harvester.export.duplicates import PictureHashes

    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**63, n_rows, np.uint64)
    copies = rng.integers(0, n_rows, n_rows // 100)
    bits[copies] = bits[(copies + 1) % n_rows] ^ np.uint64(5)
    hashes = PictureHashes()
    start = time.perf_counter()
    for i, value in enumerate(bits.tolist()):
        hashes.add(f"{i:016x}", f"{value:016x}", i % 3)
    verdict = hashes.judge(keep_within=False)
    print(f"{n_rows:,} hashes: {(verdict > 0).sum():,} dropped", file=sys.stderr)
    return time.perf_counter() - start


def measure(sizes: list[int], formats: tuple[str, ...] = ()) -> None:
    """Print the table."""
    context = multiprocessing.get_context("spawn")
    print("| rows | format | wall s | CPU s | rows/s (wall) | peak MB | bytes written MB |\n| --- |" + " --- |" * 6)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "harvest"
            draw_catalog(root, size)
            for format_name in formats or FORMATS_BY_SIZE.get(size, AT_MOST):
                dest = Path(folder) / format_name
                mine, theirs = context.Pipe()
                process = context.Process(target=export_once, args=(root, dest, format_name, theirs))
                process.start()
                got = mine.recv()
                process.join()
                n_bytes = sum(p.stat().st_size for p in dest.rglob("*") if p.is_file())
                shutil.rmtree(dest)
                print(
                    f"| {got['rows']:,} of {got['rows'] + got['left_out']:,} | {format_name} | {got['wall_s']:.1f} |"
                    f" {got['cpu_s']:.1f} | {got['rows'] / got['wall_s']:,.0f} | {got['peak_mb']:.0f} |"
                    f" {n_bytes / 2**20:.0f} |",
                    flush=True,
                )
        print(f"| {size:,} | duplicates alone | {time_duplicates(size):.1f} | | | | |", flush=True)


def measure_hashes(folder: Path) -> None:
    """Print how many of the 64 bits differ between copies of a picture, and between different pictures."""
    import csv

    import cv2

    from harvester.fingerprint import hamming, perceptual_hash

    with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
        names = list(csv.DictReader(file))
    key = next(name for name in names[0] if name in ("path", "file", "file_name", "image"))
    chosen = [row[key] for row in names if row[key].lower().endswith((".png", ".jpg", ".jpeg", ".tif"))]
    chosen = [chosen[i] for i in np.random.default_rng(3).permutation(len(chosen))[:300]]
    originals, copies = [], {"JPEG quality 60": [], "half the size": [], "cropped by 3 %": []}
    for name in chosen:
        pixels = cv2.imread(str(folder / name))
        if pixels is None or min(pixels.shape[:2]) < 128:
            continue
        rgb = np.ascontiguousarray(pixels[:, :, ::-1])
        own = perceptual_hash(rgb)
        coarse = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        jpeg = np.ascontiguousarray(cv2.imdecode(coarse, cv2.IMREAD_COLOR)[:, :, ::-1])
        half = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        h, w = rgb.shape[:2]
        top, left = round(0.03 * h), round(0.03 * w)
        cropped = np.ascontiguousarray(rgb[top : h - top, left : w - left])
        for kind, other in zip(copies, (jpeg, half, cropped), strict=True):
            copies[kind].append(hamming(own, perceptual_hash(other)))
        originals.append(own)
    pairs = [hamming(a, b) for i, a in enumerate(originals) for b in originals[:i]]
    print(f"{len(originals)} pictures\n\n| pairs | within 3 bits | median | least | most |\n|{' --- |' * 5}")
    for kind, bits in (*copies.items(), ("different pictures", pairs)):
        near = sum(b <= 3 for b in bits)
        print(f"| {kind} | {near} of {len(bits)} | {np.median(bits):.0f} | {min(bits)} | {max(bits)} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["hashes"]:
        measure_hashes(Path(sys.argv[2]))
    else:
        words = sys.argv[1:]
        asked = [int(word) for word in words if word not in FORMATS]
        measure(asked or [1_000, 100_000, 1_000_000], tuple(word for word in words if word in FORMATS))
