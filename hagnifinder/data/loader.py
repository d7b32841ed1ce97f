"""Training crops at any scale from pictures of known scale, by shrinking only.

Every picture is kept as a pyramid of halved uint8 levels, so that a crop costs a small read and one resize however
large the picture is. A batch is a function of the seed and its number: a resumed run draws what an undisturbed one
does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hagnifinder.data.augment import augment
from hagnifinder.data.slides import SlideImage
from hagnifinder.errors import DataError
from hagnifinder.images import read_rgb
from hagnifinder.preprocess import MIN_DETAIL, MIN_TISSUE_SHARE, RgbImage, detail, pad_to_window, tissue_mask

FINEST_UM = 0.2
COARSEST_UM = 7.0
"""Range of pixel sizes that crops are drawn from, log-uniformly."""
MAX_ENLARGEMENT = 1.7
"""A publisher's enlargement that is imitated at the most; the geometric scale is the label all the same."""
ENLARGED_SHARE = 0.2
BALANCE = 0.4
"""0: every data set is drawn alike, however few its patients; 1: every patient is."""

_MASK_CELL_PX = 16
_MIN_SIDE_SHARE = 0.6
"""A source may fill this share of a crop's side; the rest is mirrored, as in prediction."""

Change = Callable[[RgbImage, np.random.Generator], RgbImage]

_KERNELS = ("area", "bilinear", "lanczos", "hamming")


