"""What a model must beat to be worth anything, and the interface that every control shares.

`mean` knows nothing of the picture. `size_only` knows its width and height: where it beats the mean, the test pictures
give their scale away by their size, and the test is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hagnifinder.preprocess import RgbImage

Log2Mpp = NDArray[np.float64]


class Regressor(Protocol):
    """A fitted control."""

    def predict(self, pictures: Sequence[RgbImage]) -> Log2Mpp:
        """Guess the scale of (H, W, 3) uint8 pictures: (n,) float64, log2 of the µm per pixel."""
        ...


@dataclass(frozen=True, slots=True)
class Mean:
    """The same answer for every picture."""

    log2_mpp: float

    def predict(self, pictures: Sequence[RgbImage]) -> Log2Mpp:
        """Guess what was seen on average."""
        return np.full(len(pictures), self.log2_mpp)


def fit_mean(pictures: Sequence[RgbImage], log2_mpp: Sequence[float]) -> Mean:
    """Fit the floor: the mean of the training scales.

    Raises:
        ValueError: without a picture, or when the lists differ in length.
    """
    return Mean(float(_checked(pictures, log2_mpp).mean()))


@dataclass(frozen=True, slots=True)
class Ridge:
    """A linear rule on standardised features: `intercept + sum(slopes * (x - centre) / spread)`."""

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    slopes: NDArray[np.float64]
    intercept: float

    def __call__(self, features: NDArray[np.float64]) -> Log2Mpp:
        """Apply to (n, d) features; (n,)."""
        answers: Log2Mpp = (features - self.centre) / self.spread @ self.slopes + self.intercept
        return answers


def fit_ridge(features: NDArray[np.float64], wanted: Log2Mpp, penalty: float) -> Ridge:
    """Least squares with `penalty * n` times the squared length of the slopes added; the intercept is free.

    Args:
        features: (n, d); columns that never change are ignored.
        wanted: (n,).
        penalty: 0 for none; 1 shrinks a slope that stands alone by half.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(centre)), spread, np.inf)
    scaled = (features - centre) / spread
    middle = float(wanted.mean())
    normal = scaled.T @ scaled + penalty * len(wanted) * np.eye(features.shape[1])
    slopes = np.linalg.lstsq(normal, scaled.T @ (wanted - middle), rcond=None)[0]
    return Ridge(centre, spread, slopes, middle)


@dataclass(frozen=True, slots=True)
class SizeOnly:
    """A guess from width and height alone."""

    rule: Ridge

    def predict(self, pictures: Sequence[RgbImage]) -> Log2Mpp:
        """Guess from the logarithms of width and height."""
        return self.rule(_sizes(pictures))


def fit_size_only(pictures: Sequence[RgbImage], log2_mpp: Sequence[float], penalty: float = 0.01) -> SizeOnly:
    """Fit the control that sees no pixel.

    Raises:
        ValueError: without a picture, or when the lists differ in length.
    """
    wanted = _checked(pictures, log2_mpp)
    return SizeOnly(fit_ridge(_sizes(pictures), wanted, penalty))


def _sizes(pictures: Sequence[RgbImage]) -> NDArray[np.float64]:
    return np.log2(np.array([p.shape[:2] for p in pictures], dtype=np.float64).reshape(-1, 2))


def _checked(pictures: Sequence[RgbImage], log2_mpp: Sequence[float]) -> Log2Mpp:
    if not pictures or len(pictures) != len(log2_mpp):
        raise ValueError(f"{len(pictures)} pictures and {len(log2_mpp)} scales cannot be fitted")
    return np.asarray(log2_mpp, dtype=np.float64)
