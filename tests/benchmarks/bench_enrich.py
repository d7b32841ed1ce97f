"""Does a predicted pixel size enrich a training set? Three accuracies: predicted, true and unknown pixel size.

    python -m tests.benchmarks.bench_enrich ../shared/histology [--model default | --siblings FOLDER] [--draws 10]

The task: tell breast, kidney and lung apart at 1 µm per pixel, on fields of 96 µm. These three organs, because
each lies in MoNuSeg, in MoNuSAC and in at least one more data set, so that a data set does not give the label away.
Features: texture of the haematoxylin and eosin images after each field's own stain strength was divided out, so that
colour does not give the laboratory away; logistic regression, every patient weighing the same.

Patients are on one of three sides. Pool: those the magnification model was not trained on, by the split its card names.
With `--siblings` each slide of the pool is asked of weights that never saw its whole data set (FOLDER/*/*.safetensors,
models made like the shipped one whose card names the data sets in `recipe.left_out`), not for training and not for
calibration; a patient who is in a data set that those weights did see is left out of the pool.
Each gives fields whose pixel size is hidden: shrunken to a size drawn between the native one and 1 µm per pixel, passed
through JPEG as figures are. Of the others two an organ are drawn for the small training set, the rest are tested on;
drawn again 10 times. The pool joins the training set four ways: not at all; with its true pixel size (brought to 1 µm);
with the predicted one (brought to 1 µm as `export --at 1.0 --tolerance 15%` does: what is predicted coarser, or
abstained from, is left out); unknown (as it is). Intervals: 95 %, bootstrap over the test patients, paired for
differences.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from hagnifinder.data.augment import recompress
from hagnifinder.data.loader import shrink
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import SALT, Split, split_of
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor
from hagnifinder.preprocess import RgbImage, tissue_share
from harvester.stain.deconvolve import separate_stains

ORGANS = ("breast", "kidney", "lung")
TARGET_UM = 1.0
TOLERANCE = 1.15
SIDE_PX = 96
FINEST_UM, COARSEST_UM = 0.2, 1.0
FIELDS_EACH = 2
MAX_WINDOWS = 4
N_BASE = 2
RIDGE = 0.03
WAYS = ("without the pool", "true", "predicted", "unknown")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its windows' features under each way to know its pixel size, where that way takes it."""

    patient: str
    dataset: str
    label: int
    windows: dict[str, np.ndarray]


def organ_of(path: Path, table: dict[str, str]) -> int | None:
    words = table[path.name].lower()
    if "frozen" in words or "mouse" in words:
        return None
    found = [i for i, organ in enumerate(ORGANS) if words.startswith(organ)]
    return found[0] if found else None


def bring(pixels: RgbImage, mpp_um: float) -> RgbImage | None:
    """Shrink to 1 µm per pixel; None when it is coarser than the tolerance allows, or too little is left."""
    if mpp_um > TARGET_UM * TOLERANCE:
        return None
    ratio = max(1.0, TARGET_UM / mpp_um)
    height, width = round(pixels.shape[0] / ratio), round(pixels.shape[1] / ratio)
    if min(height, width) < SIDE_PX:
        return None
    return pixels if ratio == 1.0 else shrink(pixels, width, height, "area")


def features(pixels: RgbImage) -> np.ndarray | None:
    """(n_windows, n_features) float64 of at most four windows of 96 px; None without tissue."""
    stains = np.asarray(separate_stains(pixels), np.float64)[..., :2]
    strength = np.maximum(np.percentile(stains, 95, axis=(0, 1)), 0.05)
    stains = stains / strength
    height, width = pixels.shape[:2]
    corners = [(y, x) for y in {0, height - SIDE_PX} for x in {0, width - SIDE_PX}]
    rows = []
    for y, x in sorted(corners)[:MAX_WINDOWS]:
        if tissue_share(np.ascontiguousarray(pixels[y : y + SIDE_PX, x : x + SIDE_PX])) >= 0.15:
            rows.append(np.concatenate([_texture(stains[y : y + SIDE_PX, x : x + SIDE_PX, i]) for i in range(2)]))
    return np.array(rows) if rows else None


def _texture(channel: np.ndarray) -> np.ndarray:
    """Percentiles, and spread and skewness of five band-pass images, each coarser by two."""
    numbers = list(np.percentile(channel, (10, 50, 90)))
    layer = channel.astype(np.float32)
    for _ in range(5):
        smaller = cv2.pyrDown(layer)
        band = layer - cv2.pyrUp(smaller, dstsize=layer.shape[::-1])
        spread = float(band.std()) + 1e-6
        numbers += [float(np.log(spread)), float((band**3).mean() / spread**3)]
        layer = smaller
    return np.array(numbers)


