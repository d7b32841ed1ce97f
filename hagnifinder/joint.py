"""The scale of many pictures of one microscope together: one unknown camera factor, a few objectives.

A camera's pixel covers `camera_um / objective_x` micrometres of the specimen, whatever the picture shows. So the
pixel sizes of a folder lie on a comb of which only the place is unknown, and every picture helps to find it.
Everything here is pure: densities in, densities and estimates out. How wide the intervals are, and how much the
pictures of one slide are to be trusted as separate witnesses, was measured (docs/results/joint.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hagnifinder.density import BINS, GRID
from hagnifinder.predict import Estimate
from hagnifinder.scale import magnification_x_of, round_significant

OBJECTIVES_X = (4.0, 10.0, 20.0, 40.0, 60.0, 100.0)
STEP_LOG2 = 0.02
CAMERA_LOG2: NDArray[np.float64] = np.arange(1.0, 7.0 + STEP_LOG2 / 2, STEP_LOG2)
"""log2 of the camera factors that are thought of: 2 to 128 µm per pixel at 1x."""
ANCHOR_LOG2 = 0.02
"""How exactly a known pixel size is believed: 1.4 %."""


@dataclass(frozen=True, slots=True)
class JointFit:
    """What was chosen on one half of the patients; docs/results/joint.md has the other half.

    Attributes:
        shared: share of a picture's error that the other pictures of the folder have too, 0 to 1: N pictures weigh
            as N / (1 + (N - 1) * shared).
        outlier: probability that a picture is of no objective of this camera.
        objectives: how usual each of `OBJECTIVES_X` is.
        floor: log2; the interval is `q90 * hypot(floor, spread)` to both sides, as for a single picture.
        q90: without an anchor.
        q90_anchored: with one.
    """

    shared: float = 0.6
    outlier: float = 0.15
    objectives: tuple[float, ...] = (0.5, 1.0, 1.0, 1.0, 0.25, 0.25)
    floor: float = 0.1
    q90: float = 2.118
    q90_anchored: float = 1.943


FIT = JointFit()


@dataclass(frozen=True, slots=True)
class JointAnswer:
    """What the folder says of one picture.

    Attributes:
        centre, spread: log2 of µm per pixel, median and half the distance of the 16th and 84th percentile; None when
            the folder says nothing of it.
        objective_x: the cluster it is in, at the likeliest camera factor; None when it fits none.
        is_known: whether its own pixel size was given.
    """

    centre: float | None
    spread: float
    objective_x: float | None
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Camera:
    """The likeliest camera factor, and the interval that holds it with 90 % probability by the model's own account."""

    camera_um: float
    camera_lo_um: float
    camera_hi_um: float


def solve(
    densities: Sequence[NDArray[np.float64] | None], known_um: Mapping[int, float], fit: JointFit
) -> tuple[Camera | None, list[JointAnswer]]:
    """Find the camera factor of a folder, and what follows for each picture.

    Args:
        densities: for each picture (BINS,) probabilities on `GRID`; None for one that has no say.
        known_um: pixel sizes that are known, by the picture's number.
        fit: how much to trust what.

    Returns:
        The camera factor, None when no picture has a say; and an answer for every picture, in order.
    """
    usual = np.array(fit.objectives) / sum(fit.objectives)
    likelihoods = [None if d is None else _comb(d, usual) for d in densities]
    flat = fit.outlier / BINS
    votes = {
        i: np.log((1.0 - fit.outlier) * one.sum(axis=0) + flat)
        for i, one in enumerate(likelihoods)
        if one is not None and i not in known_um
    }
    anchors = np.zeros(CAMERA_LOG2.size)
    for um in known_um.values():
        anchors += np.log(_anchor(math.log2(um), usual).sum(axis=0) + 1e-12)
    if not votes and not known_um:
        return None, [JointAnswer(None, 0.0, None) for _ in densities]
    total = sum(votes.values(), np.zeros(CAMERA_LOG2.size))
    everyone = _softmax(anchors + total / _redundancy(len(votes), fit.shared))
    # An octave more or less changes little in the comb: the mode of the smoothed density names the clusters.
    width = np.exp(-0.5 * (np.arange(-5, 6) / 2.0) ** 2)
    best = int(np.argmax(np.convolve(everyone, width, mode="same")))
    answers = []
    for i, one in enumerate(likelihoods):
        if i in known_um:
            objective = OBJECTIVES_X[int(np.argmax(_anchor(math.log2(known_um[i]), usual)[:, best]))]
            answers.append(JointAnswer(math.log2(known_um[i]), 0.0, objective, is_known=True))
        elif one is None:
            answers.append(JointAnswer(None, 0.0, None))
        else:
            others = _softmax(anchors + (total - votes[i]) / _redundancy(len(votes) - 1, fit.shared))
            answers.append(_answer(one, others, best, fit))
    low, middle, high = (_quantile(CAMERA_LOG2, everyone, share) for share in (0.05, 0.5, 0.95))
    named = CAMERA_LOG2[best] if not low <= CAMERA_LOG2[best] <= high else middle
    if known_um:
        named = CAMERA_LOG2[best]
    return Camera(*(round_significant(float(2.0**v)) for v in (named, min(low, named), max(high, named)))), answers


