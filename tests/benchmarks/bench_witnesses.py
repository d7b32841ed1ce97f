"""Measures the witnesses of scale: the nuclei, and how many wrong scale bars the conflict rule catches.

    python -m tests.benchmarks.bench_witnesses [--fit] [--model NAME|FILE] [--folds runs/small/fold-*/small.safetensors]

Fields of known pixel size are read from ../shared/histology, made coarser by area averaging and saved as JPEG, as
publishing does. Patients are apart: everything is fitted on the sides "train" and "calibration" of the split by patient
(the image only on "calibration") and reported on "test". A model that was trained on every patient can't be asked
itself: --folds names its siblings, each of which answers for the data sets it was trained without, with the model's
calibration. With --fit the fitted numbers are written to harvester/scale/error_models.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import Split, split_of
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor
from hagnifinder.training.density import SUSPECT_DATASETS
from harvester.magnification import measure_nuclei
from harvester.records import Witnesses
from harvester.scale import reconcile as rule
from harvester.scale.bars import find_scale_bars
from harvester.scale.lettering import TextReader
from harvester.scale.reconcile import ErrorModels, log_evidence, reconcile, reconcile_article, shipped_models
from tests.harvester.scale.drawn_bars import STYLES, as_panel, with_bar

FACTORS = (1.0, 1.9, 3.6)
SIDE_PX = 800
PICTURES_A_GROUP = 2
STOPPED_RIGHT = 0.02
"""Share of right bars that the rule may stop on the side it is tuned on."""
NUCLEI_UP_TO_UM = 1.0


@dataclass(frozen=True, slots=True)
class Field:
    """A picture as a journal might print it, with what the image and its nuclei say."""

    image: SlideImage
    side: Split
    mpp_um: float
    said: Witnesses


def predictors_of(model: str, folds: list[Path]) -> dict[str, Predictor]:
    """Who answers for each data set; "" for those that no fold names."""
    whole = Predictor.load(model, "cpu")
    found = {"": whole}
    for path in folds:
        loaded = load_weights(path)
        settings = {key: whole.card[key] for key in ("calibration", "scales", "sharpness")}
        sibling = Predictor(loaded.network, {**loaded.card, **settings}, loaded.weights_sha256, whole.device)
        found |= dict.fromkeys(loaded.card["recipe"]["left_out"], sibling)
    return found


def fields(folder: Path, predictors: dict[str, Predictor]) -> Iterator[Field]:
    """Yield fields of every patient at several pixel sizes; data sets whose own scale is in doubt are left out."""
    seen: Counter[str] = Counter()
    for image in read_catalog(folder):
        if image.scale_quality == "C" or image.dataset in SUSPECT_DATASETS or seen[image.group] >= PICTURES_A_GROUP:
            continue
        seen[image.group] += 1
        rgb = read_rgb(image.path)
        for factor in FACTORS:
            mpp_um = image.mpp_um * factor
            picture = _published(rgb, factor)
            if picture is None or mpp_um > 6.0:
                break
            side = split_of(image.group)
            found = measure_nuclei(picture)
            said = Witnesses(f"{image.path.name}@{mpp_um:.3g}")
            if found is not None:
                said = replace(said, nucleus_px=found.diameter_px, n_nuclei=found.count)
            if side is not Split.TRAIN or image.dataset in predictors:
                said = _with_image(said, predictors.get(image.dataset, predictors[""]), picture)
            yield Field(image, side, mpp_um, said)


def _published(rgb: np.ndarray, factor: float) -> np.ndarray | None:
    side = round(SIDE_PX * factor)
    top, left = max(0, rgb.shape[0] - side) // 2, max(0, rgb.shape[1] - side) // 2
    part = rgb[top : top + side, left : left + side]
    size = (round(part.shape[1] / factor), round(part.shape[0] / factor))
    if min(size) < 180:
        return None
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if factor > 1 else part
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def _with_image(said: Witnesses, predictor: Predictor, picture: np.ndarray) -> Witnesses:
    answer = predictor.predict(picture)
    if answer.mpp_um is None or answer.mpp_lo_um is None or answer.mpp_hi_um is None:
        return said
    lo99 = getattr(answer, "mpp_lo99_um", None)
    hi99 = getattr(answer, "mpp_hi99_um", None)
    if lo99 is None or hi99 is None:
        # as the catalog widens it
        middle, half = math.sqrt(answer.mpp_lo_um * answer.mpp_hi_um), math.sqrt(answer.mpp_hi_um / answer.mpp_lo_um)
        lo99, hi99 = middle / half ** (2.576 / 1.645), middle * half ** (2.576 / 1.645)
    return replace(
        said,
        image_mpp_um=answer.mpp_um,
        image_lo90_um=answer.mpp_lo_um,
        image_hi90_um=answer.mpp_hi_um,
        image_lo99_um=lo99,
        image_hi99_um=hi99,
        image_abstained=answer.abstained,
    )


def nucleus_um(field: Field) -> float | None:
    return field.said.nucleus_px * field.mpp_um if field.said.nucleus_px else None


def fit(found: list[Field]) -> ErrorModels:
    """Fit the nuclei on every patient but the test ones, the stopping rule on the calibration patients."""
    by_group: dict[str, list[float]] = defaultdict(list)
    for field in found:
        size = nucleus_um(field)
        if field.side is not Split.TEST and size and field.mpp_um <= NUCLEI_UP_TO_UM:
            by_group[field.image.group].append(math.log2(size))
    values = np.concatenate([np.asarray(v) for v in by_group.values()])
    weights = np.concatenate([np.full(len(v), 1.0 / len(v)) for v in by_group.values()])
    order = np.argsort(values)
    centre = float(values[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])
    away = np.abs(values - centre)
    order = np.argsort(away)
    spread = float(away[order][np.searchsorted(np.cumsum(weights[order]), 0.6827 * weights.sum())])
    outlier = float(weights[away > 3 * spread].sum() / weights.sum())
    models = replace(
        shipped_models(),
        nucleus_log2_um=round(centre, 3),
        nucleus_sd=round(spread, 3),
        nucleus_outlier=round(max(0.01, outlier), 3),
        nucleus_coarsest_um=NUCLEI_UP_TO_UM,
    )
    tune = [f for f in found if f.side is Split.CALIBRATION]
    evidence = sorted(log_evidence(f.said, f.mpp_um, models) for f in tune)
    stop = evidence[int(STOPPED_RIGHT * len(evidence))] - 1e-3
    limit = [abs(v) for v in _article_errors((f for f in found if f.side is not Split.TEST), models)]
    return replace(
        models,
        stop_below=round(min(stop, 0.0), 3),
        article_limit_sd=round(float(np.quantile(limit, 1.0 - STOPPED_RIGHT)), 3) if limit else models.article_limit_sd,
    )


def _article_errors(found: Iterable[Field], models: ErrorModels) -> Iterator[float]:
    """How far right bars on a patient's fields lie from their images and nuclei in the mean, in their spreads."""
    by_group: dict[str, list[Witnesses]] = defaultdict(list)
    for field in found:
        by_group[field.image.group].append(replace(field.said, bar_mpp_um=field.mpp_um))
    distances = (rule.mean_distance(items, models) for items in by_group.values())
    yield from (distance[0] for distance in distances if distance is not None)


