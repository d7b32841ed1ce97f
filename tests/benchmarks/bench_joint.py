"""Prints what a folder of one microscope's pictures gains from being judged together, and with one known picture.

    python -m tests.benchmarks.bench_joint runs/small/fold-*/small.safetensors [--keep FILE]

Of every patient the largest H&E picture of ../shared/histology is a slide, seen through one camera of unknown factor
with the objectives 4, 10, 20 and 40 as far as its pixels reach: two fields each, only ever shrunk. Every slide is
judged by the network that never saw its data set. What can be chosen is chosen on the half of the patients whose
hash is even; the tables are of the other half.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.loader import shrink
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.density import GRID, centre_and_spread, pool
from hagnifinder.evaluation.metrics import weighted_quantile
from hagnifinder.images import read_rgb
from hagnifinder.joint import JointFit, solve
from hagnifinder.predict import Calibration, Predictor
from hagnifinder.preprocess import MIN_DETAIL, MIN_TISSUE_SHARE, RgbImage, detail, tissue_share
from hagnifinder.shipped import read_card, resolve

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"
OBJECTIVES_X = (40.0, 20.0, 10.0, 4.0)
FIELDS = 2
SIDE_PX, MIN_SIDE_PX = 384, 128
COARSEST_UM = 6.5
USUAL = {"flat": (1.0,) * 6, "rare ends": (0.5, 1.0, 1.0, 1.0, 0.25, 0.25), "four": (1.0, 1.0, 1.0, 1.0, 0.1, 0.1)}


@dataclass(frozen=True, slots=True)
class Slide:
    """The fields of one patient: (n, BINS) densities, (n,) log2 of their µm per pixel."""

    group: str
    dataset: str
    densities: list[NDArray[np.float64]]
    truth: list[float]
    objectives_x: list[float]

    @property
    def is_tuning(self) -> bool:
        return int(hashlib.sha256(f"joint/{self.group}".encode()).hexdigest(), 16) % 2 == 0


def fields_of(image: SlideImage) -> Iterator[tuple[RgbImage, float, float]]:
    """Pixels, µm per pixel and objective of the fields of one slide through one camera."""
    source = read_rgb(image.path)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(image.group.encode()).digest()[:8], "big"))
    # The finest objective that a usual camera, of at most 14 µm at 1x, has at this pixel size.
    finest = next((x for x in OBJECTIVES_X if x * image.mpp_um <= 14.0), OBJECTIVES_X[-1])
    camera_um = finest * image.mpp_um * 2.0 ** float(rng.uniform(0.0, 1.0))
    for objective in OBJECTIVES_X:
        ratio = camera_um / objective / image.mpp_um
        if ratio < 0.999 or image.mpp_um * ratio > COARSEST_UM or min(source.shape[:2]) / ratio < MIN_SIDE_PX:
            continue
        height, width = (min(side, round(SIDE_PX * ratio)) for side in source.shape[:2])
        n_found = 0
        for _ in range(12):
            y = int(rng.integers(source.shape[0] - height + 1))
            x = int(rng.integers(source.shape[1] - width + 1))
            crop = np.ascontiguousarray(source[y : y + height, x : x + width])
            pixels = shrink(crop, round(width / ratio), round(height / ratio), "area")
            if tissue_share(crop) < MIN_TISSUE_SHARE or detail(pixels) < MIN_DETAIL:
                continue
            yield pixels, image.mpp_um * width / pixels.shape[1], objective
            n_found += 1
            # A field that is nearly the whole slide has no second one.
            if n_found == FIELDS or (height, width) == source.shape[:2]:
                break


def ask(folds: Sequence[Path], images: Sequence[SlideImage]) -> Iterator[Slide]:
    """Every patient's slide, judged by the network that left its data set out."""
    card = read_card(resolve("small")).card
    scales, sharpness = tuple(card["scales"]), float(card["sharpness"])
    largest: dict[str, SlideImage] = {}
    for image in images:
        kept = largest.get(image.group)
        if image.scale_quality != "C" and (kept is None or image.path.stat().st_size > kept.path.stat().st_size):
            largest[image.group] = image
    for path in folds:
        loaded = load_weights(path)
        left_out = set(loaded.card.get("recipe", {}).get("left_out", ()))
        predictor = Predictor(loaded.network, {**loaded.card, "scales": list(scales)}, "", torch.device("cpu"))
        for group, image in sorted(largest.items()):
            if image.dataset not in left_out:
                continue
            fields = list(fields_of(image))
            found = list(predictor.densities([pixels for pixels, _, _ in fields]))
            kept_fields = [
                (pool(rows, used, sharpness), math.log2(mpp), x)
                for (_, mpp, x), (rows, used, refusal) in zip(fields, found, strict=True)
                if len(rows) and not refusal
            ]
            if len({x for _, _, x in kept_fields}) >= 2:
                yield Slide(group, image.dataset, *(list(column) for column in zip(*kept_fields, strict=True)))


def quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    return weighted_quantile(np.array(values), np.array(weights), share)


@functools.cache
def _single() -> Calibration:
    return Calibration(**read_card(resolve("small")).card["calibration"])


@dataclass(frozen=True, slots=True)
class Result:
    """log2 errors and spreads of one slide's fields, by way; of single ones what the interval is a multiple of."""

    errors: dict[str, list[float]]
    spreads: dict[str, list[float]]
    n_named: int


