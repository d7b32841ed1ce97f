"""Train the panel classifier from a folder of catalogued histology, and measure it on sets it never saw.

    python -m harvester.stain.train HISTOLOGY --out harvester/stain/panel_kind.npz [--seed 1] [--report FILE]

HISTOLOGY holds `catalog.csv` and its pictures. scikit-learn is needed here and nowhere else. The same seed, material
and library versions give the same file. Measuring is by data set: every picture, and every imitation made from it, is
judged by a model that saw no picture of its source.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage
from harvester.records import PANEL_KINDS, PanelKind
from harvester.stain.deconvolve import tissue_mask
from harvester.stain.features import N_FEATURES, Features, describe, shrink
from harvester.stain.imitations import DRAWN
from harvester.stain.material import RECOLOURED, Rng, camera, cut, section, wear
from harvester.stain.model import CLIP, HE, PanelModel, calibrate, he_log_odds, likeliest, sharpen
from harvester.stain.sorted_figures import SORTED_FIGURES

N_FOLDS = 5
N_NETS = 3
N_HIDDEN = 128
HE_CROPS = 2600
REAL_NEGATIVES = 2000
DRAWN_EACH = 40
LARGEST_PX = 3000

KIND_OF_NEGATIVE: dict[str, PanelKind] = {
    "ihc": "ihc",
    "ihc_deconvolved": "ihc",
    "pas": "other_stain",
    "pap_cytology": "cytology",
    "blood_smear": "cytology",
    "blood_cytology": "cytology",
    "fluorescence": "fluorescence",
    "em_materials": "electron",
    "radiology": "radiology",
    "plots": "chart",
    "line_drawings": "drawing",
    "other_photo": "other",
    "microscopy_other": "other",
    "masks": "other",
}
"""Kinds of the catalogue of negatives that are one kind of panel throughout."""


WEIGHT_OF_NEGATIVE = {"pas": 0.25}
"""PAS of the one source looks like H&E even to the eye: it may not teach that pink and purple kidney is none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured picture.

    Attributes:
        group: Data set or source it comes from; never on both sides of a split.
        origin: real, recoloured or drawn.
        weight: How much it counts in training.
    """

    features: Features
    kind: PanelKind
    group: str
    origin: str
    weight: float = 1.0


def gather(root: Path, seed: int, jobs: int = 2) -> list[Sample]:
    """Return the samples made from a folder of histology; progress goes to standard error."""
    with (root / "catalog.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    real = [row for row in rows if not row["path"].startswith("negatives/")]
    negatives = [row for row in rows if row["path"].startswith("negatives/")]
    tasks: list[tuple[Any, ...]] = [(_from_tissue, root, row, real, [seed, 1, at]) for at, row in enumerate(real)]
    tasks += [(_from_negative, root, row, negatives, [seed, 2, at]) for at, row in enumerate(negatives)]
    tasks.append((_from_figures, root, negatives, [seed, 3]))
    tasks += [(_drawn, at, [seed, 4, at]) for at in range(len(DRAWN))]
    samples: list[Sample] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for at, found in enumerate(pool.map(_perform, tasks, chunksize=4)):
            samples += found
            _say(at, len(tasks), "pictures and drawings")
    return samples


def _perform(task: tuple[Any, ...]) -> list[Sample]:
    cv2.setNumThreads(1)
    work, *arguments, seed = task
    return list(work(*arguments, np.random.default_rng(seed)))


def _say(at: int, total: int, what: str) -> None:
    if (at + 1) % 50 == 0 or at + 1 == total:
        print(f"{at + 1} of {total} {what}", file=sys.stderr)  # noqa: T201


def _read(path: Path) -> RgbImage:
    data = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if data is None:
        raise SystemExit(f"{path} can't be read as an image.")
    return np.ascontiguousarray(data[:, :, ::-1])


def _from_tissue(root: Path, row: dict[str, str], rows: list[dict[str, str]], rng: Rng) -> Iterator[Sample]:
    group = row["dataset"].split(" (")[0]
    alike = [r for r in rows if r["dataset"].split(" (")[0] == group]
    share = len(alike) ** 0.6
    total = sum(
        len([r for r in rows if r["dataset"].split(" (")[0] == g]) ** 0.6
        for g in {r["dataset"].split(" (")[0] for r in rows}
    )
    n = max(2, round(HE_CROPS * share / total / len(alike)))
    whole = _read(root / row["path"])
    small = shrink(whole, LARGEST_PX) if max(whole.shape[:2]) > LARGEST_PX else whole
    for k in range(n):
        source = whole if k % 2 else small
        piece = small if k == 0 and rng.random() < 0.5 else cut(rng, source, 0.15 if source is small else 0.05)
        piece = shrink(piece, int(rng.integers(160, 480)))
        if tissue_mask(piece).mean() < 0.2:
            continue
        if rng.random() < 0.12:
            piece = section(rng, piece)
        yield Sample(describe(wear(rng, camera(rng, piece))), "he", group, "real")
        for kind, recolour, often in RECOLOURED:
            if rng.random() < 0.42 * often:
                other = wear(rng, camera(rng, recolour(rng, piece), 0.6))
                yield Sample(describe(other), kind, group, "recoloured")


def _negative_group(row: dict[str, str]) -> str:
    return row["source"].split("@")[0].strip() + ":" + row["kind"]


def _from_negative(root: Path, row: dict[str, str], rows: list[dict[str, str]], rng: Rng) -> Iterator[Sample]:
    kind = KIND_OF_NEGATIVE.get(row["kind"])
    if kind is None:
        return
    alike = sum(r["kind"] == row["kind"] for r in rows)
    share = REAL_NEGATIVES / len(KIND_OF_NEGATIVE)
    pixels = _read(root / row["path"])
    light = kind in ("ihc", "other_stain", "cytology")
    weight = WEIGHT_OF_NEGATIVE.get(row["kind"], 1.0)
    for _ in range(int(np.clip(round(share / alike), 2, 12))):
        piece = cut(rng, pixels, 0.3 if light else 0.6)
        piece = wear(rng, camera(rng, piece, 0.6) if light else piece)
        yield Sample(describe(piece), kind, _negative_group(row), "real", weight)


def _from_figures(root: Path, rows: list[dict[str, str]], rng: Rng) -> Iterator[Sample]:
    paths = {Path(row["path"]).stem: row["path"] for row in rows if row["kind"].startswith("figure")}
    for name, box, kind in SORTED_FIGURES:
        if name not in paths:
            continue
        pixels = _read(root / paths[name])
        if box is not None:
            pixels = np.ascontiguousarray(pixels[box[1] : box[3], box[0] : box[2]])
        for _ in range(4):
            yield Sample(describe(wear(rng, cut(rng, pixels, 0.7))), kind, name, "real")


def _drawn(at: int, rng: Rng) -> Iterator[Sample]:
    kind, draw, share = DRAWN[at]
    for _ in range(DRAWN_EACH * share):
        yield Sample(describe(wear(rng, draw(rng))), kind, f"drawn {draw.__name__}", "drawn")


@dataclass(frozen=True, slots=True)
class Table:
    """Samples as arrays: x (N, F) float32, y (N,) int, groups (N,), weights (N,), origins (N,)."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    groups: NDArray[np.str_]
    weights: NDArray[np.float64]
    origins: NDArray[np.str_]

    @classmethod
    def of(cls, samples: list[Sample]) -> Table:
        return cls(
            np.stack([s.features for s in samples]),
            np.array([PANEL_KINDS.index(s.kind) for s in samples]),
            np.array([s.group for s in samples]),
            np.array([s.weight for s in samples]),
            np.array([s.origin for s in samples]),
        )