def wrong_bars(mpp_um: float, rng: np.random.Generator) -> dict[str, float]:
    """The pixel sizes by bars that are wrong on purpose."""
    away = rng.uniform(math.log2(1.5), math.log2(20.0)) * rng.choice([-1, 1])
    return {
        "50 read as 500": mpp_um * 10.0,
        "500 read as 50": mpp_um / 10.0,
        "doubled": mpp_um * 2.0,
        "halved": mpp_um / 2.0,
        "an axis taken for a bar (1.5 to 20 times off)": mpp_um * 2.0**away,
    }


def _verdict(field: Field, bar_um: float, models: ErrorModels, who: str) -> bool:
    said = replace(field.said, bar_mpp_um=bar_um, bar_score=0.95)
    if who == "nuclei":
        said = replace(said, image_abstained=True)
    elif who == "image":
        said = replace(said, nucleus_px=None)
    elif who == "99 % interval alone":
        return rule._outside_99(said, bar_um)
    return reconcile(said, models).agreement == "conflict"


def report_bars(found: list[Field], models: ErrorModels) -> None:
    rng = np.random.default_rng(20261123)
    test = [f for f in found if f.side is Split.TEST]
    whos = ("all witnesses", "nuclei", "image", "99 % interval alone")
    right: dict[str, list[bool]] = {who: [] for who in whos}
    caught: dict[str, dict[str, list[bool]]] = {who: defaultdict(list) for who in whos}
    for field in test:
        drawn = field.mpp_um * 2.0 ** rng.normal(0.0, models.bar_sd)
        bars = wrong_bars(field.mpp_um, rng)
        for who in whos:
            right[who].append(_verdict(field, drawn, models, who))
            for name, bar_um in bars.items():
                caught[who][name].append(_verdict(field, bar_um, models, who))
    groups = len({f.image.group for f in test})
    print(f"\n{len(test)} fields of {groups} test patients; share of bars called a conflict\n")
    print("| bar | " + " | ".join(whos) + " |\n|---|" + "---|" * len(whos))
    print("| right | " + " | ".join(f"{np.mean(right[who]):.3f}" for who in whos) + " |")
    for name in caught[whos[0]]:
        print(f"| {name} | " + " | ".join(f"{np.mean(caught[who][name]):.3f}" for who in whos) + " |")
    _report_articles(test, models)
    print("\nby pixel size, all witnesses:\n\n| µm/px | fields | right stopped | doubled caught | halved caught |")
    print("|---|---|---|---|---|")
    for low, high in ((0.2, 0.35), (0.35, 0.7), (0.7, 1.4), (1.4, 6.1)):
        k = [i for i, f in enumerate(test) if low <= f.mpp_um < high]
        if k:
            a = caught["all witnesses"]
            cells = (right["all witnesses"], a["doubled"], a["halved"])
            print(
                f"| {low}-{high} | {len(k)} | " + " | ".join(f"{np.mean([c[i] for i in k]):.3f}" for c in cells) + " |"
            )


