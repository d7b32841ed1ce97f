"""Bayramoglu, Kannala, Heikkilä, ICPR 2016: a multi-task network from scratch, magnification beside malignancy.

Layer sizes, optimiser and weights of the losses were not to be had; our reading: three blocks of convolution and
pooling (7 x 7, 5 x 5, 3 x 3), two fully connected layers, two softmax heads with equal weights. Crops have 224 px
instead of BreakHis' 700 x 460; the second head says the organ, since malignancy labels cannot be had.
"""

from __future__ import annotations

from torch import nn

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork, TwoHeads


def build(facts: Facts) -> SystemNetwork:
    """The network."""
    body = nn.Sequential(
        nn.Conv2d(3, 32, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Linear(96 * 36, 512), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5),
    )  # fmt: skip
    return TwoHeads(body, 512, facts)


SYSTEM = System(
    "bayramoglu",
    build,
    {"default": Schedule(1e-3, "cosine", weight_decay=5e-4)},
    "Bayramoglu et al. 2016, layer sizes and training are our reading; second head on organ instead of malignancy",
)
