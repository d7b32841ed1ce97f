"""The paper's network: ResNet features, FC 512-200-20, the Adaptive Scaling Module, tanh, FC 20-1.

Source: Zhang, Liu, Song, Lu, "Hagnifinder", J Pathol Inform 14:100302, 2023, and its first published code. Between the
first two linear layers stands no activation, as there.
"""

from __future__ import annotations

import itertools
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torchvision import models

from hagnifinder.preprocess import MEAN, STD

TARGET_VARIANCE = 2.2
"""Variance the module gives its input, from the paper."""


class AdaptiveScaling(nn.Module):
    """Multiply a whole batch by one number that gives it variance 2.2.

    The paper divides by the largest magnitude X and multiplies by sqrt(2.2 / var(x / X)); X cancels, so this is
    x * sqrt(2.2) / std(x). No mean is subtracted and no gradient runs through the factor. Round 1 computes the
    factor from each batch; round 2 and prediction use the frozen `factor`, so that a picture's answer does not depend
    on its company.
    """

    factor: Tensor
    is_frozen: Tensor

    def __init__(self, *, unbiased: bool = True) -> None:
        super().__init__()
        self.unbiased = unbiased
        self.register_buffer("factor", torch.ones(()))
        self.register_buffer("is_frozen", torch.zeros((), dtype=torch.bool))

    def batch_factor(self, x: Tensor) -> Tensor:
        """The scalar for this batch, without gradient; 1 for a batch without any spread."""
        variance = x.detach().float().var(unbiased=self.unbiased)
        usable = torch.isfinite(variance) & (variance > 1e-12)
        return torch.where(usable, (TARGET_VARIANCE / variance.clamp_min(1e-12)).sqrt(), torch.ones_like(variance))

    def freeze(self, factor: float) -> None:
        """Use this factor from now on, whatever the batch."""
        self.factor.fill_(factor)
        self.is_frozen.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Scale (B, F) pre-activations."""
        return x * (self.factor if bool(self.is_frozen) else self.batch_factor(x))


class Hagnifinder(nn.Module):
    """Regress log2(mpp_um) (or the magnification itself, see the card's `target`) from normalised windows."""

    MEAN = MEAN
    STD = STD

    def __init__(self, backbone: str = "resnet18") -> None:
        super().__init__()
        builders = {"resnet18": models.resnet18, "resnet50": models.resnet50}
        if backbone not in builders:
            raise ValueError(f"backbone is {backbone!r}: it must be one of {', '.join(sorted(builders))}")
        self.features = builders[backbone](weights=None)
        n_features = cast(int, self.features.fc.in_features)
        self.features.fc = nn.Identity()
        self.fc1 = nn.Linear(n_features, 200)
        self.fc2 = nn.Linear(200, 20)
        self.scaling = AdaptiveScaling()
        self.fc3 = nn.Linear(20, 1)
        for layer in (self.fc1, self.fc2, self.fc3):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)

    def pre_activation(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32 to the (B, 20) numbers that the scaling module works on."""
        return cast(Tensor, self.fc2(self.fc1(self.features(x))))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32 to (B,) predictions."""
        return cast(Tensor, self.fc3(torch.tanh(self.scaling(self.pre_activation(x))))).squeeze(1)


Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batch_norm(model: Network) -> Network:
    """Merge every batch normalisation of the features into the convolution before it; for prediction only."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model.eval()
    for parent in list(model.modules()):
        names = [name for name, _ in parent.named_children()]
        for first, second in itertools.pairwise(names):
            conv = getattr(parent, first)
            norm = getattr(parent, second)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(conv, norm))
                setattr(parent, second, nn.Identity())
    return model