def _report_articles(test: list[Field], models: ErrorModels) -> None:
    """Bars of one patient's fields judged together, as those of one article are: all right, or all wrong alike."""
    by_group: dict[str, list[Field]] = defaultdict(list)
    for field in test:
        by_group[field.image.group].append(field)
    print("\nall bars of a patient judged together, as those of an article:\n\n| bars | called conflicts |\n|---|---|")
    for name, factor in (("right", 1.0), ("doubled", 2.0), ("halved", 0.5), ("50 read as 500", 10.0)):
        stopped, n = 0, 0
        for group in by_group.values():
            said = [replace(f.said, bar_mpp_um=f.mpp_um * factor, bar_score=0.95) for f in group]
            stopped += sum(v.agreement == "conflict" for v in reconcile_article(said, models))
            n += len(said)
        print(f"| {name} | {stopped / n:.3f} |")


def report_image(folder: Path, predictors: dict[str, Predictor]) -> None:
    """Print how far the image lies from bars that are drawn over fields of test patients, printed and read again."""
    reader = TextReader()
    errors: list[float] = []
    inside, n, read, abstained = 0, 0, 0, 0
    seen: Counter[str] = Counter()
    for image in read_catalog(folder):
        left_out = image.scale_quality == "C" or image.dataset in SUSPECT_DATASETS or seen[image.group] >= 2
        if left_out or split_of(image.group) is not Split.TEST:
            continue
        seen[image.group] += 1
        rgb = read_rgb(image.path)
        for factor in FACTORS:
            small = _published(rgb, factor)
            if small is None or image.mpp_um * factor > 6.0:
                break
            rng = np.random.default_rng([n, 20261124])
            style = str(rng.choice([s for s in STYLES if s not in ("unlabelled", "shrunk")]))
            panel, figure = as_panel(with_bar(rng, small, image.mpp_um * factor, style))
            n += 1
            bars = find_scale_bars(panel, figure, [], reader)
            if not bars or not bars[0].mpp_um:
                continue
            read += 1
            answer = predictors.get(image.dataset, predictors[""]).predict(panel.pixels)
            if answer.abstained or not answer.mpp_um or not answer.mpp_lo_um or not answer.mpp_hi_um:
                abstained += 1
                continue
            errors.append(math.log2(answer.mpp_um / bars[0].mpp_um))
            inside += answer.mpp_lo_um <= bars[0].mpp_um <= answer.mpp_hi_um
    print(f"\nimage against bars drawn over {n} fields of {len(seen)} test patients, printed, and read again: ", end="")
    print(f"{read} bars read, the image abstains from {abstained}; median error {np.median(np.abs(errors)):.3f} log2, ")
    print(f"bias {np.median(errors):+.3f}, 90th percentile {np.quantile(np.abs(errors), 0.9):.3f}; ", end="")
    print(f"the 90 % interval holds {inside / len(errors):.3f} of {len(errors)}")


def report_nuclei(found: list[Field], seconds: float) -> None:
    print("\n| µm/px | set | fields | patients | measured | median µm | spread log2 | worst log2 |\n|" + "---|" * 8)
    names = sorted({f.image.dataset for f in found})
    for low, high in ((0.2, 0.35), (0.35, 0.7), (0.7, 1.0), (1.0, 1.4), (1.4, 6.1)):
        for name in ["all", *names]:
            here = [f for f in found if low <= f.mpp_um < high and name in ("all", f.image.dataset)]
            sizes = np.log2([s for f in here if (s := nucleus_um(f))])
            if len(here) < 4 or (name != "all" and high > 1.0):
                continue
            patients = len({f.image.group for f in here})
            cells = "| - | - | - |"
            if len(sizes):
                middle = float(np.median(sizes))
                spread, worst = float(np.std(sizes)), float(np.abs(sizes - middle).max())
                cells = f"| {2**middle:.1f} | {spread:.2f} | {worst:.2f} |"
            print(f"| {low}-{high} | {name} | {len(here)} | {patients} | {len(sizes)} {cells}")
    print(f"\n{seconds * 1000:.0f} ms a picture for the nuclei")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--model", default="default")
    parser.add_argument("--folds", type=Path, nargs="*", default=[])
    parser.add_argument("--histology", type=Path, default=Path("../shared/histology"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    predictors = predictors_of(options.model, options.folds)
    found = list(fields(options.histology, predictors))
    picture = _published(read_rgb(found[0].image.path), 1.0)
    assert picture is not None
    start = time.process_time()
    for _ in range(5):
        measure_nuclei(picture)
    report_nuclei(found, (time.process_time() - start) / 5)
    models = fit(found)
    print("\nfitted on train and calibration patients: " + json.dumps(asdict(models)))
    report_bars(found, models)
    report_image(options.histology, predictors)
    if options.fit:
        path = Path(rule.__file__).parent / "error_models.json"
        path.write_text(json.dumps(asdict(models), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