@dataclass(frozen=True, slots=True)
class Pyramid:
    """One picture, cropped to its tissue, with its halved levels and a coarse map of its tissue."""

    levels: tuple[RgbImage, ...]
    mask: NDArray[np.float32]
    """Tissue per cell of 16 level-0 pixels, 0 to 1."""
    mpp_um: float
    group: str
    dataset: str

    @classmethod
    def of(cls, image: SlideImage, deepest: int = 5) -> Pyramid | None:
        """Read and halve a picture; None when it shows no tissue.

        Glass is cut away first: printed spot grids and fiducials lie on it, and they would give the scale away.
        """
        pixels = read_rgb(image.path)
        mask = tissue_mask(pixels, _MASK_CELL_PX)
        ys, xs = np.nonzero(mask > 0.5)
        if len(ys) == 0:
            return None
        y0, y1 = int(ys.min()), int(ys.max()) + 1
        x0, x1 = int(xs.min()), int(xs.max()) + 1
        cell = _MASK_CELL_PX
        level = np.ascontiguousarray(pixels[y0 * cell : y1 * cell, x0 * cell : x1 * cell])
        levels = [level]
        while len(levels) <= deepest and min(level.shape[:2]) >= 128:
            level = cv2.resize(level, (level.shape[1] // 2, level.shape[0] // 2), interpolation=cv2.INTER_AREA)
            levels.append(level)
        return cls(tuple(levels), mask[y0:y1, x0:x1], image.mpp_um, image.group, image.dataset)

    def reach_um(self, side_px: int) -> tuple[float, float]:
        """Finest and coarsest pixel size at which this picture fills a crop."""
        short_px = min(self.levels[0].shape[:2])
        return self.mpp_um, self.mpp_um * short_px / (side_px * _MIN_SIDE_SHARE)


def shrink(pixels: RgbImage, width_px: int, height_px: int, kernel: str) -> RgbImage:
    """Shrink with an antialiased kernel: "area", "bilinear", "lanczos", "hamming", or "bicubic" (kept for tests)."""
    if kernel == "area":
        shrunk: RgbImage = cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_AREA)
        return shrunk
    resampling = {
        "bilinear": Image.Resampling.BILINEAR,
        "lanczos": Image.Resampling.LANCZOS,
        "bicubic": Image.Resampling.BICUBIC,
        "hamming": Image.Resampling.HAMMING,
    }[kernel]
    return np.asarray(Image.fromarray(pixels).resize((width_px, height_px), resampling))


@dataclass(frozen=True, slots=True)
class Batch:
    """Crops with what is known of them.

    Attributes:
        crops: (B, S, S, 3) uint8.
        log2_mpp: (B,) float32, geometric.
        log2_enlargement: (B,) float32; 0 where no pixel was invented. Adding it to `log2_mpp` gives the pixel size the
            crop had before its enlargement, which bounds its detail.
        sources: (B,) int32, index of the picture it was cut from.
    """

    crops: RgbImage
    log2_mpp: NDArray[np.float32]
    log2_enlargement: NDArray[np.float32]
    sources: NDArray[np.int32]


class CropSampler:
    """Draws batches of augmented crops with their log2(mpp_um)."""

    def __init__(self, pyramids: Sequence[Pyramid], *, seed: int = 0, change: Change = augment) -> None:
        """Keep the pyramids.

        Args:
            pyramids: what crops are cut from.
            seed: of everything that is drawn.
            change: what is done to a crop before it is handed out; never its scale.

        Raises:
            DataError: when there are none.
        """
        if not pyramids:
            raise DataError("the training side of the data has no picture with tissue.")
        self.pyramids = list(pyramids)
        self.seed = seed
        self.change = change
        # Data sets alike first, then their patients, then a patient's pictures; all of it softened, so that one lone
        # picture is not shown thousands of times.
        pictures: dict[str, int] = {}
        datasets: dict[str, set[str]] = {}
        for pyramid in self.pyramids:
            pictures[pyramid.group] = pictures.get(pyramid.group, 0) + 1
            datasets.setdefault(pyramid.dataset, set()).add(pyramid.group)
        self._weights = np.array(
            [
                min(4.0, (p.levels[0].size / 3e6) ** 0.25)
                / (pictures[p.group] * len(datasets[p.dataset]) ** (1.0 - BALANCE))
                for p in self.pyramids
            ]
        )
        self._range = (math.log2(FINEST_UM), math.log2(COARSEST_UM))

    def batch(self, number: int, size: int, side_px: int) -> Batch:
        """Draw batch `number`, the same one on every call."""
        rng = np.random.default_rng([self.seed, number])
        low, high = self._range
        # One draw from each of `size` equal steps of the range: log-uniform in every single batch.
        targets = low + (high - low) * (rng.permutation(size) + rng.random(size)) / size
        crops = np.empty((size, side_px, side_px, 3), dtype=np.uint8)
        labels = np.empty(size, dtype=np.float32)
        enlargements = np.empty(size, dtype=np.float32)
        sources = np.empty(size, dtype=np.int32)
        for i, wanted in enumerate(targets):
            crops[i], labels[i], enlargements[i], sources[i] = self._draw(float(2.0**wanted), side_px, rng)
        return Batch(crops, labels, enlargements, sources)

    def _draw(self, wanted_um: float, side_px: int, rng: np.random.Generator) -> tuple[RgbImage, float, float, int]:
        enlargement = float(rng.uniform(1.0, MAX_ENLARGEMENT)) if rng.random() < ENLARGED_SHARE else 1.0
        wanted_um *= enlargement
        small_px = side_px if enlargement == 1.0 else max(1, round(side_px / enlargement))
        reach = np.array([p.reach_um(small_px) for p in self.pyramids])
        fits = (reach[:, 0] <= wanted_um) & (wanted_um <= reach[:, 1])
        if not fits.any():
            # Small sets leave gaps in the range: take the picture that comes nearest, at the scale it can show.
            away = np.maximum(reach[:, 0] / wanted_um, wanted_um / reach[:, 1])
            nearest = int(away.argmin())
            wanted_um = float(np.clip(wanted_um, reach[nearest, 0], max(reach[nearest, 0], reach[nearest, 1])))
            fits[nearest] = True
        weights = np.where(fits, self._weights, 0.0)
        source = int(rng.choice(len(weights), p=weights / weights.sum()))
        pyramid = self.pyramids[source]
        for _ in range(12):
            crop, mpp_um, share = self._cut(pyramid, wanted_um, small_px, rng)
            # Stained glass with a printed grid on it passes for tissue by colour, not by detail.
            if share >= MIN_TISSUE_SHARE and detail(crop) >= MIN_DETAIL:
                break
        if small_px != side_px:
            kernel = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)[int(rng.integers(3))]
            crop = np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=kernel), dtype=np.uint8)
        return self.change(crop, rng), math.log2(mpp_um * small_px / side_px), math.log2(side_px / small_px), source

    def _cut(
        self, pyramid: Pyramid, wanted_um: float, side_px: int, rng: np.random.Generator
    ) -> tuple[RgbImage, float, float]:
        full_width = pyramid.levels[0].shape[1]
        ratio = max(1.0, wanted_um / pyramid.mpp_um)
        depth = min(len(pyramid.levels) - 1, int(math.log2(ratio) + 1e-9))
        # One level finer than needed half of the time: the kernel then has something to do.
        if depth > 0 and rng.random() < 0.5:
            depth -= 1
        level = pyramid.levels[depth]
        rest = ratio / 2**depth
        height = min(round(side_px * rest), level.shape[0])
        width = min(round(side_px * rest), level.shape[1])
        y = int(rng.integers(0, level.shape[0] - height + 1))
        x = int(rng.integers(0, level.shape[1] - width + 1))
        cell = _MASK_CELL_PX / 2**depth
        part = pyramid.mask[
            int(y / cell) : max(int(y / cell) + 1, math.ceil((y + height) / cell)),
            int(x / cell) : max(int(x / cell) + 1, math.ceil((x + width) / cell)),
        ]
        share = float(part.mean()) if part.size else 0.0
        crop = level[y : y + height, x : x + width]
        if rest > 1.0 + 1e-6:
            crop = shrink(
                np.ascontiguousarray(crop),
                max(1, round(width / rest)),
                max(1, round(height / rest)),
                _KERNELS[int(rng.integers(len(_KERNELS)))],
            )
        # What the pixels are, not what was asked for: sides are whole pixels.
        mpp_um = pyramid.mpp_um * (full_width / level.shape[1]) * (width / crop.shape[1])
        return pad_to_window(np.ascontiguousarray(crop), side_px)[:side_px, :side_px], mpp_um, share