def fit(x: NDArray[np.float32], y: NDArray[np.int64], weights: NDArray[np.float64], seed: int) -> PanelModel:
    """Fit the nets on (N, F) features; the card stays empty and the temperature 1."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    counts = np.bincount(y, minlength=len(PANEL_KINDS)).astype(np.float64)
    balanced = weights * (counts.mean() / np.maximum(counts, 1))[y] ** 0.5
    centre, spread = np.median(x, axis=0), np.maximum(x.std(axis=0), 1e-3)
    scaled = np.clip((x - centre) / spread, -CLIP, CLIP)
    hidden, outer = [], []
    for k in range(N_NETS):
        net = MLPClassifier((N_HIDDEN,), alpha=1.0, learning_rate_init=2e-3, max_iter=30, random_state=seed + k)
        # the nets take no weights of their own: samples are drawn by weight
        drawn = np.random.default_rng([seed, k]).choice(len(y), 2 * len(y), p=balanced / balanced.sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 30 rounds are the recipe, not a limit met by accident
            net.fit(scaled[drawn], y[drawn])
        last = np.zeros((N_HIDDEN + 1, len(PANEL_KINDS)))
        last[-1] = -30.0  # a kind without samples
        last[:, net.classes_] = np.vstack([net.coefs_[1], net.intercepts_[1]])
        hidden.append(np.vstack([net.coefs_[0], net.intercepts_[0]]))
        outer.append(last)
    return PanelModel(
        centre=centre.astype(np.float32),
        spread=spread.astype(np.float32),
        hidden=np.stack(hidden).astype(np.float32),
        outer=np.stack(outer).astype(np.float32),
        temperature=1.0,
        he_slope=1.0,
        he_offset=0.0,
        card={},
    )


def folds(table: Table, seed: int) -> NDArray[np.int64]:
    """Return (N,) the fold of each sample: groups whole, kinds spread as evenly as that allows."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    out = np.zeros(len(table.y), dtype=np.int64)
    for fold, (_, held) in enumerate(splitter.split(table.x, table.y, table.groups)):
        out[held] = fold
    return out


def held_out(table: Table, seed: int) -> NDArray[np.float64]:
    """Return the probabilities (N, 12), every sample judged by a model that saw nothing of its group."""
    out = np.zeros((len(table.y), len(PANEL_KINDS)))
    fold_of = folds(table, seed)
    for fold in range(N_FOLDS):
        seen, held = fold_of != fold, fold_of == fold
        out[held] = fit(table.x[seen], table.y[seen], table.weights[seen], seed).probabilities(table.x[held])
        print(f"fold {fold + 1} of {N_FOLDS} judged", file=sys.stderr)  # noqa: T201
    return out


