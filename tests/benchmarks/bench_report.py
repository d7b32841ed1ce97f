"""Time and memory of `harvester report --no-pictures` on drawn catalogs.

    python -m tests.benchmarks.bench_report [SNAPSHOTS ...]        default: 1000 100000 1000000

Ten snapshots an article, two panels a snapshot, an estimate for each, a caption for half, a scale bar for a fifth.
Pictures are left out: their number does not depend on the size of the harvest. Each report is made in a process of its
own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.harvester.report.drawn import draw_harvest

SIZES = (1_000, 100_000, 1_000_000)


def child(root: Path) -> None:
    from harvester.report.write import write_report

    started = time.perf_counter()
    out = write_report(root, root / "report.html", pictures=False)
    wall = time.perf_counter() - started
    use = resource.getrusage(resource.RUSAGE_SELF)
    peak_mb = use.ru_maxrss / 1024
    print(f"{wall:.1f} | {use.ru_utime + use.ru_stime:.1f} | {peak_mb:.0f} | {out.stat().st_size / 1000:.0f}")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
        return
    print(
        "| snapshots | catalog MB | wall s | processor s | peak MB | report kB |\n|---|---|---|---|---|---|", flush=True
    )
    for n in [int(word) for word in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "drawn"
            draw_harvest(root, n)
            size_mb = (root / "catalog.db").stat().st_size / 1e6
            command = [sys.executable, "-m", "tests.benchmarks.bench_report", "--child", str(root)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"| {n:,} | {size_mb:,.0f} | {done.stdout.strip()} |", flush=True)


if __name__ == "__main__":
    main()
