"""Articles per second end to end with the time of each stage, and peak memory at 20 and at 200 articles.

    python -m tests.benchmarks.bench_harvest [--articles 20 200] [--shared ../shared]

The real articles are repeated under other ids (a comment appended to the XML changes the id, nothing else). Memory is
the sum of the resident sets of the command and its processes, sampled every 0.2 s: pages they share count for each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PIPELINE = """
import json, sys
from pathlib import Path
from harvester.catalog import Catalog
from harvester.magnification import Estimators
from harvester.pipeline.annotate import annotate
from harvester.settings import AnnotateSettings

if __name__ == "__main__":
    root = Path(sys.argv[1])
    with Catalog.open(root) as catalog:
        outcome = annotate(catalog, root, AnnotateSettings(), Estimators.choose((), "cpu"))
    print(json.dumps({"counts": outcome.counts, "seconds": outcome.seconds}))
"""


def repeat(shared: Path, folder: Path, n: int) -> None:
    """Write n article folders made of the real ones."""
    originals = sorted(p for p in (shared / "articles").iterdir() if p.is_dir())
    for i in range(n):
        source, target = originals[i % len(originals)], folder / f"copy{i:04d}"
        target.mkdir(parents=True)
        shutil.copy(source / "fulltext.pdf", target)
        text = (source / "fulltext.xml").read_text(encoding="utf-8")
        (target / "fulltext.xml").write_text(f"{text}<!-- copy {i} -->", encoding="utf-8")


def peak_of(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return its seconds, the peak of its processes' resident sets in MB, and what it printed."""
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                family = [parent, *parent.children(recursive=True)]
                peak = max(peak, sum(p.memory_info().rss for p in family))
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.2)
        seconds = time.perf_counter() - start
        output.seek(0)
        return seconds, peak / 1e6, output.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    options = parser.parse_args()
    harvester = [sys.executable, "-m", "harvester.cli"]
    print("| articles | add s | annotate s | articles/s | peak MB | figures | panels | snapshots |")
    print("|---|---|---|---|---|---|---|---|")
    stages: dict[str, float] = {}
    for n in options.articles:
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "in"), Path(folder, "out")
            script = Path(folder, "annotate_once.py")
            script.write_text(PIPELINE, encoding="utf-8")
            repeat(options.shared, source, n)
            adding, _, _ = peak_of([*harvester, "add", str(source), "--out", str(out)])
            seconds, peak, printed = peak_of([sys.executable, str(script), str(out)])
            report = json.loads(printed)
            counts, stages = report["counts"], report["seconds"]
            print(
                f"| {n} | {adding:.1f} | {seconds:.1f} | {n / seconds:.2f} | {peak:.0f} | "
                f"{counts['figures']} | {counts['panels']} | {counts['snapshots']} |"
            )
    total = sum(stages.values())
    print(f"\nTime of the reading workers by stage, {options.articles[-1]} articles (the model runs beside them):\n")
    print("| stage | s | share |\n|---|---|---|")
    for name, value in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"| {name} | {value:.1f} | {value / total:.0%} |")


if __name__ == "__main__":
    main()
