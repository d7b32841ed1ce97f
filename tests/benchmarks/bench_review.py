"""Prints how long the review page takes on drawn catalogs, and what each index is worth.

    python -m tests.benchmarks.bench_review [--sizes 1000,100000,1000000] [--folder DIR] [--indexes] [--pages]

The rows are drawn and written straight into SQLite; every request goes over HTTP through the real server. `--indexes`
drops one index after the other from the largest catalog, asks the question it is for, and makes it again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from harvester.catalog import Catalog
from harvester.review.queue import Filters, Queue, look_up
from harvester.review.verdicts import Verdict, save_verdict
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


def review_as_bob(catalog: Catalog, n: int) -> None:
    """Let bob judge the first rows of the queue: what a diligent reviewer has behind him is in front of everything."""
    ids = catalog.rows("SELECT snapshot_id FROM review_queue ORDER BY rank, position LIMIT :n", n=n)
    for row in ids:
        save_verdict(catalog, Verdict(row["snapshot_id"], "accept", "bob"), seen=None, blind=True)


def once_ms(act: Callable[[], object]) -> tuple[float, float]:
    """Return wall time and CPU time of something that can be done once only."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


def change(catalog: Catalog, first: int, n_articles: int) -> None:
    """Let the estimates of some articles be a hair other than they were."""
    with catalog.writing() as connection:
        for number in range(first, first + n_articles):
            ends = (f"PMC{number}.1/", f"PMC{number}.10")
            query = "UPDATE estimate SET mpp_um = mpp_um * 1.001 WHERE snapshot_id >= ? AND snapshot_id < ?"
            connection.exec_driver_sql(query, ends)


