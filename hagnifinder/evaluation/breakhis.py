"""P5 on BreakHis: four objectives and the slope of the predicted pixel sizes; no absolute µm/px is claimed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagnifinder.data.breakhis import N_FOLDS, OBJECTIVES_X, BreakHisImage, Slopes, sides, slope_test
from hagnifinder.data.crops import centre_crop
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError, ImageError
from hagnifinder.images import read_rgb


@dataclass(frozen=True, slots=True)
class BreakHisScores:
    """What a system says of BreakHis without having been trained on it.

    Attributes:
        slopes: of ln µm/px against ln objective, patient by patient; -1 is right.
        four: share of the photographs of each objective whose class is right. The one number that turns a predicted
            magnification into the ladder of the camera is fitted on the training patients of each fold.
    """

    slopes: Slopes
    four: dict[str, float]


def score_breakhis(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float64]], images: Sequence[BreakHisImage]
) -> BreakHisScores:
    """Ask for every photograph's middle.

    Raises:
        DataError: when a photograph cannot be read, or there are too few patients.
    """
    said = np.empty(len(images))
    for start in range(0, len(images), 64):
        part = images[start : start + 64]
        try:
            crops = np.stack([centre_crop(read_rgb(image.path))[0] for image in part])
        except ImageError as error:
            raise DataError(str(error)) from error
        said[start : start + len(part)] = np.maximum(predict(crops), 0.05)
    log2_mpp = [math.log2(10.0 / x) for x in said]
    return BreakHisScores(slope_test(images, log2_mpp), _four(images, said))


def _four(images: Sequence[BreakHisImage], said: NDArray[np.float64]) -> dict[str, float]:
    objective = np.array([image.objective_x for image in images])
    right = np.zeros(len(images), dtype=bool)
    for fold in range(N_FOLDS):
        side_of = sides(images, fold)
        at = np.array([side_of[image.patient] for image in images])
        train, test = at == Split.TRAIN, at == Split.TEST
        offset = float(np.median(np.log(said[train]) - np.log(objective[train])))
        logs = np.log(said[test])[:, None] - offset - np.log(OBJECTIVES_X)[None]
        right[test] = np.array(OBJECTIVES_X)[np.abs(logs).argmin(axis=1)] == objective[test]
    return {f"{x:g}": float(right[objective == x].mean()) for x in OBJECTIVES_X if (objective == x).any()}


def breakhis_markdown(name: str, scores: BreakHisScores) -> str:
    """The slope and the four classes."""
    slopes = scores.slopes
    heads = " | ".join(f"{x}x" for x in scores.four)
    cells = " | ".join(f"{share:.1%}" for share in scores.four.values())
    return (
        f"| | patients | slope (95 %), right is -1 | {heads} |\n" + "|---" * (3 + len(scores.four)) + "|\n"
        f"| {name} | {len(slopes.per_patient)} "
        f"| {slopes.median:.3f} ({slopes.low:.3f} to {slopes.high:.3f}) | {cells} |\n"
    )
