"""Prints how far the answers move when pictures are resized, recompressed, turned, mirrored or cropped.

    python -m tests.benchmarks.bench_invariance [MODEL...] [--fields N]

Fields of at most 768 px are cut from the middle of the test patients' pictures in ../shared/histology, taken from the
data sets in turn.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np

from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import Split, split_of
from hagnifinder.evaluation.invariance import invariance_markdown, measure
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor
from hagnifinder.preprocess import MIN_TISSUE_SHARE, RgbImage, tissue_share

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"
SIDE_PX = 768


def fields(n: int) -> list[RgbImage]:
    """Up to n fields of the test side, (H, W, 3) uint8 each; those with little tissue are passed over."""
    by_set: dict[str, list[SlideImage]] = defaultdict(list)
    for image in read_catalog(HISTOLOGY):
        if split_of(image.group) is Split.TEST:
            by_set[image.dataset].append(image)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*by_set.values()))
    found: list[RgbImage] = []
    for image in in_turn:
        if image is None or len(found) == n:
            continue
        rgb = read_rgb(image.path)
        y, x = max(0, rgb.shape[0] - SIDE_PX) // 2, max(0, rgb.shape[1] - SIDE_PX) // 2
        field = np.ascontiguousarray(rgb[y : y + SIDE_PX, x : x + SIDE_PX])
        if min(field.shape[:2]) >= 256 and tissue_share(field) >= MIN_TISSUE_SHARE:
            found.append(field)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--fields", type=int, default=30)
    options = parser.parse_args()
    pictures = fields(options.fields)
    for model in options.models:
        predictor = Predictor.load(model, "cpu")
        print(invariance_markdown(predictor.model_id, measure(predictor.predict_many, pictures)))


if __name__ == "__main__":
    main()
