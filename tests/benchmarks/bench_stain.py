"""Time of the stain stage per panel, with the fast stain separation beside the plain float64 one.

    python -m tests.benchmarks.bench_stain [REPEATS]

Panels are drawn noise of three sizes; one thread; the fastest of the repeats counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from harvester.geometry import RgbImage
from harvester.records import PanelKindScore
from harvester.settings import StainSettings
from harvester.stain.deconvolve import H_E_DAB, separate_stains, tissue_mask
from harvester.stain.detect import find_he_regions, score_kind

SIZES = ((400, 600), (1200, 1800), (3000, 4000))
SURE = PanelKindScore("he", 0.9, 0.9)
INVERSE = np.linalg.inv(H_E_DAB)


def plain_separation(panel: RgbImage) -> object:
    return -np.log10(np.maximum(panel, 1) / 255.0) @ INVERSE


def find_regions(panel: RgbImage) -> object:
    return find_he_regions(panel, SURE, StainSettings())


STEPS: tuple[Callable[[RgbImage], object], ...] = (
    score_kind,
    find_regions,
    tissue_mask,
    separate_stains,
    plain_separation,
)


def fastest_ms(step: Callable[[RgbImage], object], panel: RgbImage, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step(panel)
        best = min(best, 1000 * (time.perf_counter() - start))
    return best


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    cv2.setNumThreads(1)
    print("size, px     " + "".join(f"{step.__name__:>18}" for step in STEPS) + "   (ms)")
    for height, width in SIZES:
        coarse = np.random.default_rng(0).integers(90, 250, (height // 8, width // 8, 3), dtype=np.uint8)
        panel = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        print(f"{width:>5} x {height:<5}" + "".join(f"{fastest_ms(step, panel, repeats):>18.1f}" for step in STEPS))


if __name__ == "__main__":
    main()
