"""Prints how long the review page takes on drawn catalogs, and what each index is worth.

    python -m tests.benchmarks.bench_review [--sizes 1000,100000,1000000] [--folder DIR] [--indexes]

The rows are drawn and written straight into SQLite; every request goes over HTTP through the real server. `--indexes`
drops one index after the other from the largest catalog, asks the question it is for, and makes it again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from harvester.catalog import Catalog
from harvester.review.queue import Filters, Queue
from tests.harvester.review.conftest import serving, tissue
from tests.harvester.review.test_gate import Client
from tests.harvester.small_harvest import MODEL, open_blank, save_model, store_png

ORGANS = ("liver", "kidney", "colon", "lung", "breast", "skin", "brain", "prostate", "stomach", "thyroid")
WORDS = [
    "section",
    "tissue",
    "gland",
    "stroma",
    "nucleus",
    "tumour",
    "necrosis",
    "inflammation",
    "epithelium",
    "magnification",
    "staining",
    "arrow",
    "bar",
    "representative",
    "patient",
    "control",
    "treated",
    "group",
    "panel",
    "overview",
]
ROUNDS = 7


def draw_rows(n: int) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield (table, row) for n snapshots: 4 a figure, 20 an article, a scale bar for a tenth of them."""
    rng = random.Random(7)
    for i in range(n):
        article, figure = f"PMC{i // 20 + 1}.1", f"PMC{i // 20 + 1}.1/f{i // 4 % 5 + 1}"
        panel = f"{figure}/{'abcd'[i % 4]}"
        caption = " ".join(rng.choices(WORDS, k=25)) + (" rarissima" if i % 9973 == 0 else "")
        if i % 20 == 0:
            journal, year = f"Journal {rng.randrange(300)}", 1999 if i % 9960 == 0 else rng.randrange(2000, 2026)
            yield "article", (article, "pmc", article[:-2], 1, f"Title {i}", journal, year, "CC BY", 0, "[]", "[]", "1")
        if i % 4 == 0:
            yield (
                "figure",
                (figure, article, f"Figure {i // 4 % 5 + 1}", caption * 3, 2, 72, 72, 400, 300, 800, 600, "pdf"),
            )
        organ = "thymus" if i % 9967 == 3 else rng.choice(ORGANS) if rng.random() < 0.6 else None
        yield (
            "panel",
            (panel, figure, "ABCD"[i % 4], caption, 0, 0, 400, 300, 72, 72, 200, 150, 400, 300, "he", 0.9, organ),
        )
        sha = hashlib.sha256(str(i).encode()).hexdigest()
        path = f"snapshots/{sha[:2]}/{sha}.png"
        yield (
            "snapshot",
            (f"{panel}/s1", panel, 0, 0, 400, 300, 400, 300, rng.uniform(0.5, 1), 0.7, path, sha, "0" * 16),
        )
        x, ratio = 2 ** rng.uniform(0, 5), rng.uniform(1.1, 2)
        row = (f"{panel}/s1", MODEL, x, x / ratio, x * ratio, 10 / x, 10 / x / ratio**1.6, 10 / x * ratio**1.6)
        yield "estimate", (*row, int(rng.random() < 0.1))
        if i % 10 == 0:
            um = 10 / x * 2 ** rng.gauss(0, 0.5)
            yield "evidence", (f"{panel}/e1", panel, "scale_bar", "50 µm", um, 10 / um, 0.9)
        if i % 20 == 7:
            yield (
                "review",
                (f"r{i}", f"{panel}/s1", rng.choice(("accept", "reject")), rng.choice(("bob", "cem")), "2026"),
            )


COLUMNS = {
    "article": "article_id source pmcid version title journal year licence_code is_retracted keywords mesh_terms"
    " annotated_version",
    "figure": "figure_id article_id label caption page_number page_x0_pt page_y0_pt page_x1_pt page_y1_pt width_px"
    " height_px pixels_from",
    "panel": "panel_id figure_id label caption x0_px y0_px x1_px y1_px page_x0_pt page_y0_pt page_x1_pt page_y1_pt"
    " native_width_px native_height_px kind kind_score organ",
    "snapshot": "snapshot_id panel_id x0_px y0_px x1_px y1_px width_px height_px he_score tissue_share image_path"
    " image_sha256 phash",
    "estimate": "snapshot_id model_id magnification_x magnification_lo_x magnification_hi_x mpp_um mpp_lo99_um"
    " mpp_hi99_um abstained",
    "evidence": "evidence_id panel_id kind text mpp_um magnification_x score",
    "review": "review_id snapshot_id verdict reviewer created_at",
}


def draw_catalog(root: Path, n: int) -> None:
    """Write a catalog of n drawn snapshots; their pictures are not there but for the smallest use."""
    with open_blank(root) as catalog:
        save_model(catalog)
        store_png(root, tissue(1))
    connection = sqlite3.connect(root / "catalog.db")
    connection.execute("PRAGMA synchronous = OFF")
    held: dict[str, list[tuple[object, ...]]] = {name: [] for name in COLUMNS}

    def write() -> None:
        for name, rows in held.items():
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(
                    f"INSERT INTO {name} ({COLUMNS[name].replace(' ', ', ')}) VALUES ({marks})", rows
                )
                rows.clear()
        connection.commit()

    for number, (name, row) in enumerate(draw_rows(n)):
        held[name].append(row)
        if number % 50_000 == 49_999:
            write()
    write()
    connection.close()