def bench_queue(catalog: Catalog, n: int) -> dict[str, tuple[float, float]]:
    """Return milliseconds of making the queue, and of following a harvest that has changed."""
    times = {"queue made (the first time only)": once_ms(Queue(catalog).refresh)}
    done = min(n // 10, 10_000)
    times[f"bob's first verdicts, each (of {min(n // 10, 10_000):,})"] = tuple(  # type: ignore[assignment]
        ms / done for ms in once_ms(lambda: review_as_bob(catalog, done))
    )
    times["queue at the next start, nothing changed"] = once_ms(Queue(catalog).refresh)
    for n_articles in (1, 50):
        change(catalog, 3, n_articles)
        times[f"queue at the next start, {20 * n_articles:,} snapshots changed"] = once_ms(Queue(catalog).refresh)
    return times


PAGES: dict[str, str] = {
    "queue, as one who has looked at nothing": "/queue",
    "queue, as bob": "/queue",
    "panel page, the first that is open": "/item?id={open}",
    "panel page, in the middle": "/item?id={middle}",
    "panel page, the last": "/item?id={last}",
    "grid, start": "/grid",
    "grid, start, all rows": "/grid?state=all",
    "grid, middle": "/grid?after={middle}",
    "grid, middle, backwards": "/grid?before={middle}",
    "grid, end": "/grid?after={nearly}",
    "grid, a common organ": "/grid?organ=kidney",
    "grid, a rare organ": "/grid?organ=thymus",
    "grid, one journal": "/grid?journal=Journal+7",
    "grid, one year": "/grid?year=2010",
    "grid, one journal and year": "/grid?journal=Journal+7&year=2010",
    "grid, one doubt": "/grid?doubt=wide",
    "grid, one doubt in a rare organ": "/grid?doubt=wide&organ=thymus",
    "grid, looked at by nobody": "/grid?state=none",
    "grid, rejected": "/grid?state=reject",
    "grid, rejected in one year": "/grid?state=reject&year=2010",
    "grid, reviewers differ": "/grid?state=differ",
    "search, a word in two of three captions": "/grid?words=tissue",
    "search, the same in a rare organ": "/grid?words=tissue&organ=thymus",
    "search, the same where reviewers differ": "/grid?words=tissue&state=differ",
    "search, three common words": "/grid?words=tissue+gland+stroma",
    "search, a rare word": "/grid?words=rarissima",
    "search, no hit": "/grid?words=zzzz",
    "progress and agreement": "/progress",
}


def bench_pages(catalog: Catalog, n: int, *, blind: bool = False) -> dict[str, tuple[float, float]]:
    """Return milliseconds of each page by name: wall, CPU of client and server together."""
    order = "shuffle" if blind else "rank"
    query = f"SELECT snapshot_id FROM review_queue ORDER BY {order}, position LIMIT 1 OFFSET :at"
    seen = min(n // 10, 10_000)
    at = {"open": seen, "middle": n // 2, "nearly": n - 40, "last": n - 1}
    ids = {name: catalog.rows(query, at=place)[0]["snapshot_id"] for name, place in at.items()}
    times = {}
    for name, path in PAGES.items():
        if blind and not name.startswith(("queue, as bob", "panel", "grid")):
            continue
        reviewer = "nora" if name.endswith("looked at nothing") else "bob"
        with serving(catalog, reviewer=reviewer, blind=blind) as served:
            client = Client(served.address).enter()
            full = path.format(**{key: quote(value, safe="") for key, value in ids.items()})
            assert client.ask(full)[0] == 200, full
            times[name] = median_ms(lambda full=full, client=client: client.ask(full))  # type: ignore[misc]
    if not blind:
        left = iter(
            catalog.rows("SELECT snapshot_id FROM review_queue ORDER BY rank, position LIMIT 40 OFFSET :n", n=seen)
        )
        with serving(catalog, reviewer="bob") as served:
            client = Client(served.address).enter()

            def verdict() -> None:
                form = urlencode({"id": next(left)["snapshot_id"], "verdict": "accept"})
                assert client.ask("/review", "POST", form)[0] in (303, 409)

            times["a verdict, to the answer"] = median_ms(verdict)
    return times


INDEXES = {
    "ix_review_queue_rank_position": Filters(),
    "ix_review_queue_shuffle_position": Filters(),
    "ix_review_queue_verdict_rank_position": Filters(state="differ"),
    "ix_review_queue_organ_rank_position": Filters(organ="thymus"),
    "ix_review_queue_journal_rank_position": Filters(journal="Journal 7"),
    "ix_review_queue_year_rank_position": Filters(year=1999),
    "ix_review_blind_verdict": Filters(state="reject"),
    "ix_review_blind_organ": Filters(organ="kidney"),
    "ix_review_blind_journal": Filters(journal="Journal 7"),
    "ix_review_blind_year": Filters(year=2010),
}
"""Index to the question it is for; the blind queue asks those named shuffle and blind."""


def bench_indexes(catalog: Catalog) -> None:
    """Print what each index is worth: the question for one page of the grid, asked as bob, with it and without."""

    def print_row(name: str, with_it: tuple[float, float], without: tuple[float, float]) -> None:
        print(f"| {name} | " + " | ".join(f"{ms:,.1f}" for ms in (*with_it, *without)) + " |", flush=True)

    def asked(name: str, filters: Filters) -> tuple[float, float]:
        queue = Queue(catalog, blind="shuffle" in name or "blind" in name)

        def ask() -> None:
            with catalog.reading() as connection:
                queue.page(connection, filters, "bob", limit=61)

        return median_ms(ask)

    def plain(query: str) -> tuple[float, float]:
        return median_ms(lambda: catalog.rows(query))

    print("| index | with, ms | CPU | without, ms | CPU |\n|---|---:|---:|---:|---:|")
    with catalog.writing() as connection:
        for name in [name for name in INDEXES if "blind" in name]:
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for name, filters in INDEXES.items():
        if name == "ix_review_blind_verdict":
            # the first of those that a blind review makes
            Queue(catalog, blind=True).refresh()
        with_it = asked(name, filters)
        (row,) = catalog.rows("SELECT sql FROM sqlite_master WHERE name = :name", name=name)
        with catalog.writing() as connection:
            connection.exec_driver_sql(f"DROP INDEX {name}")
        print_row(f"`{name}`", with_it, asked(name, filters))
        with catalog.writing() as connection:
            connection.exec_driver_sql(row["sql"])
    by_reviews = (
        "SELECT q.snapshot_id FROM review_queue q WHERE NOT EXISTS (SELECT 1 FROM review r"
        " WHERE r.snapshot_id = q.snapshot_id AND r.reviewer = 'bob' AND r.withdrawn_at IS NULL AND NOT r.is_orphan)"
        " ORDER BY q.rank, q.position LIMIT 61"
    )
    print_row("`review_seen` (without: the reviews themselves)", asked("", Filters()), plain(by_reviews))
    by_caption = (
        "SELECT q.snapshot_id FROM review_queue q JOIN snapshot s ON s.snapshot_id = q.snapshot_id"
        " JOIN panel p ON p.panel_id = s.panel_id WHERE p.caption LIKE '%rarissima%' ORDER BY q.position LIMIT 61"
    )
    print_row("`review_search`, words (without: LIKE)", asked("", Filters("all", words="rarissima")), plain(by_caption))
    two = Filters("all", journal="Journal 7", year=2010)
    by_one = (
        "SELECT snapshot_id FROM review_queue WHERE journal = 'Journal 7' AND year = 2010"
        " ORDER BY rank, position LIMIT 61"
    )
    print_row("`review_search`, two filters (without: the index of one)", asked("", two), plain(by_one))
    ids = [row["snapshot_id"] for row in catalog.rows("SELECT snapshot_id FROM review_queue LIMIT 60")]

    def look(*, is_one: bool) -> tuple[float, float]:
        def ask() -> None:
            with catalog.reading() as connection:
                for some in [ids] if is_one else [[snapshot_id] for snapshot_id in ids]:
                    look_up(connection, some)

        return median_ms(ask)

    print_row(
        "none: 60 rows of the view in one question (without: 60 questions)", look(is_one=True), look(is_one=False)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--folder", type=Path, help="Keep the drawn catalogs here.")
    parser.add_argument("--indexes", action="store_true")
    parser.add_argument("--pages", action="store_true", help="Only the pages, of catalogs an earlier run has left.")
    options = parser.parse_args()
    sizes = [int(word) for word in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        columns: dict[int, dict[str, tuple[float, float]]] = {}
        for n in sizes:
            root = folder / str(n)
            if not (root / "catalog.db").exists():
                draw_catalog(root, n)
            with Catalog.open(root) as catalog:
                made = {} if options.pages else bench_queue(catalog, n)
                columns[n] = {**made, **bench_pages(catalog, n)}
                blind = {"blind, index made (once)": once_ms(Queue(catalog, blind=True).refresh)}
                blind |= {f"blind: {name}": value for name, value in bench_pages(catalog, n, blind=True).items()}
                columns[n] |= blind
            print(f"{n:,} done", file=sys.stderr, flush=True)
        heads = " | ".join(f"{n:,} | CPU" for n in sizes)
        print(f"| ms, median of {ROUNDS} | {heads} |\n|---" + "|---:" * 2 * len(sizes) + "|")
        for names in zip(*columns.values(), strict=True):
            values = [columns[n][name] for n, name in zip(sizes, names, strict=True)]
            print(f"| {names[-1]} | " + " | ".join(f"{ms:,.1f}" for pair in values for ms in pair) + " |")
        if options.indexes:
            print()
            with Catalog.open(folder / str(sizes[-1])) as catalog:
                bench_indexes(catalog)


if __name__ == "__main__":
    main()
