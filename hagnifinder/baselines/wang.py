"""Wang, Ruan, He, Wu et al., ICPR 2018: a light AlexNet with two heads, magnification and HER2 score.

No copy of the text was to be had: the paper by Zhang et al. calls it a light multi-task network after AlexNet. Our
reading: AlexNet's five convolutions at a quarter of their width, global pooling instead of its large layers, two heads.
HER2 scores belong to another stain and cannot be had: the second head says the organ.
"""

from __future__ import annotations

from torch import nn

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork, TwoHeads


def build(facts: Facts) -> SystemNetwork:
    """The network."""
    body = nn.Sequential(
        nn.Conv2d(3, 16, 11, stride=4, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 48, 5, padding=2), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(48, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU(),
        nn.Conv2d(96, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5),
    )  # fmt: skip
    return TwoHeads(body, 128, facts)


SYSTEM = System(
    "wang",
    build,
    {"default": Schedule(1e-3, "cosine", weight_decay=5e-4)},
    "Wang et al. 2018, layer sizes and training are our reading; second head on organ instead of HER2 score",
)
