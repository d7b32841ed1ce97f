"""224 px of a patch: as the paper cuts and turns them, without the black corners, zoomed, and from the middle.

Every function takes a patch of at least 224 px and gives the crop and how much it was enlarged: the magnification of
the crop is the patch's times that.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from hagnifinder.data.augment import recompress
from hagnifinder.preprocess import WINDOW_PX, RgbImage, pad_to_window

Crop = Callable[[RgbImage, np.random.Generator], tuple[RgbImage, float]]

_BLOCK_PX = 28


def paper_crop(patch: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, float]:
    """The first code's order: turned by -90 to 90 degrees on black, nearest pixel; flips; then a random crop.

    The paper says 0 to 90 degrees. How much black a crop shows depends on the size of the patch, and so on its level: a
    leak of the training that is kept here on purpose, and left out of `plain_crop`.
    """
    height, width = patch.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), float(rng.uniform(-90.0, 90.0)), 1.0)
    turned = np.asarray(cv2.warpAffine(patch, turn, (width, height), flags=cv2.INTER_NEAREST), dtype=np.uint8)
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    if rng.random() < 0.5:
        turned = turned[::-1]
    return _at_random(turned, WINDOW_PX, rng), 1.0


def plain_crop(patch: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, float]:
    """A random crop in one of its eight orientations: no pixel is invented."""
    return _oriented(_at_random(patch, WINDOW_PX, rng), rng), 1.0


def zoomed_crop(patch: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, float]:
    """Multi_Scale_Tools: half of the crops are zoomed by a continuous factor; hue, saturation and brightness vary.

    The factor's range, 2/3 to 1.5 as far as the patch reaches, and the strength of the colour are our reading.
    """
    zoom = 1.0
    crop = patch
    if rng.random() < 0.5:
        least = max(2.0 / 3.0, WINDOW_PX / min(patch.shape[:2]))
        zoom = float(np.exp(rng.uniform(np.log(least), np.log(1.5))))
    side = min(round(WINDOW_PX / zoom), min(patch.shape[:2]))
    crop = _at_random(patch, side, rng)
    if side != WINDOW_PX:
        kernel = cv2.INTER_AREA if side > WINDOW_PX else cv2.INTER_CUBIC
        crop = np.asarray(cv2.resize(crop, (WINDOW_PX, WINDOW_PX), interpolation=kernel), dtype=np.uint8)
    hsv = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-8.0, 8.0)) % 180.0
    hsv[..., 1:] *= rng.uniform(0.8, 1.2, 2).astype(np.float32)
    coloured = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return _oriented(np.asarray(coloured, dtype=np.uint8), rng), WINDOW_PX / side


def centre_crop(patch: RgbImage, rng: np.random.Generator | None = None) -> tuple[RgbImage, float]:
    """The middle, in native pixels: what every system is tested on."""
    patch = pad_to_window(patch)
    top, left = (patch.shape[0] - WINDOW_PX) // 2, (patch.shape[1] - WINDOW_PX) // 2
    return np.ascontiguousarray(patch[top : top + WINDOW_PX, left : left + WINDOW_PX]), 1.0


def stripped_crop(patch: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, float]:
    """The middle without the cues of how it was made: P4 of the protocols.

    Resized by up to 20 % either way with bicubic, which shrank no training patch; blurred, so that all levels have a
    similar cut-off; JPEG 50 to 95 with its grid at a random place. The label follows the resizing.
    """
    side = min(patch.shape[:2])
    least = max(1.0 / 1.2, WINDOW_PX / side)
    ratio = float(np.exp(rng.uniform(np.log(least), np.log(1.2))))
    resized_px = max(WINDOW_PX, round(side * ratio))
    resized = np.asarray(cv2.resize(patch[:side, :side], (resized_px, resized_px), interpolation=cv2.INTER_CUBIC))
    soft = np.asarray(cv2.GaussianBlur(resized, (0, 0), float(rng.uniform(0.8, 1.6))), dtype=np.uint8)
    coded = recompress(soft, int(rng.integers(50, 96)), int(rng.integers(8)), int(rng.integers(8)))
    return centre_crop(coded)[0], resized_px / side


def shuffled_crop(patch: RgbImage, rng: np.random.Generator) -> tuple[RgbImage, float]:
    """The middle with its blocks of 28 px in another order: texture and optics stay, tissue does not."""
    crop, _ = centre_crop(patch)
    n = WINDOW_PX // _BLOCK_PX
    blocks = crop.reshape(n, _BLOCK_PX, n, _BLOCK_PX, 3).swapaxes(1, 2).reshape(n * n, _BLOCK_PX, _BLOCK_PX, 3)
    mixed = blocks[rng.permutation(n * n)].reshape(n, n, _BLOCK_PX, _BLOCK_PX, 3).swapaxes(1, 2)
    return np.ascontiguousarray(mixed.reshape(WINDOW_PX, WINDOW_PX, 3)), 1.0


def _at_random(patch: RgbImage, side: int, rng: np.random.Generator) -> RgbImage:
    top = int(rng.integers(0, patch.shape[0] - side + 1))
    left = int(rng.integers(0, patch.shape[1] - side + 1))
    return np.ascontiguousarray(patch[top : top + side, left : left + side])


def _oriented(crop: RgbImage, rng: np.random.Generator) -> RgbImage:
    turned = np.rot90(crop, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)