def median_ms(ask: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of wall time and of this process's CPU time over a few rounds, after one to warm up."""
    ask()
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append(1000 * (time.perf_counter() - wall))
        cpus.append(1000 * (time.process_time() - cpu))
    return statistics.median(walls), statistics.median(cpus)


def bench_pages(root: Path, n: int) -> dict[str, tuple[float, float]]:
    """Return milliseconds of each page by name: wall, CPU of client and server together."""
    with Catalog.open(root) as catalog:
        catalog.set_checkpoint("review_queue", None)
        wall, cpu = time.perf_counter(), time.process_time()
        Queue(catalog).refresh()
        made = 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)
        with serving(catalog) as served:
            client = Client(served.address).enter()
            middle = catalog.rows("SELECT snapshot_id FROM review_queue WHERE position = :at", at=n // 2)[0][
                "snapshot_id"
            ]
            pages = {
                "first of the queue": "/queue",
                "a snapshot in the middle": "/item?" + urlencode({"id": middle}),
                "grid, first page": "/grid",
                "grid, from the middle": "/grid?" + urlencode({"after": middle, "state": "all"}),
                "grid, a common organ": "/grid?organ=kidney",
                "grid, a rare organ": "/grid?organ=thymus",
                "grid, one journal and year": "/grid?journal=Journal+7&year=2010",
                "grid, one doubt": "/grid?doubt=wide",
                "grid, rejected": "/grid?state=reject",
                "grid, reviewers differ (none)": "/grid?state=differ",
                "search, a word in two of three captions": "/grid?words=tissue",
                "search, a rare word": "/grid?words=rarissima",
                "search, no hit": "/grid?words=zzzz",
            }
            times = {"queue made anew (once)": made}
            for name, path in pages.items():
                assert client.ask(path)[0] == 200, path
                times[name] = median_ms(lambda path=path: client.ask(path))
            ids = iter(catalog.rows("SELECT snapshot_id FROM review_queue ORDER BY rank, position LIMIT 40"))

            def verdict() -> None:
                form = urlencode({"id": next(ids)["snapshot_id"], "verdict": "accept"})
                assert client.ask("/review", "POST", form)[0] in (303, 409)

            times["a verdict, to the answer"] = median_ms(verdict)
    return times


INDEXES = {
    "ix_review_queue_rank_position": Filters(),
    "ix_review_queue_shuffle_position": None,
    "ix_review_queue_verdict_rank_position": Filters(state="differ"),
    "ix_review_queue_organ_rank_position": Filters(organ="thymus"),
    "ix_review_queue_journal_rank_position": Filters(journal="Journal 7"),
    "ix_review_queue_year_rank_position": Filters(year=1999),
    "ix_review_snapshot_id": Filters(),
    "review_search": Filters(words="rarissima"),
}
"""Index to the question it is for; None is the blind queue."""


def bench_indexes(root: Path) -> None:
    with Catalog.open(root) as catalog:

        def asked(filters: Filters | None) -> tuple[float, float]:
            queue = Queue(catalog, blind=filters is None)

            def ask() -> None:
                with catalog.reading() as connection:
                    queue.page(connection, filters or Filters(), "ann", limit=60)

            return median_ms(ask)

        def scan() -> None:
            with catalog.reading() as connection:
                query = (
                    "SELECT q.snapshot_id FROM review_queue q JOIN snapshot s ON s.snapshot_id = q.snapshot_id"
                    " JOIN panel p ON p.panel_id = s.panel_id WHERE p.caption LIKE '%rarissima%'"
                    " ORDER BY q.position LIMIT 60"
                )
                connection.exec_driver_sql(query).all()

        print("| index | with, ms | CPU | without, ms | CPU |\n|---|---:|---:|---:|---:|")
        for name, filters in INDEXES.items():
            with_it = asked(filters)
            if name == "review_search":
                without = median_ms(scan)
            else:
                (row,) = catalog.rows("SELECT sql FROM sqlite_master WHERE name = :name", name=name)
                with catalog.writing() as connection:
                    connection.exec_driver_sql(f"DROP INDEX {name}")
                without = asked(filters)
                with catalog.writing() as connection:
                    connection.exec_driver_sql(row["sql"])
            print(f"| `{name}` | " + " | ".join(f"{ms:,.1f}" for ms in (*with_it, *without)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--folder", type=Path, help="Keep the drawn catalogs here.")
    parser.add_argument("--indexes", action="store_true")
    options = parser.parse_args()
    sizes = [int(word) for word in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        columns = {}
        for n in sizes:
            root = folder / str(n)
            if not (root / "catalog.db").exists():
                draw_catalog(root, n)
            columns[n] = bench_pages(root, n)
        heads = " | ".join(f"{n:,} | CPU" for n in sizes)
        print(f"| ms, median of {ROUNDS} | {heads} |\n|---" + "|---:" * 2 * len(sizes) + "|")
        for name in columns[sizes[0]]:
            print(f"| {name} | " + " | ".join(f"{ms:,.0f}" for n in sizes for ms in columns[n][name]) + " |")
        if options.indexes:
            print()
            bench_indexes(folder / str(sizes[-1]))


if __name__ == "__main__":
    main()
