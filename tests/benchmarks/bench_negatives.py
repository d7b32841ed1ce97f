"""Prints how often a model answers pictures that are no H&E histology: the negatives of ../shared/histology.

python -m tests.benchmarks.bench_negatives [MODEL]
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

from hagnifinder.errors import ImageError
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"


def main() -> None:
    predictor = Predictor.load(sys.argv[1] if len(sys.argv) > 1 else "default", "cpu")
    with (HISTOLOGY / "catalog.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["kind"] != "he"]
    seen: dict[str, Counter[str]] = {}
    for row in rows:
        try:
            estimate = predictor.predict(read_rgb(HISTOLOGY / row["path"]))
        except ImageError as error:
            print(error, file=sys.stderr)
            continue
        seen.setdefault(row["kind"], Counter())[estimate.reason or "answered"] += 1
    print(f"{predictor.model_id}\n\n| kind | pictures | answered | not, because |\n|---|---|---|---|")
    for kind, counts in sorted(seen.items()):
        why = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in counts.most_common() if reason != "answered")
        print(f"| {kind} | {counts.total()} | {counts['answered']} | {why} |")
    answered = sum(counts["answered"] for counts in seen.values())
    print(f"| all | {sum(counts.total() for counts in seen.values())} | {answered} | |")


if __name__ == "__main__":
    main()