def best_temperature(mean: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Return the temperature of the least log loss of the true kind."""
    choices = np.exp(np.linspace(np.log(0.3), np.log(3.0), 60))
    losses = [-np.log(np.maximum(sharpen(mean, t)[np.arange(len(y)), y], 1e-5)).mean() for t in choices]
    return float(choices[int(np.argmin(losses))])


def best_line(log_odds: NDArray[np.float64], is_he: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset of the logistic regression of being H&E on the log odds said."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6).fit(log_odds[:, None], is_he)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def measure(table: Table, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Return the numbers of the report: confusion, H&E recall and false alarms by set and by origin."""
    guess = likeliest(probabilities)
    confusion = np.zeros((len(PANEL_KINDS), len(PANEL_KINDS)), dtype=int)
    np.add.at(confusion, (table.y, guess), 1)
    is_he, said_he = table.y == HE, guess == HE
    out: dict[str, Any] = {
        "n": len(table.y),
        "accuracy": round(float((guess == table.y).mean()), 4),
        "he_recall": round(float(said_he[is_he].mean()), 4),
        "he_precision": round(float(is_he[said_he].mean()), 4),
        "confusion": confusion.tolist(),
        "he_recall_by_set": {},
        "false_he_by_set": {},
    }
    for group in sorted(set(table.groups[is_he])):
        at = is_he & (table.groups == group)
        out["he_recall_by_set"][str(group)] = [round(float(said_he[at].mean()), 3), int(at.sum())]
    for origin in ("real", "recoloured", "drawn"):
        for k, kind in enumerate(PANEL_KINDS):
            at = (table.y == k) & (table.origins == origin)
            if k != HE and at.any():
                out["false_he_by_set"][f"{kind}, {origin}"] = [round(float(said_he[at].mean()), 3), int(at.sum())]
    edges = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0001])
    score = probabilities[:, HE]
    out["calibration"] = [
        [float(lo), float(min(hi, 1.0)), round(float(is_he[at].mean()), 3), int(at.sum())]
        for lo, hi in pairwise(edges)
        if (at := (score >= lo) & (score < hi)).any()
    ]
    return out


def main(arguments: list[str] | None = None) -> int:
    """Train, measure, write the file; return 0, or 2 with a sentence when it can't start."""
    parser = argparse.ArgumentParser(prog="python -m harvester.stain.train", description=__doc__.splitlines()[0])
    parser.add_argument("histology", type=Path, help="Folder with catalog.csv.")
    parser.add_argument("--out", type=Path, required=True, help="The .npz to write.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="Where to write what was measured, as JSON.")
    parser.add_argument("--samples", type=Path, help="Keep the measured samples here and use them again.")
    options = parser.parse_args(arguments)
    try:
        import sklearn
    except ImportError:
        print("Training needs scikit-learn: pip install scikit-learn.", file=sys.stderr)  # noqa: T201
        return 2
    if not (options.histology / "catalog.csv").is_file():
        print(f"{options.histology} holds no catalog.csv.", file=sys.stderr)  # noqa: T201
        return 2
    table = _table(options.histology, options.seed, options.samples)
    probabilities = held_out(table, options.seed)
    temperature = best_temperature(probabilities, table.y)
    probabilities = sharpen(probabilities, temperature)
    he_slope, he_offset = best_line(he_log_odds(probabilities), table.y == HE)
    numbers = measure(table, calibrate(probabilities, he_slope, he_offset))
    card = {
        "name": "panel-kind",
        "what": f"Kind of a figure panel from {N_FEATURES} measured features: the mean of {N_NETS} small nets.",
        "data": sorted(set(table.groups[table.y == HE].tolist())),
        "negatives": "catalogued negatives by kind, real H&E recoloured in stain space, drawn imitations",
        "licences": "H&E: TCGA open access, CC0, CC BY, Apache-2.0; negatives: as named per row of the catalogue. "
        "No image is contained. The weights are the project's own and under its licence.",
        "seed": options.seed,
        "scikit_learn": sklearn.__version__,
        "held_out": {k: numbers[k] for k in ("n", "accuracy", "he_recall", "he_precision")},
    }
    model = fit(table.x, table.y, table.weights, options.seed)
    shipped = replace(model, temperature=temperature, he_slope=he_slope, he_offset=he_offset, card=card)
    options.out.write_bytes(shipped.to_bytes())
    if options.report is not None:
        options.report.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: numbers[k] for k in ("n", "accuracy", "he_recall", "he_precision")}))  # noqa: T201
    return 0


def _table(root: Path, seed: int, cache: Path | None) -> Table:
    if cache is not None and cache.exists():
        with np.load(cache) as file:
            return Table(**{name: file[name] for name in file.files})
    table = Table.of(gather(root, seed))
    if cache is not None:
        np.savez_compressed(
            cache, x=table.x, y=table.y, groups=table.groups, weights=table.weights, origins=table.origins
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