def judge(slide: Slide, fit: JointFit) -> Result:
    """Judge all fields singly, jointly, and jointly with the first field of the middle objective known.

    The known field itself is left out of the figures of the third way.
    """
    singles = [centre_and_spread(d) for d in slide.densities]
    errors: dict[str, list[float]] = {"single": [], "joint": [], "one anchor": []}
    spreads: dict[str, list[float]] = {"single": [], "joint": [], "one anchor": []}
    anchor = len(slide.truth) // 2
    n_named = 0
    for way, known in (("joint", {}), ("one anchor", {anchor: 2.0 ** slide.truth[anchor]})):
        answers = solve(slide.densities, known, fit)[1]
        for i, (answer, single, truth) in enumerate(zip(answers, singles, slide.truth, strict=True)):
            centre, spread = single if answer.centre is None else (answer.centre, answer.spread)
            n_named += answer.centre is None and way == "joint"
            if i not in known:
                errors[way].append(centre - truth)
                spreads[way].append(spread)
    for (centre, spread), truth in zip(singles, slide.truth, strict=True):
        errors["single"].append(centre - truth)
        spreads["single"].append(_single().deviation(centre, spread))
    return Result(errors, spreads, n_named)


def choose(slides: Sequence[Slide]) -> JointFit:
    """The trust with the smallest mean of the patients' mean errors, with and without an anchor; then the intervals."""
    best: tuple[float, JointFit] | None = None
    for shared, outlier, usual in itertools.product((0.0, 0.1, 0.3, 0.6, 1.0), (0.02, 0.05, 0.15), USUAL.values()):
        fit = JointFit(shared=shared, outlier=outlier, objectives=usual)
        results = [judge(s, fit) for s in slides]
        errors = [np.mean(np.abs(r.errors[way])) for r in results for way in ("joint", "one anchor")]
        if best is None or np.mean(errors) < best[0] - 1e-4:
            best = (float(np.mean(errors)), fit)
    assert best is not None
    fit = best[1]
    results = [judge(s, fit) for s in slides]
    widths = {}
    for way in ("joint", "one anchor"):
        scores = [
            abs(e) / math.hypot(fit.floor, s)
            for r in results
            for e, s in zip(r.errors[way], r.spreads[way], strict=True)
        ]
        weights = [1.0 / len(r.errors[way]) for r in results for _ in r.errors[way]]
        widths[way] = round(quantile(scores, weights, 0.9), 3)
    return replace(fit, q90=widths["joint"], q90_anchored=widths["one anchor"])


def figures(results: Sequence[Result], way: str, q90: float, floor: float) -> dict[str, float]:
    """Every patient has one vote."""
    errors = [abs(e) for r in results for e in r.errors[way]]
    weights = [1.0 / len(r.errors[way]) for r in results for _ in r.errors[way]]
    halves = [q90 * math.hypot(floor, s) for r in results for s in r.spreads[way]]
    held = np.average([e <= h for e, h in zip(errors, halves, strict=True)], weights=weights)
    return {
        "median": quantile(errors, weights, 0.5),
        "mean": float(np.average(errors, weights=weights)),
        "within 10 %": float(np.average([e <= math.log2(1.1) for e in errors], weights=weights)),
        "p90": quantile(errors, weights, 0.9),
        "coverage": float(held),
        "hi / lo": 2.0 ** (2.0 * quantile(halves, weights, 0.5)),
    }


def print_tables(slides: Sequence[Slide], fit: JointFit) -> None:
    """The figures with intervals over patients, drawn again with replacement."""
    widths = {"single": (_single().q90, 0.0)}
    widths |= {"joint": (fit.q90, fit.floor), "one anchor": (fit.q90_anchored, fit.floor)}
    results = [judge(s, fit) for s in slides]
    rng = np.random.default_rng(10)
    draws = [[results[i] for i in rng.integers(len(results), size=len(results))] for _ in range(400)]
    print(f"{len(slides)} patients, {sum(len(s.truth) for s in slides)} fields\n")
    print("| way | median abs log2 | mean | within 10 % | p90 | 90 % interval holds | its hi / lo |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    drawn = {way: [figures(d, way, *widths[way]) for d in draws] for way in widths}
    for way in widths:
        cells = []
        for name, value in figures(results, way, *widths[way]).items():
            low, high = np.percentile([d[name] for d in drawn[way]], [2.5, 97.5])
            cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
        print(f"| {way} | {' | '.join(cells)} |")
    print()
    for way in ("joint", "one anchor"):
        for name in ("median", "mean", "within 10 %", "p90"):
            gains = [s[name] - j[name] for s, j in zip(drawn["single"], drawn[way], strict=True)]
            low, high = np.percentile(gains, [2.5, 97.5])
            print(f"{name} of single less {way}: {low:+.3f} to {high:+.3f} (95 % over patients)")
    print(f"{sum(r.n_named for r in results)} fields fit no cluster")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folds", nargs="+", type=Path)
    parser.add_argument("--keep", type=Path, help="keep the densities here, and take them from here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.keep and options.keep.exists():
        slides = [Slide(*row) for row in np.load(options.keep, allow_pickle=True)["slides"]]
    else:
        slides = list(ask(options.folds, read_catalog(HISTOLOGY)))
        if options.keep:
            rows = np.empty((len(slides), 5), dtype=object)
            for i, s in enumerate(slides):
                for j, value in enumerate((s.group, s.dataset, s.densities, s.truth, s.objectives_x)):
                    rows[i, j] = value
            np.savez(options.keep, slides=rows)
    assert GRID.size == len(slides[0].densities[0])
    tuning, rest = [s for s in slides if s.is_tuning], [s for s in slides if not s.is_tuning]
    fit = choose(tuning)
    print(f"chosen on {len(tuning)} patients: {fit}\n")
    print_tables(rest, fit)
    wide = [s for s in rest if len(set(s.objectives_x)) >= 3]
    print("\nThree objectives or more:\n")
    print_tables(wide, fit)


if __name__ == "__main__":
    main()
