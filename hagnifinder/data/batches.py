"""Batches of crops of a built data set. Batch n is a function of the seed and n; threads read ahead of the network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hagnifinder.data.crops import Crop
from hagnifinder.data.patches import Patch, read_patch
from hagnifinder.preprocess import WINDOW_PX, RgbImage


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Crops with what the systems are asked for.

    Attributes:
        crops: (B, 224, 224, 3) uint8.
        level_x: (B,) float32, nominal magnification of the crop, zooms included.
        level: (B,) int64, index of the patch's own level.
        organ: (B,) int64, index of the organ; -1 where it is not known.
    """

    crops: Tensor
    level_x: Tensor
    level: Tensor
    organ: Tensor

    def to(self, device: torch.device) -> PatchBatch:
        """The same on a device."""
        return PatchBatch(self.crops.to(device), self.level_x.to(device), self.level.to(device), self.organ.to(device))


class PatchSampler:
    """Draws batches from the patches of one side."""

    def __init__(
        self,
        folder: Path,
        patches: Sequence[Patch],
        levels_x: Sequence[float],
        organs: Sequence[str],
        crop: Crop,
        *,
        seed: int = 0,
        balanced: bool = False,
    ) -> None:
        """Keep the patches; with `balanced`, every level is drawn alike instead of every patch once an epoch."""
        self.folder, self.patches, self.crop, self.seed = folder, list(patches), crop, seed
        self._level_x = np.array([p.level_x for p in patches], dtype=np.float32)
        of_level = {x: i for i, x in enumerate(levels_x)}
        of_organ = {name: i for i, name in enumerate(organs)}
        self._level = np.array([of_level[p.level_x] for p in patches], dtype=np.int64)
        self._organ = np.array([of_organ.get(p.organ, -1) for p in patches], dtype=np.int64)
        self._weights: NDArray[np.float64] | None = None
        if balanced:
            counts = np.bincount(self._level, minlength=len(levels_x))
            weights = 1.0 / counts[self._level]
            self._weights = weights / weights.sum()

    def batch(self, number: int, size: int) -> PatchBatch:
        """Draw batch `number`, the same one on every call.

        Raises:
            DataError: when a patch is gone or damaged.
        """
        chosen = self._chosen(number, size)
        crops = np.empty((size, WINDOW_PX, WINDOW_PX, 3), dtype=np.uint8)
        zooms = np.ones(size, dtype=np.float32)
        for i, index in enumerate(chosen):
            pixels = read_patch(self.folder, self.patches[index])
            crops[i], zooms[i] = self.crop(pixels, np.random.default_rng([self.seed, number, i]))
        return PatchBatch(
            torch.from_numpy(crops),
            torch.from_numpy(self._level_x[chosen] * zooms),
            torch.from_numpy(self._level[chosen]),
            torch.from_numpy(self._organ[chosen]),
        )

    def _chosen(self, number: int, size: int) -> NDArray[np.int64]:
        n = len(self.patches)
        if self._weights is not None:
            rng = np.random.default_rng([self.seed, 1, number])
            return rng.choice(n, size, p=self._weights)
        found = np.empty(size, dtype=np.int64)
        at, filled = number * size, 0
        while filled < size:
            epoch, place = divmod(at + filled, n)
            order = np.random.default_rng([self.seed, 2, epoch]).permutation(n)
            part = order[place : place + size - filled]
            found[filled : filled + len(part)] = part
            filled += len(part)
        return found


class ReadAhead:
    """The batches of a sampler, prepared by threads a little before they are asked for."""

    def __init__(self, sampler: PatchSampler, size: int, last: int, threads: int = 1) -> None:
        self.sampler, self.size, self.last = sampler, size, last
        self._ahead = 2 * threads
        self._pool = ThreadPoolExecutor(threads)
        self._waiting: dict[int, Future[PatchBatch]] = {}

    def batch(self, number: int) -> PatchBatch:
        """Batch `number`; the next ones are begun.

        Raises:
            DataError: when a patch is gone or damaged.
        """
        for n in range(number, min(number + 1 + self._ahead, max(self.last, number + 1))):
            if n not in self._waiting:
                self._waiting[n] = self._pool.submit(self.sampler.batch, n, self.size)
        return self._waiting.pop(number).result()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)


def read_crops(
    folder: Path, patches: Sequence[Patch], crop: Crop, seed: int = 0
) -> tuple[RgbImage, NDArray[np.float64]]:
    """One crop of each patch, (n, 224, 224, 3) uint8, and how much it was enlarged, (n,).

    Chance depends on the seed and the patch's own name: another choice of patches changes none of them.
    """
    crops = np.empty((len(patches), WINDOW_PX, WINDOW_PX, 3), dtype=np.uint8)
    zooms = np.ones(len(patches))
    for i, patch in enumerate(patches):
        rng = np.random.default_rng([seed, *patch.path.encode()])
        crops[i], zooms[i] = crop(read_patch(folder, patch), rng)
    return crops, zooms
