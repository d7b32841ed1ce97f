"""The network that answers with a whole density over log2 of the µm per pixel, and how windows are put together.

A density says what a number can't: that a field may be 10x or 20x but nothing between. It is trained by cross-entropy
against a narrow Gaussian round the truth (a histogram loss: Imani and White, ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hagnifinder.efficientnet import EfficientNetLite

LOW, HIGH, BINS = -3.3219, 4.0, 96
"""log2 of 0.1 and 16 µm per pixel, and how many steps of 7.7 % lie on and between them."""
GRID: NDArray[np.float64] = np.linspace(LOW, HIGH, BINS)
ENLARGEMENT, HE_LOGIT = BINS, BINS + 1
"""Columns behind the density in a network's answer: log2 of how far the picture was enlarged after it was taken, and
the natural log odds that it shows tissue stained with H&E. Not a number where the network never learnt to tell."""
SOFTNESS = 0.12
"""Deviation of the target, log2: a little more than the labels' own uncertainty."""


class ScaleDensity(nn.Module):
    """Stage statistics of a pretrained backbone, normalised, then three linear layers to a log density.

    With `enlargement` the last of them also answers how far the picture was enlarged; with `gate` one more linear
    layer, fitted to the same normalised features after the training, tells H&E from everything else.
    """

    MEAN = (127.0 / 255.0,) * 3
    STD = (128.0 / 255.0,) * 3

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        hidden: int = 256,
        *,
        enlargement: bool = False,
        gate: bool = False,
    ) -> None:
        super().__init__()
        self.features = EfficientNetLite(backbone)
        self.head = DensityHead(self.features.n_features, hidden, enlargement=enlargement)
        self.gate = nn.Linear(self.features.n_features, 1) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32 to (B, BINS + 2): natural logarithms of the probability of each step of `GRID`, then the
        columns `ENLARGEMENT` and `HE_LOGIT`."""
        features = self.features(x)
        answer: Tensor = self.head(features)
        odds = answer.new_full((len(answer), 1), torch.nan)
        if self.gate is not None:
            odds = self.gate(self.head.norm(features))
        return torch.cat([answer, odds], dim=1)


class ScaleEnsemble(nn.Module):
    """Several density networks that answer as one: their log densities are averaged, as the windows' are."""

    MEAN = ScaleDensity.MEAN
    STD = ScaleDensity.STD

    def __init__(self, members: Sequence[ScaleDensity]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32 to (B, BINS + 2), as `ScaleDensity`; what a member never learnt to tell is left to the
        others."""
        answers = torch.stack([member(x) for member in self.members])
        log_density = F.log_softmax(answers[..., :BINS].mean(dim=0), dim=1)
        return torch.cat([log_density, answers[..., BINS:].nanmean(dim=0)], dim=1)


class DensityHead(nn.Module):
    """From (B, n_features) to (B, BINS + 1), density and enlargement; apart, to be fitted to stored features."""

    def __init__(self, n_features: int, hidden: int = 256, dropout: float = 0.3, *, enlargement: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(hidden, hidden // 2),
            nn.GELU(),
            nn.Linear(hidden // 2, BINS + enlargement),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Log density of stored features, and the enlargement behind it, not a number without one."""
        answer = self.layers(self.norm(x))
        enlargement = answer[:, BINS:] if answer.shape[1] > BINS else answer.new_full((len(answer), 1), torch.nan)
        return torch.cat([F.log_softmax(answer[:, :BINS], dim=1), enlargement], dim=1)


ENLARGEMENT_WEIGHT = 0.5
"""What an error of one octave of enlargement costs beside the cross-entropy."""


def density_loss(answer: Tensor, log2_mpp: Tensor, log2_enlargement: Tensor | None = None) -> Tensor:
    """Mean cross-entropy between (B, BINS or more) answers and Gaussians round (B,) truths.

    With (B,) true enlargements, the mean absolute error of that column is added.
    """
    log_density = answer[:, :BINS]
    grid = torch.linspace(LOW, HIGH, BINS, device=log2_mpp.device)
    away = (log2_mpp[:, None] - grid[None]) / SOFTNESS
    wanted = torch.softmax(-0.5 * away.square(), dim=1)
    loss = -(wanted * log_density).sum(dim=1).mean()
    if log2_enlargement is not None:
        loss = loss + ENLARGEMENT_WEIGHT * (answer[:, ENLARGEMENT] - log2_enlargement).abs().mean()
    return loss


def pool(log_densities: NDArray[np.float32], scales: Sequence[float], sharpness: float) -> NDArray[np.float64]:
    """Put the windows of one picture and of its shrunken copies together.

    The logarithms are averaged: windows of one picture share its tissue and its optics and are no independent
    witnesses. How much narrower than their average the answer may be is `sharpness`, learnt on held-out pictures.

    Args:
        log_densities: (N, BINS or more), one row a window; only the first BINS columns are read.
        scales: how much each window's copy was shrunk, 0.5 for half the side; a copy's pixels are 1 / scale as large.

    Returns:
        (BINS,) probabilities of the steps of `GRID`, of the picture's own pixels.
    """
    total = np.zeros(BINS)
    for row, scale in zip(log_densities[:, :BINS], scales, strict=True):
        # What lies beyond the copy's own grid is as unlikely as anything on it.
        total += np.interp(GRID - np.log2(scale), GRID, row.astype(np.float64), right=float(row.min()))
    total *= sharpness / len(log_densities)
    probabilities: NDArray[np.float64] = np.exp(total - total.max())
    probabilities /= probabilities.sum()
    return probabilities


def centre_and_spread(probabilities: NDArray[np.float64]) -> tuple[float, float]:
    """Median of a density, and half the distance of its 16th and 84th percentile; log2."""
    cumulated = np.cumsum(probabilities) - 0.5 * probabilities
    low, centre, high = (float(np.interp(share, cumulated, GRID)) for share in (0.16, 0.5, 0.84))
    return centre, (high - low) / 2.0


def gaussian_density(centre: float, deviation: float) -> NDArray[np.float64]:
    """(BINS,) probabilities on `GRID`, for a network that answers with a number and a spread; log2."""
    exponent = -0.5 * ((GRID - centre) / max(deviation, 0.05)) ** 2
    density: NDArray[np.float64] = np.exp(exponent - exponent.max())
    density /= density.sum()
    return density
