"""Is it the scale that is read, or the kind of scanner? Fields brought to one µm/px by way of different resolutions.

    python -m tests.benchmarks.bench_source [--folds runs/small/fold-*/small.safetensors]

The same tissue is taken as a slide of 0.25, 0.35, 0.5 and 0.7 µm/px would hold it (shrunk, then JPEG of quality 90,
as a scanner stores it) and brought from there to 0.5 and 1 µm/px. With folds, each field is asked of the network that
never saw its data set, and a second table compares data sets of different native resolution at one µm/px.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.augment import recompress
from hagnifinder.data.loader import shrink
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import Split, split_of
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor
from hagnifinder.preprocess import RgbImage, tissue_share
from hagnifinder.training.density import SUSPECT_DATASETS

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"
NATIVE_UM = (0.25, 0.35, 0.5, 0.7)
TARGET_UM = (0.5, 1.0)
SIDE_PX = 384
FEWEST_PX = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """One field by one way, and what was said of it: log2 of the answer over the truth."""

    dataset: str
    group: str
    field: str
    native_um: float
    by_um: float
    target_um: float
    error_log2: float


def ways(image: SlideImage) -> Iterator[tuple[float, float, RgbImage, float]]:
    """(native by way of µm/px, target µm/px, pixels, exact µm/px) of the middle of one picture, where it is tissue."""
    source = read_rgb(image.path)
    for target_um in TARGET_UM:
        side = round(SIDE_PX * target_um / image.mpp_um)
        height, width = min(side, source.shape[0]), min(side, source.shape[1])
        if min(height, width) * image.mpp_um < FEWEST_PX * target_um:
            continue
        y, x = (source.shape[0] - height) // 2, (source.shape[1] - width) // 2
        field = np.ascontiguousarray(source[y : y + height, x : x + width])
        if tissue_share(field) < 0.4:
            continue
        for by_um in NATIVE_UM:
            if not image.mpp_um * 0.99 <= by_um <= target_um:
                continue
            first = to_scale(field, image.mpp_um, max(by_um, image.mpp_um))
            stored = recompress(first, 90, 0, 0)
            last = to_scale(stored, image.mpp_um * field.shape[1] / stored.shape[1], target_um)
            yield by_um, target_um, last, image.mpp_um * field.shape[1] / last.shape[1]


def to_scale(pixels: RgbImage, mpp_um: float, wanted_um: float) -> RgbImage:
    """Shrunk with antialiasing; as it is when it has that scale."""
    ratio = wanted_um / mpp_um
    width, height = round(pixels.shape[1] / ratio), round(pixels.shape[0] / ratio)
    return pixels if ratio < 1.01 else shrink(pixels, width, height, "area")


def predictors(folds: list[Path]) -> list[tuple[Predictor, frozenset[str]]]:
    shipped = Predictor.load("small", "cpu")
    if not folds:
        return [(shipped, frozenset())]
    loaded = [load_weights(path) for path in folds]
    return [
        (Predictor(one.network, shipped.card, "", torch.device("cpu")), frozenset(one.card["recipe"]["left_out"]))
        for one in loaded
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", nargs="+", type=Path, default=[])
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    images = [i for i in read_catalog(HISTOLOGY) if i.scale_quality != "C" and i.dataset not in SUSPECT_DATASETS]
    rows: list[Asked] = []
    for predictor, left_out in predictors(asked.folds):
        per_patient: dict[tuple[str, str], int] = defaultdict(int)
        for image in images:
            mine = image.dataset in left_out if left_out else split_of(image.group) is Split.TEST
            key = (image.dataset, image.group)
            if not mine or image.mpp_um > max(TARGET_UM) or per_patient[key] >= 2:
                continue
            per_patient[key] += 1
            found = list(ways(image))
            for (by_um, target_um, _, exact_um), said in zip(
                found, predictor.predict_many([pixels for _, _, pixels, _ in found]), strict=True
            ):
                if said.mpp_um is not None:
                    error = math.log2(said.mpp_um / exact_um)
                    rows.append(
                        Asked(image.dataset, image.group, str(image.path), image.mpp_um, by_um, target_um, error)
                    )
    print_pairs(rows)
    if asked.folds:
        print_bands(rows)


def print_pairs(rows: list[Asked]) -> None:
    """The same field by a coarser slide against the finest it was had by."""
    print("| brought to | by way of | against | fields | patients | median ratio | median change | moved at most 5 % |")
    print("|---|---|---|---|---|---|---|---|")
    fields: dict[tuple[str, float], dict[float, Asked]] = defaultdict(dict)
    for row in rows:
        fields[(row.field, row.target_um)][row.by_um] = row
    for target_um in TARGET_UM:
        for by_um in NATIVE_UM[1:]:
            pairs = [
                (ways_[by_um], ways_[min(ways_)])
                for (_, target), ways_ in fields.items()
                if target == target_um and by_um in ways_ and min(ways_) < by_um
            ]
            if not pairs:
                continue
            moves = np.array([a.error_log2 - b.error_log2 for a, b in pairs])
            least = sorted({b.by_um for _, b in pairs})
            n_patients = len({a.group for a, _ in pairs})
            print(
                f"| {target_um} | {by_um} | {' or '.join(map(str, least))} | {len(pairs)} | {n_patients} "
                f"| {2 ** np.median(moves):.3f} | {2 ** np.median(np.abs(moves)) - 1:.1%} "
                f"| {(np.abs(moves) <= math.log2(1.05)).mean():.0%} |"
            )


def print_bands(rows: list[Asked]) -> None:
    """Different tissue, whose files have different resolutions, at one µm/px."""
    print("\n| at | native of the file | data sets | fields | patients | median answer / truth |")
    print("|---|---|---|---|---|---|")
    for target_um in TARGET_UM:
        for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.01)):
            mine: dict[str, Asked] = {}
            for row in sorted(rows, key=lambda r: r.by_um):
                if row.target_um == target_um and low <= row.native_um < high:
                    mine.setdefault(row.field, row)
            if mine:
                sets, groups = {r.dataset for r in mine.values()}, {r.group for r in mine.values()}
                middle = 2 ** float(np.median([r.error_log2 for r in mine.values()]))
                print(f"| {target_um} | {low} to {high} | {len(sets)} | {len(mine)} | {len(groups)} | {middle:.3f} |")


if __name__ == "__main__":
    main()
