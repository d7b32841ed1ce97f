"""How often `--no-overlay` takes tissue without any marks for drawn over.

    python -m tests.benchmarks.bench_overlay HISTOLOGY [PICTURES]

HISTOLOGY is a folder with catalog.csv (columns path, kind, dataset); slide fields, on which nothing is drawn. At most
500 x 500 px of each is looked at.
"""

from __future__ import annotations

import csv
import random
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from harvester.export.overlay import find_overlay


def measure(folder: Path, n_pictures: int) -> None:
    """Print the share of pictures with a mark, and the data sets they are of."""
    with (folder / "catalog.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "he"]
    chosen = random.Random(1).sample(rows, n_pictures)
    looked_at = marked = 0
    where: Counter[str] = Counter()
    for row in chosen:
        pixels = cv2.imread(str(folder / row["path"]))
        if pixels is None:
            continue
        looked_at += 1
        if find_overlay(np.ascontiguousarray(pixels[:500, :500, ::-1])):
            marked += 1
            where[row["dataset"]] += 1
    print(f"{marked} of {looked_at} pictures: {dict(where.most_common())}")


if __name__ == "__main__":
    measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
