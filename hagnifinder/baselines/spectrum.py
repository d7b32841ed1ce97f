"""A control that reads optics and resampling, not tissue: radial power spectrum, then ridge regression.

If it comes near a network on some test, the test can be solved without looking at a single nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hagnifinder.baselines.floors import Log2Mpp, Ridge, fit_ridge
from hagnifinder.preprocess import RgbImage, cut_windows

SIDE_PX = 128
MAX_WINDOWS = 9
RINGS = 24
_FINEST, _COARSEST = 0.5, 1.0 / 64.0
"""Cycles per pixel."""


def radial_spectrum(rgb: RgbImage) -> NDArray[np.float64]:
    """How strongly a picture varies at each fineness, averaged over directions and windows.

    Args:
        rgb: (H, W, 3) uint8; the windows with the most tissue are used, a small picture is mirrored at its edges.

    Returns:
        (RINGS,) float64: natural logarithm of the mean power in rings from 1/64 to 1/2 cycles per pixel, evenly spaced
        in the logarithm, less their mean, so that contrast does not count.
    """
    power = np.zeros((SIDE_PX, SIDE_PX))
    windows = cut_windows(rgb, MAX_WINDOWS, SIDE_PX)
    taper = np.outer(np.hanning(SIDE_PX), np.hanning(SIDE_PX))
    for window in windows:
        # Absorbance of the sum of the channels: stains add up in it, brightness of the lamp falls out.
        dark = -np.log((window.astype(np.float64).mean(axis=2) + 1.0) / 256.0)
        power += np.abs(np.fft.fft2((dark - dark.mean()) * taper)) ** 2
    rings = np.log(_RING_MEANS @ power.ravel() / len(windows) + 1e-6)
    centred: NDArray[np.float64] = rings - rings.mean()
    return centred


def _ring_means() -> NDArray[np.float64]:
    """(RINGS, SIDE_PX**2): each row averages one ring of the spectrum."""
    along = np.fft.fftfreq(SIDE_PX)
    fineness = np.hypot(along[:, None], along[None, :]).ravel()
    edges = np.geomspace(_COARSEST, _FINEST, RINGS + 1)
    centres = np.sqrt(edges[:-1] * edges[1:])
    # Coarse rings hold few frequencies: soft edges leave none empty.
    width = np.log(edges[1] / edges[0])
    safe = np.log(np.maximum(fineness, 1e-9))
    weight = np.exp(-0.5 * ((safe[None, :] - np.log(centres)[:, None]) / width) ** 2)
    weight[:, fineness > _FINEST] = 0.0
    means: NDArray[np.float64] = weight / weight.sum(axis=1, keepdims=True)
    return means


_RING_MEANS = _ring_means()


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A guess from the radial power spectrum."""

    rule: Ridge

    def predict(self, pictures: Sequence[RgbImage]) -> Log2Mpp:
        """Guess the scale of (H, W, 3) uint8 pictures: (n,) float64, log2 of the µm per pixel."""
        return self.rule(_spectra(pictures))


def fit_spectrum(pictures: Sequence[RgbImage], log2_mpp: Sequence[float], penalty: float = 0.003) -> Spectrum:
    """Fit the control.

    Args:
        pictures: (H, W, 3) uint8 each.
        log2_mpp: log2 of the µm per pixel of each.
        penalty: of the ridge; rings are alike, so a little is needed.

    Raises:
        ValueError: without a picture, or when the lists differ in length.
    """
    if not pictures or len(pictures) != len(log2_mpp):
        raise ValueError(f"{len(pictures)} pictures and {len(log2_mpp)} scales cannot be fitted")
    return Spectrum(fit_ridge(_spectra(pictures), np.asarray(log2_mpp, dtype=np.float64), penalty))


def _spectra(pictures: Sequence[RgbImage]) -> NDArray[np.float64]:
    return np.array([radial_spectrum(p) for p in pictures]).reshape(-1, RINGS)
