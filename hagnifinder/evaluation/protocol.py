"""Calibrate a model on the calibration patients, and measure it on the test patients."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from hagnifinder.checkpoint import load_weights, save_weights
from hagnifinder.data.slides import SlideImage
from hagnifinder.data.splits import Split, split_of
from hagnifinder.errors import DataError
from hagnifinder.evaluation.metrics import Row, Scored, group_quantile, table
from hagnifinder.evaluation.pictures import Picture, pictures_of
from hagnifinder.predict import Calibration, Predictor, RawAnswer

FLOOR_LOG2 = 0.15
"""Spread that even a picture whose windows all agree is taken to have, log2."""
FINEST_UM, COARSEST_UM = 0.2, 6.0
"""Answers outside are abstained from: nothing finer or coarser was trained on or tested."""
SCALE_CHOICES: tuple[tuple[float, ...], ...] = ((1.0,), (1.0, 0.5), (1.0, 0.5, 0.25))


def held_out(images: Sequence[SlideImage], side: Split) -> list[Picture]:
    """The pictures of one side's patients; sources of undocumented scale (quality C) are left out.

    Raises:
        DataError: when there is none.
    """
    pictures = [
        picture
        for image in images
        if split_of(image.group) is side and image.scale_quality != "C"
        for picture in pictures_of(image)
    ]
    if not pictures:
        raise DataError(f"no picture of this data set is on the {side} side with a documented scale.")
    return pictures


def calibrate(
    predictor: Predictor, pictures: Sequence[Picture]
) -> tuple[Calibration, tuple[float, ...], dict[str, Any]]:
    """Choose the shrunken copies that help and fit the interval, both on the calibration patients.

    Returns:
        The calibration, the scales to look at, and the measurements the choice rests on.
    """
    best: tuple[float, tuple[float, ...], list[RawAnswer]] | None = None
    measured = {}
    pixels = [picture.pixels for picture in pictures]
    for scales in SCALE_CHOICES:
        answers = predictor.answers(pixels, scales)
        error = _mean_over_groups(
            [abs(_error(a, p)) for a, p in _answered(answers, pictures)],
            [p.group for _, p in _answered(answers, pictures)],
        )
        measured[" + ".join(f"{s:g}" for s in scales)] = round(error, 4)
        # A copy costs windows: it must earn them.
        if best is None or error < best[0] * 0.98:
            best = (error, scales, answers)
    assert best is not None
    pairs = _answered(best[2], pictures)
    groups = [picture.group for _, picture in pairs]
    scores = [abs(_error(a, p)) / math.hypot(FLOOR_LOG2, a.spread) for a, p in pairs]
    max_spread = group_quantile([a.spread for a, _ in pairs], groups, 0.95)
    calibration = Calibration(
        q90=round(group_quantile(scores, groups, 0.9), 4),
        floor=FLOOR_LOG2,
        max_spread=round(max_spread, 4),
        finest_um=FINEST_UM,
        coarsest_um=COARSEST_UM,
    )
    notes = {
        "pictures": len(pairs),
        "patients": len(set(groups)),
        "mean_abs_log2_by_scales": measured,
    }
    return calibration, best[1], notes


def evaluate(predictor: Predictor, pictures: Sequence[Picture]) -> list[Row]:
    """The results table of a calibrated model."""
    return table(_score(predictor, pictures))


def _score(predictor: Predictor, pictures: Sequence[Picture]) -> list[Scored]:
    estimates = predictor.predict_many([picture.pixels for picture in pictures])
    return [Scored(e, p.mpp_um, p.group, p.dataset) for e, p in zip(estimates, pictures, strict=True)]


def finish(weights: Path, images: Sequence[SlideImage]) -> list[Row]:
    """Calibrate a weights file, test it, and write both into its card.

    Raises:
        DataError, ModelError: when the data has no calibration or test side, or the file is no model.
    """
    loaded = load_weights(weights)
    bare = replace(loaded, card={k: v for k, v in loaded.card.items() if k not in ("calibration", "scales", "results")})
    cpu = torch.device("cpu")
    calibration, scales, notes = calibrate(
        Predictor(bare.network, bare.card, bare.weights_sha256, cpu), held_out(images, Split.CALIBRATION)
    )
    card = {**bare.card, "calibration": asdict(calibration), "scales": list(scales), "calibration_data": notes}
    # The predictor above merged its batch normalisations: the file gives the network as it was trained.
    rows = evaluate(Predictor(load_weights(weights).network, card, "", cpu), held_out(images, Split.TEST))
    card["results"] = {
        "measured_on": time.strftime("%Y-%m-%d", time.gmtime()),
        "test_side": [row.as_dict() for row in rows],
    }
    save_weights(weights, load_weights(weights).network, card)
    return rows


def results_markdown(title: str, rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = [
        f"# {title}",
        "",
        "| | pictures | patients | median abs. log2 | 90th pct. | median answered | bias log2 | coverage | abstained |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = (row.median_log2, row.p90_log2, row.median_answered_log2, row.bias_log2)
        lines.append(
            f"| {row.name} | {row.pictures} | {row.patients} | "
            + " | ".join("" if n is None else f"{n:.3f}" for n in numbers)
            + f" | {'' if row.coverage is None else f'{row.coverage:.0%}'} | {row.abstained:.0%} |"
        )
    return "\n".join(lines) + "\n"


def results_json(rows: Sequence[Row]) -> str:
    """The table as JSON."""
    return json.dumps([row.as_dict() for row in rows], indent=2) + "\n"


def _error(answer: RawAnswer, picture: Picture) -> float:
    return answer.centre - math.log2(picture.mpp_um)


def _answered(answers: Sequence[RawAnswer], pictures: Sequence[Picture]) -> list[tuple[RawAnswer, Picture]]:
    return [(a, p) for a, p in zip(answers, pictures, strict=True) if a.n_windows]


def _mean_over_groups(values: Sequence[float], groups: Sequence[str]) -> float:
    sums: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        sums.setdefault(group, []).append(value)
    return sum(sum(v) / len(v) for v in sums.values()) / max(1, len(sums))