def joint_estimate(single: Estimate, answer: JointAnswer, fit: JointFit, *, is_anchored: bool) -> Estimate:
    """Put the folder's answer in the place of the picture's own; the own one where the folder has none."""
    if answer.centre is None:
        return single
    half = (fit.q90_anchored if is_anchored else fit.q90) * math.hypot(fit.floor, answer.spread)
    if answer.is_known:
        half = ANCHOR_LOG2
    low, mpp, high = (round_significant(2.0 ** (answer.centre + d)) for d in (-half, 0.0, half))
    return replace(
        single,
        mpp_um=mpp,
        mpp_lo_um=low,
        mpp_hi_um=high,
        magnification_x=round_significant(magnification_x_of(mpp)),
        magnification_lo_x=round_significant(magnification_x_of(high)),
        magnification_hi_x=round_significant(magnification_x_of(low)),
        abstained=False,
        reason="",
    )


def _comb(density: NDArray[np.float64], usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """(objectives, camera factors) probability of the picture were it taken so."""
    rows = [
        weight * np.interp(CAMERA_LOG2 - math.log2(x), GRID, density, left=0.0, right=0.0)
        for weight, x in zip(usual, OBJECTIVES_X, strict=True)
    ]
    return np.stack(rows)


def _anchor(log2_um: float, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for a picture whose pixel size is known."""
    rows = [
        weight * np.exp(-0.5 * ((CAMERA_LOG2 - math.log2(x) - log2_um) / ANCHOR_LOG2) ** 2)
        for weight, x in zip(usual, OBJECTIVES_X, strict=True)
    ]
    return np.stack(rows)


def _answer(one: NDArray[np.float64], others: NDArray[np.float64], best: int, fit: JointFit) -> JointAnswer:
    """One picture, given what the others say of the camera; it is its own only witness of its objective."""
    inside = (1.0 - fit.outlier) * one * others
    if inside.sum() <= fit.outlier / BINS:
        return JointAnswer(None, 0.0, None)
    places = (CAMERA_LOG2[None, :] - np.log2(OBJECTIVES_X)[:, None]).ravel()
    order = np.argsort(places)
    weights = inside.ravel()[order] / inside.sum()
    low, centre, high = (_quantile(places[order], weights, share) for share in (0.16, 0.5, 0.84))
    # Of the objectives at the likeliest camera factor the one nearest to the answer.
    nearest = int(np.argmin(np.abs(CAMERA_LOG2[best] - np.log2(OBJECTIVES_X) - centre)))
    return JointAnswer(centre, (high - low) / 2.0, OBJECTIVES_X[nearest])


def _redundancy(n_votes: int, shared: float) -> float:
    return 1.0 + max(0, n_votes - 1) * shared


def _softmax(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def _quantile(places: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    return float(np.interp(share, np.cumsum(weights) - 0.5 * weights, places))
