"""How a model does on data sets it never saw, and what interval follows from that.

Several networks of one recipe are trained, each without some data sets; together they answer for every data set as
strangers. Interval, sharpness and the shrunken copies of the network trained on everything are fitted to these
answers: it is meant for figures of laboratories nobody trained on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hagnifinder.checkpoint import load_weights, save_weights
from hagnifinder.data.slides import SlideImage
from hagnifinder.density import BINS, GRID, pool
from hagnifinder.errors import DataError
from hagnifinder.evaluation.metrics import Row, Scored, summarise, table, weighted_quantile
from hagnifinder.evaluation.pictures import Picture, pictures_of
from hagnifinder.evaluation.protocol import COARSEST_UM, FINEST_UM
from hagnifinder.predict import Calibration, Predictor, RawAnswer, Reason, is_saturated

HALF = 0.5
SCALES = (1.0, 0.71, HALF)
SCALE_CHOICES: tuple[tuple[float, ...], ...] = ((1.0,), (1.0, 0.71), SCALES)
SHARPNESS_CHOICES = (0.7, 1.0, 1.4, 2.0, 2.8)
FLOOR_LOG2 = 0.1
SLOPE_CHOICES = (0.0, 0.1, 0.2, 0.3)
ANSWERED_SHARE = 0.93
"""Share of held-out H&E pictures whose spread is small enough to be answered."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """One picture, and what a network that never saw its data set says of the windows of all its copies."""

    picture: Picture
    log_densities: NDArray[np.float32]
    scales: tuple[float, ...]
    refusal: Reason

    def answer(self, scales: Sequence[float], sharpness: float) -> RawAnswer:
        """The pooled answer of some of the copies, a very fine picture asked again at half its side."""
        used = [i for i, scale in enumerate(self.scales) if scale in scales]
        rows, own = self.log_densities[used], [self.scales[i] for i in used]
        raw = RawAnswer.of_densities(rows, own, sharpness, self.refusal)
        halves = self.log_densities[[i for i, scale in enumerate(self.scales) if scale == HALF]]
        if HALF in scales or not is_saturated(raw.centre):
            return raw
        return raw.halved(rows, own, halves, 1, sharpness)[0]


def ask_strangers(folds: Sequence[Path], images: Sequence[SlideImage]) -> list[Stranger]:
    """Ask each network about the data sets its card says were left out of its training; quality C is not asked.

    Raises:
        DataError: when a network left nothing out, or two left out the same data set.
        ModelError: when a file is no model.
    """
    found: list[Stranger] = []
    asked: set[str] = set()
    for path in folds:
        loaded = load_weights(path)
        left_out = set(loaded.card.get("recipe", {}).get("left_out", ()))
        if not left_out or left_out & asked:
            raise DataError(f"{path} left out nothing, or what another network left out.")
        asked |= left_out
        predictor = Predictor(loaded.network, {**loaded.card, "scales": list(SCALES)}, "", torch.device("cpu"))
        for image in images:
            if image.dataset not in left_out or image.scale_quality == "C":
                continue
            pictures = list(pictures_of(image))
            answers = predictor.densities([p.pixels for p in pictures])
            for picture, (rows, scales, refusal) in zip(pictures, answers, strict=True):
                found.append(Stranger(replace(picture, pixels=picture.pixels[:1, :1]), rows, tuple(scales), refusal))
    return [s for s in found if len(s.log_densities)]


def calibrate_on_strangers(
    strangers: Sequence[Stranger], suspect: Sequence[str] = ()
) -> tuple[Calibration, tuple[float, ...], float, dict[str, Any]]:
    """Choose copies and sharpness, and fit the interval; suspect data sets have no say.

    Returns:
        Calibration, shrunken copies, sharpness, and the measurements the choices rest on.
    """
    used = [s for s in strangers if s.picture.dataset not in suspect]
    weights = _weights([s.picture for s in used])
    truth = np.log2([s.picture.mpp_um for s in used])
    measured = {}
    best: tuple[float, tuple[float, ...]] | None = None
    for scales in SCALE_CHOICES:
        errors = np.abs([s.answer(scales, 1.0).centre for s in used] - truth)
        error = weighted_quantile(errors, weights, 0.5)
        measured[" + ".join(f"{s:g}" for s in scales)] = round(error, 4)
        # Every copy costs half the time again, or more: a hair's breadth is not worth it.
        if best is None or error < best[0] * 0.95:
            best = (error, scales)
    assert best is not None
    scales = best[1]
    losses = {sharpness: _log_score(used, truth, weights, scales, sharpness) for sharpness in SHARPNESS_CHOICES}
    sharpness = min(losses, key=lambda key: losses[key])
    answers = [s.answer(scales, sharpness) for s in used]
    candidates = [
        Calibration(
            q90=1.0,
            floor=FLOOR_LOG2,
            max_spread=round(weighted_quantile([a.spread for a in answers], weights, ANSWERED_SHARE), 4),
            finest_um=FINEST_UM,
            coarsest_um=COARSEST_UM,
            slope=slope,
        )
        for slope in SLOPE_CHOICES
    ]
    interval_scores = {c.slope: _interval_score(used, answers, c) for c in candidates}
    chosen = min(candidates, key=lambda c: interval_scores[c.slope])
    scores = [abs(a.centre - t) / chosen.deviation(a.centre, a.spread) for a, t in zip(answers, truth, strict=True)]
    calibration = replace(chosen, q90=round(weighted_quantile(scores, weights, 0.9), 4))
    notes = {
        "pictures": len(used),
        "patients": len({s.picture.group for s in used}),
        "datasets": sorted({s.picture.dataset for s in used}),
        "median_abs_log2_by_scales": measured,
        "log_score_by_sharpness": {f"{k:g}": round(v, 4) for k, v in losses.items()},
        "interval_score_by_slope": {f"{k:g}": round(v, 4) for k, v in interval_scores.items()},
    }
    return calibration, scales, sharpness, notes


def score_strangers(
    strangers: Sequence[Stranger], predictor: Predictor, scales: Sequence[float], sharpness: float
) -> list[Scored]:
    """Judge the pooled answers as the calibrated predictor would."""
    return [
        Scored(predictor.judge(s.answer(scales, sharpness)), s.picture.mpp_um, s.picture.group, s.picture.dataset)
        for s in strangers
    ]


def cross_fitted_coverage(
    strangers: Sequence[Stranger], scales: Sequence[float], sharpness: float, calibration: Calibration
) -> dict[str, float]:
    """What the interval holds on a data set that had no say in its width: one data set at a time.

    Returns:
        Share of the pictures and of the patients' votes whose truth lies in the interval, and the median hi / lo.
    """
    truth = np.log2([s.picture.mpp_um for s in strangers])
    answers = [s.answer(scales, sharpness) for s in strangers]
    errors, halves = _cross_fitted(strangers, answers, truth, calibration)
    weights = _weights([s.picture for s in strangers])
    held = errors <= halves
    return {
        "pictures": round(float(held.mean()), 4),
        "votes": round(float((held * weights).sum() / weights.sum()), 4),
        "median_hi_over_lo": round(float(np.median(2.0 ** (2.0 * halves))), 3),
    }


def finish_transfer(
    weights: Path, folds: Sequence[Path], images: Sequence[SlideImage], suspect: Sequence[str] = ()
) -> list[Row]:
    """Calibrate the network trained on everything by its siblings' answers, and write both into its card.

    Raises:
        DataError, ModelError: see `ask_strangers`.
    """
    strangers = ask_strangers(folds, images)
    calibration, scales, sharpness, notes = calibrate_on_strangers(strangers, suspect)
    loaded = load_weights(weights)
    card = {
        **loaded.card,
        "calibration": asdict(calibration),
        "calibration_data": notes,
        "scales": list(scales),
        "sharpness": sharpness,
    }
    predictor = Predictor(load_weights(weights).network, card, "", torch.device("cpu"))
    scored = score_strangers(strangers, predictor, scales, sharpness)
    trusted = [s for s in scored if s.dataset not in suspect]
    kept = [s for s in strangers if s.picture.dataset not in suspect]
    rows = [*table(trusted), *(summarise(name, [s for s in scored if s.dataset == name]) for name in suspect)]
    card["results"] = {
        "measured_on": time.strftime("%Y-%m-%d", time.gmtime()),
        "protocol": "data sets left out of training, in folds; the interval of the rows was fitted to the same answers",
        "suspect_datasets": list(suspect),
        "cross_fitted_coverage": cross_fitted_coverage(kept, scales, sharpness, calibration),
        "macro_median_log2": round(
            float(np.mean([row.median_log2 for row in table(trusted) if row.name in {s.dataset for s in trusted}])), 4
        ),
        "other_sources": [row.as_dict() for row in rows],
    }
    save_weights(weights, loaded.network, card)
    return rows


def _cross_fitted(
    strangers: Sequence[Stranger],
    answers: Sequence[RawAnswer],
    truth: NDArray[np.float64],
    calibration: Calibration,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Absolute errors and half widths of the 90 % intervals, log2; each data set's width is fitted to the others."""
    deviations = np.array([calibration.deviation(a.centre, a.spread) for a in answers])
    errors = np.abs(np.array([a.centre for a in answers]) - truth)
    weights = _weights([s.picture for s in strangers])
    datasets = np.array([s.picture.dataset for s in strangers])
    widths = np.full(len(strangers), np.inf)
    for name in sorted(set(datasets)):
        mine = datasets == name
        if not mine.all():
            widths[mine] = weighted_quantile((errors / deviations)[~mine], weights[~mine], 0.9)
    return errors, widths * deviations


