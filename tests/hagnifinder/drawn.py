"""Pictures drawn for the tests: stained blobs of a known size, and files nobody should have sent."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hagnifinder.data.splits import Split, split_of


def draw_tissue(height_px: int, width_px: int, *, nucleus_px: float = 14.0, seed: int = 0) -> NDArray[np.uint8]:
    """Purple nuclei of this diameter on pink stroma, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    rgb = np.full((height_px, width_px, 3), (226, 160, 196), dtype=np.uint8)
    n = max(4, int(height_px * width_px / (nucleus_px * 2.2) ** 2))
    for y, x, turn in zip(
        rng.uniform(0, height_px, n), rng.uniform(0, width_px, n), rng.uniform(0, 180, n), strict=True
    ):
        axes = (max(1, round(nucleus_px / 2)), max(1, round(nucleus_px / 2.6)))
        cv2.ellipse(rgb, (int(x), int(y)), axes, float(turn), 0, 360, (92, 50, 130), -1)
    noise = rng.normal(0, 6, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def group_on(side: Split, number: int = 0) -> str:
    """The number-th made-up slide name whose group lies on this side of the data."""
    names = (f"drawn{i}" for i in range(10_000))
    return [name for name in names if split_of(f"Drawn/{name}") is side][number]


def write_data_folder(folder: Path, *, per_side: int = 2, side_px: int = 320) -> Path:
    """A small data set with a catalog: pictures of drawn tissue on every side of the split."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["path", "dataset", "mpp_um", "scale_quality", "stain", "kind", "slide_id"]
    with (folder / "catalog.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, fieldnames=columns)
        writer.writeheader()
        for side in Split:
            for number in range(per_side):
                name = f"{side}-{number}.png"
                pixels = draw_tissue(side_px, side_px, nucleus_px=24 / (1 + number), seed=number)
                Image.fromarray(pixels).save(folder / name)
                row = (name, "Drawn", 0.3 * (1 + number), "A", "H&E", "he", group_on(side, number))
                writer.writerow(dict(zip(columns, row, strict=True)))
    return folder
