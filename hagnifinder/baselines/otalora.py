"""Otálora, Atzori, Andrearczyk, Müller, COMPAY 2018: magnification and nuclear area, each by a DenseNet-BC121, blended.

One network regresses the magnification, another the mean area of the nuclei in the crop; an area is turned into a
magnification by the line that fits both in the logarithm, and the two are blended by least squares, both on the
calibration patients. Their nuclei were marked by hand; ours come from colour deconvolution and Otsu's threshold, then
as in their follow-up's code: closing 2 x 2, nothing that touches the border, at least 3 px. Both losses are mean
squares, as in that code, of numbers divided by 40x and 1,000 px. DenseNet121's ImageNet weights are not to be had:
from scratch.

`otalora-shallow` is the follow-up's shallow network (Graziani et al., Mach Learn Knowl Extr 3(2):525-541, 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision import models

from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork
from hagnifinder.data.augment import UNMIX
from hagnifinder.data.batches import PatchBatch
from hagnifinder.preprocess import RgbImage

_UNIT_X, _UNIT_PX2 = 40.0, 1000.0
_MIN_AREA_PX = 3
_CRUMB = 6.0


def nuclei_mask(rgb: RgbImage) -> RgbImage:
    """Haematoxylin by colour deconvolution, Otsu's threshold, closing 2 x 2: (H, W) uint8, 1 for nuclei.

    The stain is smoothed a little first: chromatin would break a nucleus into crumbs.
    """
    density = -np.log((rgb.astype(np.float32) + 1.0) / 256.0)
    stain = np.clip(density @ UNMIX[:, 0], 0.0, None)
    smooth = cv2.GaussianBlur(stain, (0, 0), 1.0)
    top = float(np.percentile(smooth, 99.5))
    if top <= 1e-3:
        return np.zeros(rgb.shape[:2], dtype=np.uint8)
    levels = np.clip(smooth / top * 255.0, 0, 255).astype(np.uint8)
    _, mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((2, 2), np.uint8)), dtype=np.uint8)


def nuclear_areas_px2(rgb: RgbImage) -> NDArray[np.float64]:
    """Areas of the nuclei that lie wholly in a crop, in square pixels; (n,) float64.

    A mask by threshold leaves crumbs of chromatin that hand-made marks have not: what is smaller than a sixth of the
    mean, every region counting by its area, is none.
    """
    mask = nuclei_mask(rgb)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    x, y, w, h, area = stats[1:, :5].T
    inside = (x > 0) & (y > 0) & (x + w < mask.shape[1]) & (y + h < mask.shape[0]) & (area >= _MIN_AREA_PX)
    found: NDArray[np.float64] = area[inside].astype(np.float64)
    if len(found):
        found = found[found >= (found**2).sum() / found.sum() / _CRUMB]
    return found


def nuclear_area_px2(rgb: RgbImage) -> float:
    """Mean of `nuclear_areas_px2`; not a number when there is none."""
    areas = nuclear_areas_px2(rgb)
    return float(areas.mean()) if len(areas) else float("nan")


class TwoRegressors(SystemNetwork):
    """Magnification and nuclear area by a network each; (B, 2) outputs in units of 40x and 1,000 px."""

    line: Tensor
    blend: Tensor

    def __init__(self, facts: Facts, body: Callable[[], tuple[nn.Module, int]]) -> None:
        super().__init__()
        heads = []
        for _ in range(2):
            features, n_features = body()
            heads.append(nn.Sequential(features, nn.Linear(n_features, 1)))
        self.by_magnification, self.by_area = heads
        # ln m = line[0] + line[1] * ln area; before it is fitted: 914 px at 40x, 21 px at 5x, as they found.
        self.register_buffer("line", torch.tensor([float(np.log(40.0) - 0.5525 * np.log(913.82)), 0.5525]))
        self.register_buffer("blend", torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2): magnification, area."""
        return torch.cat([self.by_magnification(x), self.by_area(x)], dim=1)

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Mean squares of both; the networks share nothing, so that the sum trains each by its own."""
        loss = nn.functional.mse_loss(outputs[:, 0], batch.level_x / _UNIT_X)
        areas = [nuclear_area_px2(crop) for crop in batch.crops.cpu().numpy()]
        truth = torch.tensor(areas, dtype=torch.float32, device=outputs.device) / _UNIT_PX2
        known = torch.isfinite(truth)
        if bool(known.any()):
            loss = loss + nn.functional.mse_loss(outputs[known, 1], truth[known])
        return loss

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The blend of both."""
        return self.blend[0] * outputs[:, 0] * _UNIT_X + self.blend[1] * self._from_area(outputs) + self.blend[2]

    def fit(self, outputs: Tensor, level_x: Tensor) -> None:
        """The line from area to magnification, then the blend: least squares on the calibration side."""
        with torch.no_grad():
            area = self._log_area(outputs).double()
            if float(area.std(unbiased=False)) > 1e-6:
                x = torch.stack([torch.ones_like(area), area], dim=1)
                self.line.copy_(torch.linalg.lstsq(x, level_x.double().log()[:, None]).solution[:, 0])
            parts = [outputs[:, 0] * _UNIT_X, self._from_area(outputs), torch.ones(len(outputs), device=outputs.device)]
            design, wanted = torch.stack(parts, dim=1).double(), level_x.double()
            # A little ridge: after two steps of training both regressors say nearly the same of everything.
            normal = design.T @ design + 1e-3 * len(design) * torch.eye(3, dtype=torch.float64, device=design.device)
            self.blend.copy_(torch.linalg.solve(normal, design.T @ wanted))

    def _log_area(self, outputs: Tensor) -> Tensor:
        return (outputs[:, 1] * _UNIT_PX2).clamp(float(_MIN_AREA_PX), 50_000.0).log()

    def _from_area(self, outputs: Tensor) -> Tensor:
        return (self.line[0] + self.line[1] * self._log_area(outputs)).clamp(-2.0, 5.0).exp()


def _densenet() -> tuple[nn.Module, int]:
    network = models.densenet121(weights=None)
    n_features = cast(int, network.classifier.in_features)
    network.classifier = nn.Identity()
    return network, n_features


def _shallow() -> tuple[nn.Module, int]:
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        ]  # fmt: skip
    # The flattened 28 x 28 x 32 of their 224 px inputs.
    layers += [nn.Flatten(), nn.Linear(32 * 28 * 28, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.25)]
    return nn.Sequential(*layers), 128


_ARMS = {"default": Schedule(1e-4, "constant", epochs=5)}
SYSTEM = System(
    "otalora",
    partial(TwoRegressors, body=_densenet),
    _ARMS,
    "Otálora et al. 2018, two DenseNet-BC121 and their blend; nuclei by colour deconvolution instead of by hand",
)
SHALLOW = System(
    "otalora-shallow",
    partial(TwoRegressors, body=_shallow),
    _ARMS,
    "the shallow network of the follow-up of Otálora et al., magnification and nuclear area blended alike",
)