def _interval_score(strangers: Sequence[Stranger], answers: Sequence[RawAnswer], calibration: Calibration) -> float:
    """Width of the cross-fitted 90 % intervals, log2, and twenty times what a truth lies outside (Winkler, J Am Stat
    Assoc 67:187-191, 1972)."""
    truth = np.log2([s.picture.mpp_um for s in strangers])
    errors, halves = _cross_fitted(strangers, answers, truth, calibration)
    usable = np.isfinite(halves)
    weights = _weights([s.picture for s in strangers])[usable]
    scores = 2.0 * halves[usable] + 20.0 * np.maximum(0.0, errors[usable] - halves[usable])
    return float((scores * weights).sum() / max(1e-9, weights.sum()))


def _weights(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """A patient's pictures share one vote, and a data set has as many votes as the root of its patients."""
    per_group: dict[str, int] = {}
    groups: dict[str, set[str]] = {}
    for picture in pictures:
        per_group[picture.group] = per_group.get(picture.group, 0) + 1
        groups.setdefault(picture.dataset, set()).add(picture.group)
    return np.array([1.0 / (per_group[p.group] * len(groups[p.dataset]) ** 0.5) for p in pictures])


def _log_score(
    strangers: Sequence[Stranger],
    truth: NDArray[np.float64],
    weights: NDArray[np.float64],
    scales: Sequence[float],
    sharpness: float,
) -> float:
    """Weighted mean of -ln of the density at the truth, with a hundredth of a flat density mixed in."""
    total = 0.0
    for stranger, true, weight in zip(strangers, truth, weights, strict=True):
        chosen = [i for i, scale in enumerate(stranger.scales) if scale in scales]
        density = pool(stranger.log_densities[chosen], [stranger.scales[i] for i in chosen], sharpness)
        total -= weight * math.log(0.99 * float(np.interp(true, GRID, density)) + 0.01 / BINS)
    return total / float(weights.sum())