def hidden_field(source: RgbImage, native_um: float, name: str) -> tuple[RgbImage, float]:
    """Shrink a source to a drawn pixel size and through JPEG; the same for every model."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    low, high = max(native_um, FINEST_UM), COARSEST_UM
    ratio = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / native_um
    ratio = max(1.0, min(ratio, min(source.shape[:2]) / SIDE_PX))
    side = [round(n / ratio) for n in source.shape[:2]]
    small = source if ratio == 1.0 else shrink(source, side[1], side[0], "area")
    return recompress(small, int(rng.integers(60, 96)), 0, 0), native_um * source.shape[1] / small.shape[1]


class Siblings:
    """Weights trained with some data sets left out, each asked of those only."""

    def __init__(self, folder: Path, images: Sequence[SlideImage]) -> None:
        self._all = [Predictor.load(str(path), "cpu") for path in sorted(folder.glob("*/*.safetensors"))]
        self._datasets_of: dict[str, set[str]] = {}
        for image in images:
            self._datasets_of.setdefault(image.group, set()).add(image.dataset)
        self.asked: Counter[str] = Counter()

    def of(self, image: SlideImage) -> Predictor | None:
        """Return weights that saw no data set this patient is in; None when all did."""
        for predictor in self._all:
            if self._datasets_of[image.group] <= set(predictor.card["recipe"]["left_out"]):
                self.asked[predictor.model_id] += 1
                return predictor
        return None


def load(
    folder: Path, predictor_of: Callable[[SlideImage], Predictor | None], salt: str
) -> tuple[list[Field], list[Field], list[tuple[float, float | None]]]:
    """Return fields of the pool, fields of the other patients, and (true, predicted) pixel sizes of the pool."""
    import csv

    with (folder / "catalog.csv").open(newline="", encoding="utf-8") as lines:
        table = {Path(row["path"]).name: row["organ"] for row in csv.DictReader(lines)}
    pool: list[Field] = []
    others: list[Field] = []
    sizes: list[tuple[float, float | None]] = []
    taken: Counter[str] = Counter()
    for image in read_catalog(folder):
        label = organ_of(image.path, table)
        usable = image.scale_quality != "C" and FINEST_UM <= image.mpp_um <= COARSEST_UM
        if label is None or not usable or taken[image.group] >= FIELDS_EACH:
            continue
        source = read_rgb(image.path)
        if min(source.shape[:2]) * image.mpp_um < SIDE_PX * TARGET_UM:
            continue
        taken[image.group] += 1
        if split_of(image.group, salt) is Split.TRAIN:
            brought = bring(source, image.mpp_um)
            found = None if brought is None else features(brought)
            if found is not None:
                others.append(Field(image.group, image.dataset, label, {"true": found}))
        elif (predictor := predictor_of(image)) is not None:
            pool.append(_pool_field(image, source, label, predictor, sizes))
    return pool, others, sizes


def _pool_field(
    image: SlideImage, source: RgbImage, label: int, predictor: Predictor, sizes: list[tuple[float, float | None]]
) -> Field:
    pixels, true_um = hidden_field(source, image.mpp_um, f"{image.dataset}/{image.path.name}")
    estimate = predictor.predict(pixels)
    predicted_um = None if estimate.abstained else estimate.mpp_um
    sizes.append((true_um, predicted_um))
    brought = {
        "true": bring(pixels, true_um),
        "predicted": None if predicted_um is None else bring(pixels, predicted_um),
        "unknown": pixels,
    }
    windows = {way: found for way, p in brought.items() if p is not None and (found := features(p)) is not None}
    return Field(image.group, image.dataset, label, windows)


def fit(fields: Sequence[tuple[Field, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Multinomial logistic regression with a ridge, by L-BFGS; each organ weighs the same, and each patient in it."""
    x = np.concatenate([windows for _, windows in fields])
    y = np.concatenate([[field.label] * len(windows) for field, windows in fields])
    patients = np.concatenate([[field.patient] * len(windows) for field, windows in fields])
    mean, spread = x.mean(0), x.std(0) + 1e-6
    weight = np.zeros(len(y))
    for label in range(len(ORGANS)):
        names = set(patients[y == label])
        for name in names:
            own = (patients == name) & (y == label)
            weight[own] = 1.0 / (own.sum() * len(names) * len(ORGANS))
    inputs = torch.tensor((x - mean) / spread)
    targets, weights = torch.tensor(y), torch.tensor(weight)
    w = torch.zeros((x.shape[1] + 1, len(ORGANS)), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ w[:-1] + w[-1]
        loss = (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights).sum()
        loss = loss + RIDGE * (w[:-1] ** 2).sum() / 2
        loss.backward()
        return loss

    optimiser.step(closure)
    return mean, spread, w.detach().numpy()


def is_right(model: tuple[np.ndarray, np.ndarray, np.ndarray], field: Field) -> bool:
    mean, spread, w = model
    logits = (field.windows["true"] - mean) / spread @ w[:-1] + w[-1]
    return int(logits.mean(0).argmax()) == field.label


def measure(pool: Sequence[Field], others: Sequence[Field], n_draws: int) -> tuple[list[str], np.ndarray]:
    """Return the test patients and their accuracy, (n_patients, n_ways), over the draws in which they are tested."""
    by_label = [sorted({f.patient for f in others if f.label == i}) for i in range(len(ORGANS))]
    names = sorted({f.patient for f in others})
    hits, tried = np.zeros((len(names), len(WAYS))), np.zeros(len(names))
    rng = np.random.default_rng(1)
    for _ in range(n_draws):
        base = {str(p) for own in by_label for p in rng.choice(own, N_BASE, replace=False)}
        small = [(f, f.windows["true"]) for f in others if f.patient in base]
        for i, way in enumerate(WAYS):
            model = fit(small + [(f, f.windows[way]) for f in pool if way in f.windows])
            for k, name in enumerate(names):
                own = [f for f in others if f.patient == name and name not in base]
                if own:
                    hits[k, i] += sum(is_right(model, f) for f in own) / len(own)
                    tried[k] += i == 0
    return names, hits / np.maximum(tried, 1)[:, None]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("histology", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--siblings", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    started = time.perf_counter()
    if options.siblings:
        siblings = Siblings(options.siblings, read_catalog(options.histology))
        pool, others, sizes = load(options.histology, siblings.of, SALT)
        asked = ", ".join(f"{name} ({n} fields)" for name, n in sorted(siblings.asked.items()))
    else:
        predictor = Predictor.load(options.model, "cpu")
        salt = str(predictor.card.get("split_salt", SALT))
        pool, others, sizes = load(options.histology, lambda image: predictor, salt)
        asked = predictor.model_id
    label_of = {f.patient: f.label for f in others}
    names, accuracy = measure(pool, others, options.draws)

    print(f"model {asked}; {time.strftime('%Y-%m-%d', time.gmtime())}")
    for title, fields in (("pool", pool), ("small set and test", others)):
        counts = Counter((ORGANS[f.label], f.dataset) for f in fields)
        print(f"{title}: {len({f.patient for f in fields})} patients, {len(fields)} fields; ", end="")
        print(", ".join(f"{organ} {name} {n}" for (organ, name), n in sorted(counts.items())))
    known = [abs(np.log2(p / t)) for t, p in sizes if p]
    print(f"hidden pixel size predicted for {len(known)} of {len(sizes)} fields; half within a factor of ", end="")
    print(f"{2 ** np.median(known):.2f} of the truth" if known else "(none)")
    rng = np.random.default_rng(2)
    # organs weigh the same, patients the same within one
    groups = [np.array([k for k, name in enumerate(names) if label_of[name] == i]) for i in range(len(ORGANS))]

    def balanced(picked: Sequence[np.ndarray]) -> np.ndarray:
        return np.mean([accuracy[own].mean(0) for own in picked], axis=0)

    whole = balanced(groups)
    draws = np.array([balanced([rng.choice(own, len(own)) for own in groups]) for _ in range(4000)])
    print("\n| pixel size of the pool | fields added | accuracy | 95 % interval |\n|---|---|---|---|")
    for i, way in enumerate(WAYS):
        low, high = np.percentile(draws[:, i], (2.5, 97.5))
        print(f"| {way} | {sum(way in f.windows for f in pool)} | {whole[i]:.3f} | {low:.3f} to {high:.3f} |")
    print("\n| difference | accuracy | 95 % interval |\n|---|---|---|")
    for a, b in ((1, 0), (2, 0), (3, 0), (1, 2), (2, 3), (1, 3)):
        low, high = np.percentile(draws[:, a] - draws[:, b], (2.5, 97.5))
        print(f"| {WAYS[a]} - {WAYS[b]} | {whole[a] - whole[b]:+.3f} | {low:+.3f} to {high:+.3f} |")
    print(f"\n{len(names)} test patients, {options.draws} draws, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
