"""The loss of the paper, and what the network is asked for."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hagnifinder.scale import UM_PX_AT_1X

Target = Literal["log2_mpp", "linear"]
"""log2 of the pixel size, or the magnification as a plain number (the paper's)."""

TARGETS: tuple[Target, ...] = ("log2_mpp", "linear")


def encode(log2_mpp: NDArray[np.float32], target: Target) -> NDArray[np.float32]:
    """(N,) log2 of µm per pixel to what the network is asked for."""
    if target == "linear":
        return np.asarray(UM_PX_AT_1X * 2.0**-log2_mpp, dtype=np.float32)
    return log2_mpp


def decode(answers: NDArray[np.float32], target: Target) -> NDArray[np.float64]:
    """(N,) answers of the network to log2 of µm per pixel; the inverse of `encode`, finite for every input."""
    if target == "linear":
        return math.log2(UM_PX_AT_1X) - np.log2(np.maximum(answers.astype(np.float64), 0.05))
    return answers.astype(np.float64)


def huber(answers: Tensor, truth: Tensor, delta: float = 1.0) -> Tensor:
    """Mean Huber loss with the first code's delta of 1."""
    return torch.nn.functional.huber_loss(answers, truth, delta=delta)
