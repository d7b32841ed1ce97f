"""A control that sees nuclei only: their median diameter in pixels, then one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hagnifinder.baselines.floors import Log2Mpp, Ridge, fit_ridge
from hagnifinder.baselines.nuclei import measure_nuclei
from hagnifinder.preprocess import RgbImage


@dataclass(frozen=True, slots=True)
class NucleiRule:
    """A guess from the size of nuclei; the training mean where none can be measured."""

    rule: Ridge
    mean: float

    def predict(self, pictures: Sequence[RgbImage]) -> Log2Mpp:
        """Guess the scale of (H, W, 3) uint8 pictures: (n,) float64, log2 of the µm per pixel."""
        sizes = _sizes(pictures)
        answers = self.rule(np.where(np.isfinite(sizes), sizes, 0.0)[:, None])
        return np.where(np.isfinite(sizes), answers, self.mean)


def fit_nuclei_rule(pictures: Sequence[RgbImage], log2_mpp: Sequence[float]) -> NucleiRule:
    """Fit the control.

    Raises:
        ValueError: without a picture, or when the lists differ in length.
    """
    if not len(pictures) or len(pictures) != len(log2_mpp):
        raise ValueError(f"{len(pictures)} pictures and {len(log2_mpp)} scales cannot be fitted")
    wanted, sizes = np.asarray(log2_mpp, dtype=np.float64), _sizes(pictures)
    known = np.isfinite(sizes)
    unseen = wanted[~known]
    mean = float(unseen.mean()) if len(unseen) else float(wanted.mean())
    if known.sum() < 2:
        return NucleiRule(fit_ridge(np.zeros((len(wanted), 1)), wanted, 0.0), mean)
    return NucleiRule(fit_ridge(sizes[known, None], wanted[known], 0.0), mean)


def _sizes(pictures: Sequence[RgbImage]) -> Log2Mpp:
    found = [measure_nuclei(picture) for picture in pictures]
    return np.array([math.nan if nuclei is None else math.log2(nuclei.diameter_px) for nuclei in found])
