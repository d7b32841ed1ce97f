"""From a picture to the windows the network sees. Written once: training, calibration and prediction all come here.

A window is (224, 224, 3) uint8 RGB in native pixels; nothing is ever enlarged, since that would invent a pixel size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

RgbImage = NDArray[np.uint8]

WINDOW_PX = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Channel statistics the first published code normalises with, on a 0 to 1 scale."""

TISSUE_CHROMA = 0.15
"""Natural logarithm of the strongest over the weakest channel from which a smoothed pixel counts as stained."""
MIN_DETAIL = 7.0
"""Standard deviation of grey levels below which a window shows nothing whose size could be told, 0 to 255."""
MIN_TISSUE_SHARE = 0.4
"""A window with less stained area is not used while a better one exists."""


def tissue_mask(rgb: RgbImage, cell_px: int = 8) -> NDArray[np.float32]:
    """Share of stained area on a coarse grid.

    Colour decides, not darkness: glass may be grey in a photograph, stained tissue never is.

    Args:
        rgb: (H, W, 3) uint8.
        cell_px: side of one grid cell in pixels.

    Returns:
        (ceil(H / cell_px), ceil(W / cell_px)) float32, 0 for glass and 1 for tissue.
    """
    height, width = rgb.shape[:2]
    rows, columns = -(-height // cell_px), -(-width // cell_px)
    # Two steps: colour noise of single pixels is averaged away first, then the verdicts are.
    fine = cv2.resize(rgb, (max(1, columns * 2), max(1, rows * 2)), interpolation=cv2.INTER_AREA)
    strongest = fine.max(axis=2).astype(np.float32) + 1.0
    weakest = fine.min(axis=2).astype(np.float32) + 1.0
    stained = (strongest > np.float32(np.exp(TISSUE_CHROMA)) * weakest).astype(np.float32)
    mask: NDArray[np.float32] = cv2.resize(stained, (columns, rows), interpolation=cv2.INTER_AREA)
    return mask


def tissue_share(rgb: RgbImage) -> float:
    """Share of a picture's area that is stained, 0 to 1."""
    return float(tissue_mask(rgb).mean())


def detail(rgb: RgbImage) -> float:
    """Standard deviation of the grey levels of a picture, 0 to 127."""
    return float(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).std())


def pad_to_window(rgb: RgbImage, window_px: int = WINDOW_PX) -> RgbImage:
    """Mirror a smaller picture at its edges until it fills a window; larger sides are left alone.

    Mirroring keeps the size of everything in it, which resizing would not.
    """
    height, width = rgb.shape[:2]
    missing_y, missing_x = max(0, window_px - height), max(0, window_px - width)
    if not (missing_y or missing_x):
        return rgb
    top, left = missing_y // 2, missing_x // 2
    padded: RgbImage = np.pad(rgb, ((top, missing_y - top), (left, missing_x - left), (0, 0)), mode="symmetric")
    return padded


def cut_windows(rgb: RgbImage, max_windows: int, window_px: int = WINDOW_PX) -> list[RgbImage]:
    """Cut the windows of a picture that hold the most tissue, from a regular grid.

    Args:
        rgb: (H, W, 3) uint8, any size.
        max_windows: at most so many come back; at least one does.
        window_px: side of a window.

    Returns:
        (window_px, window_px, 3) uint8 windows, in reading order.
    """
    padded = pad_to_window(rgb, window_px)
    height, width = padded.shape[:2]
    side = max(1, round(max_windows**0.5)) * 2
    # Three quarters of a window apart at the least: closer ones show the same cells again.
    ys = _starts(height, window_px, side)
    xs = _starts(width, window_px, side)
    cell_px = 8
    mask = tissue_mask(padded, cell_px)
    span = window_px // cell_px

    def share(y: int, x: int) -> float:
        return float(mask[y // cell_px : y // cell_px + span, x // cell_px : x // cell_px + span].mean())

    ranked = sorted(((y, x) for y in ys for x in xs), key=lambda at: (-round(share(*at), 3), at))
    full = [at for at in ranked if share(*at) >= MIN_TISSUE_SHARE]
    if len(full) > max_windows:
        # All are full of tissue: spread over the picture instead of crowding where it is pinkest.
        full = sorted(full)
        full = [full[round(i * (len(full) - 1) / max(1, max_windows - 1))] for i in range(max_windows)]
    chosen = sorted(set(full or ranked[:1]))
    return [np.ascontiguousarray(padded[y : y + window_px, x : x + window_px]) for y, x in chosen]


def _starts(length_px: int, window_px: int, most: int) -> list[int]:
    room = length_px - window_px
    n = min(most, 1 + -(-room // (window_px * 3 // 4)))
    return sorted({round(i * room / max(1, n - 1)) for i in range(n)})


def normalise(windows: torch.Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> torch.Tensor:
    """Turn uint8 windows into the network's input.

    Args:
        windows: (B, S, S, 3) uint8.
        mean, std: of the network's choice, on a 0 to 1 scale.

    Returns:
        (B, 3, S, S) float32 in channels-last memory, each channel less its mean over its deviation.
    """
    import torch

    middle = torch.tensor(mean, device=windows.device) * 255.0
    spread = torch.tensor(std, device=windows.device) * 255.0
    # (B, S, S, 3) read as (B, 3, S, S) already is channels-last: no copy.
    return ((windows.float() - middle) / spread).permute(0, 3, 1, 2)
