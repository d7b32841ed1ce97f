"""The paper's own network in its arms, and the head of the later release.

Zhang, Liu, Song, Lu, J Pathol Inform 14:100302, 2023, and the first published code. The target is the nominal
magnification as a plain number, the loss Huber's with delta 1, the network from scratch.

Arms: `paper` (rate 0.1, patience 5) and `code` (AdamW 0.05, patience 6, not below 5e-6, as the first code has it),
both with the paper's turns on black; `sane` (1e-3 after a warm-up, falling to zero, no black corners, the last layer
beginning at the mean of the levels).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torchvision import models

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork
from hagnifinder.data.batches import PatchBatch
from hagnifinder.data.crops import Crop, paper_crop, plain_crop
from hagnifinder.model import Hagnifinder
from hagnifinder.training.losses import huber

_ROUND2 = 0.25
ARMS: Mapping[str, Schedule] = {
    "sane": Schedule(1e-3, "cosine", weight_decay=0.02, round2_share=_ROUND2, begins_at_levels=True),
    "paper": Schedule(0.1, "plateau", weight_decay=0.01, patience=5, round2_share=_ROUND2),
    "code": Schedule(0.05, "plateau", weight_decay=0.01, patience=6, least_rate=5e-6, round2_share=_ROUND2),
}
_CROPS: Mapping[str, Crop] = {"sane": plain_crop, "paper": paper_crop, "code": paper_crop}


class PaperNetwork(SystemNetwork):
    """ResNet, 200, 20, Adaptive Scaling Module, tanh, 1."""

    def __init__(self, facts: Facts, backbone: str) -> None:
        super().__init__()
        self.net = Hagnifinder(backbone)

    def forward(self, x: Tensor) -> Tensor:
        """(B,) magnifications."""
        return cast(Tensor, self.net(x))

    def begin_at(self, levels_x: Tensor) -> None:
        """See `SystemNetwork.begin_at`."""
        _spread(self.net.fc3, levels_x)

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Huber's, on the magnification as it is."""
        return huber(outputs, batch.level_x)

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The answer as it is: not rounded, not clamped."""
        return outputs


class LaterHead(SystemNetwork):
    """The release of 2023 ("V1.1"): ResNet50, 1024, LeakyReLU, dropout one half, 1. No scaling, no published number."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.features = models.resnet50(weights=None)
        n_features = cast(int, self.features.fc.in_features)
        self.features.fc = nn.Identity()
        self.head = nn.Sequential(nn.Linear(n_features, 1024), nn.LeakyReLU(), nn.Dropout(0.5), nn.Linear(1024, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B,) magnifications."""
        return cast(Tensor, self.head(self.features(x))).squeeze(1)

    def begin_at(self, levels_x: Tensor) -> None:
        """See `SystemNetwork.begin_at`."""
        _spread(cast(nn.Linear, self.head[-1]), levels_x)

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Huber's."""
        return huber(outputs, batch.level_x)

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The answer as it is."""
        return outputs


@torch.no_grad()
def _spread(last: nn.Linear, levels_x: Tensor) -> None:
    last.weight *= levels_x.std(correction=0)
    last.bias.fill_(float(levels_x.mean()))


def _system(name: str, backbone: str) -> System:
    about = f"Zhang et al. 2023, {backbone} and the head with the Adaptive Scaling Module"
    return System(name, partial(PaperNetwork, backbone=backbone), ARMS, about, crops=_CROPS)


SYSTEMS = (
    _system("hagnifinder-r18", "resnet18"),
    _system("hagnifinder-r50", "resnet50"),
    System(
        "hagnifinder-v11",
        LaterHead,
        {
            "sane": Schedule(1e-3, "cosine", weight_decay=0.02, begins_at_levels=True),
            "code": Schedule(0.05, "plateau", weight_decay=0.01, patience=6, least_rate=5e-6),
        },
        "head of the repository's release of 2023, ResNet50; its training was not published, the arms are the paper's",
        crops=_CROPS,
    ),
)
