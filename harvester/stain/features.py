"""Numbers that describe a panel: its colours as a stain mixture, its texture and its layout.

They are measured on a copy shrunk to `WORK_PX`, so that they mean nearly the same for a panel of 300 px and one of
5,000 px. The hue of an optical density follows J. A. van der Laak et al., "Hue-saturation-density (HSD) model for stain
recognition in digital images from transmitted light microscopy", Cytometry 39 (2000) 275-284; the two extreme stain
directions follow M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage
from harvester.stain.deconvolve import extremes, optical_density, separate_stains

WORK_PX = 320
"""Longer side of the copy that is measured, in pixels."""

Features = NDArray[np.float32]

SAMPLE_PX = 10_000
"""Pixels, on a regular grid, that stand for the colours of the copy."""

_PLANE = np.array([[2 / 3, -1 / 3, -1 / 3], [0.0, 1 / np.sqrt(3), -1 / np.sqrt(3)]], dtype=np.float32)


def shrink(pixels: RgbImage, longest_px: int = WORK_PX) -> RgbImage:
    """Return the picture (h, w, 3) with its longer side at most `longest_px`, by area averaging."""
    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1.0:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def trim_plain_edges(pixels: RgbImage) -> RgbImage:
    """Return the picture without edge rows and columns of one plain colour (frames, paper); at most 30 % a side."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    top, bottom = _plain_ends(grey.std(axis=1))
    left, right = _plain_ends(grey[top : grey.shape[0] - bottom].std(axis=0))
    return np.ascontiguousarray(pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right])


def _plain_ends(spread: NDArray[np.float32]) -> tuple[int, int]:
    busy = np.flatnonzero(spread > 3.0)
    if busy.size == 0:
        return 0, 0
    most = int(0.3 * spread.size)
    return min(int(busy[0]), most), min(spread.size - 1 - int(busy[-1]), most)


def describe(pixels: RgbImage) -> Features:
    """Return (N_FEATURES,) float32, finite, for a picture of any size from 1 x 1 px."""
    small = trim_plain_edges(shrink(pixels))
    if min(small.shape[:2]) < 24:
        height, width = small.shape[:2]
        small = cv2.resize(small, (max(24, width), max(24, height)), interpolation=cv2.INTER_NEAREST)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    step = max(1, round(float(np.sqrt(small.shape[0] * small.shape[1] / SAMPLE_PX))))
    sample = np.ascontiguousarray(small[::step, ::step])
    parts = (_colour(sample, lab[::step, ::step]), _stain(sample), _texture(small, lab), _layout(small, lab))
    return np.nan_to_num(np.concatenate(parts).astype(np.float32), nan=0.0, posinf=1e3, neginf=-1e3)


def _colour(small: RgbImage, lab: NDArray[np.float32]) -> list[float]:
    """Return how light, how coloured, which hues, and how the colour goes with the lightness."""
    out: list[float] = []
    flat = lab.reshape(-1, 3)
    light, green_red, blue_yellow = flat[:, 0], flat[:, 1], flat[:, 2]
    for channel in map(np.ascontiguousarray, (light, green_red, blue_yellow)):
        out += [float(v) for v in np.percentile(channel, [2, 10, 25, 50, 75, 90, 98])]
        out.append(float(channel.std()))
    chroma = np.hypot(green_red, blue_yellow)
    out += [float(v) for v in np.percentile(chroma, [10, 50, 90, 98])]
    out += [_share(chroma < t) for t in (3.0, 6.0, 12.0)]
    out += [_share(light > 97), _share(light > 88), _share(light < 10), _share(light < 25)]
    # in H&E the dark is blue to purple and the light is pink: mean colour in five bands of lightness
    order = np.argsort(light, kind="stable")
    for band in np.array_split(order, 5):
        out += [float(green_red[band].mean()), float(blue_yellow[band].mean())]
    coloured = chroma > 6.0
    hue = np.arctan2(blue_yellow, green_red)[coloured]
    weight = chroma[coloured]
    counts = np.histogram(hue, bins=18, range=(-np.pi, np.pi), weights=weight)[0]
    out += [float(v) for v in counts / max(float(counts.sum()), 1e-6)]
    out.append(_share(coloured))
    # a trace of noise keeps the correlation of a plain picture defined
    stacked = np.atleast_2d(np.corrcoef(flat.T + np.random.default_rng(0).normal(0, 1e-3, flat.T.shape)))
    out += [float(stacked[0, 1]), float(stacked[0, 2]), float(stacked[1, 2])]
    codes = (small >> 4).reshape(-1, 3).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    shares = np.sort(np.bincount(codes, minlength=4096))[::-1] / codes.size
    out += [float(shares[0]), float(shares[:4].sum()), float(shares[:16].sum())]
    out.append(float(np.log1p(np.searchsorted(np.cumsum(shares), 0.95))))
    present = shares[shares > 0]
    out.append(float(-(present * np.log2(present)).sum()))
    return out


def _stain(small: RgbImage) -> list[float]:
    """Return the picture as a mixture of stains: hue of the density, amounts of H, E and DAB, extreme directions."""
    out: list[float] = []
    density = optical_density(small).reshape(-1, 3)
    total = density @ np.full(3, 1 / 3, dtype=np.float32)
    stained = (total > 0.06) & (total < 1.6)
    out.append(_share(stained))
    kept = density[stained] if np.count_nonzero(stained) > 32 else density
    mean = np.maximum(kept @ np.full(3, 1 / 3, dtype=np.float32), 1e-3)
    plane = (kept / mean[:, None] / 3.0) @ _PLANE.T
    hue, saturation = np.arctan2(plane[:, 1], plane[:, 0]), np.hypot(plane[:, 0], plane[:, 1])
    counts = np.histogram(hue, bins=24, range=(-np.pi, np.pi), weights=saturation * mean)[0]
    out += [float(v) for v in counts / max(float(counts.sum()), 1e-6)]
    out += [float(v) for v in np.percentile(saturation, [10, 50, 90])]
    out += [float(v) for v in np.percentile(mean, [10, 50, 90])]
    # hue of the weakest, middle and densest third: counterstain against stain
    order = np.argsort(mean, kind="stable")
    for band in np.array_split(order, 3):
        out += [float(plane[band, 0].mean()), float(plane[band, 1].mean())]
    amounts = separate_stains(small).reshape(-1, 3)[stained if np.count_nonzero(stained) > 32 else slice(None)]
    for k in range(3):
        out += [float(v) for v in np.percentile(amounts[:, k], [10, 50, 90])]
    positive = np.maximum(amounts, 0.0)
    share = positive / np.maximum(positive @ np.ones((3, 1), dtype=np.float32), 1e-3)
    out += [float(v) for v in share.mean(axis=0)]
    out += [_share(share[:, k] > 0.6) for k in range(3)]
    values, vectors = np.linalg.eigh(np.cov(kept.T) + 1e-6 * np.eye(3))
    out += [float(values[0] / values[2]), float(values[1] / values[2]), float(np.log(values[2]))]
    basis = vectors[:, [2, 1]] * np.where(vectors[:, [2, 1]].sum(axis=0) < 0, -1.0, 1.0)
    projected = kept @ basis
    angle = np.arctan2(projected[:, 1], projected[:, 0])
    for extreme in np.percentile(angle, [2, 98]):
        direction = basis @ np.array([np.cos(extreme), np.sin(extreme)])
        out += [float(v) for v in direction / max(float(np.linalg.norm(direction)), 1e-6)]
    out.append(float(np.ptp(np.percentile(angle, [2, 98]))))
    return out


def _texture(small: RgbImage, lab: NDArray[np.float32]) -> list[float]:
    """Return energy per octave in lightness and colour, edges, flatness, entropy, dark blobs."""
    out: list[float] = []
    bands = []
    level = lab
    for _ in range(5):
        coarser = cv2.GaussianBlur(level, (5, 5), 1.2)
        bands.append(level - coarser)
        level = coarser if min(coarser.shape[:2]) < 8 else np.ascontiguousarray(coarser[::2, ::2])
    energy = np.array([_mean_and_spread(band)[1] for band in bands])
    out += [float(v) for v in np.log(energy[:, 0] + 0.05)]
    colour_energy = np.hypot(energy[:, 1], energy[:, 2])
    out += [float(v) for v in np.log(colour_energy + 0.05)]
    out += [float(v) for v in energy[:, 0] / max(float(energy[:, 0].sum()), 1e-3)]
    out += [float(v) for v in colour_energy / (energy[:, 0] + 0.2)]
    for band in (bands[1], bands[2]):
        flat = band.reshape(-1, 3)
        flat = flat[:: max(1, flat.shape[0] // SAMPLE_PX)]
        norm = np.maximum(_mean_and_spread(band)[1], 0.05)
        unit = np.ascontiguousarray(flat[:, 0]) / norm[0]
        out += [float(unit @ flat[:, k]) / (unit.size * norm[k]) for k in (1, 2)]
        square = unit * unit
        out.append(float((square * unit).mean()))
        out.append(float(min((square * square).mean(), 60.0)))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    # whole numbers until the last step: sums of floats end differently with the place of the array in memory, and a
    # share of pixels beyond a threshold would then differ from run to run
    gx = cv2.Sobel(grey, cv2.CV_16S, 1, 0).astype(np.int32)
    gy = cv2.Sobel(grey, cv2.CV_16S, 0, 1).astype(np.int32)
    squared = gx * gx + gy * gy
    out += [_share(squared > t * t) for t in (8, 24, 60, 150, 300)]
    strong = squared > 60 * 60
    along = np.maximum(np.abs(gx), np.abs(gy))[strong]
    across = np.minimum(np.abs(gx), np.abs(gy))[strong]
    out.append(_share(100 * across < 8 * along) if along.size > 30 else 0.0)
    total = cv2.boxFilter(grey, cv2.CV_32S, (5, 5), normalize=False).astype(np.int64)
    total_of_squares = cv2.sqrBoxFilter(grey, cv2.CV_64F, (5, 5), normalize=False).astype(np.int64)
    spread = np.sqrt(25 * total_of_squares - total * total) / 25.0
    out += [float(v) for v in np.percentile(spread[::2, ::2], [10, 25, 50, 75, 90])]
    out += [_share(spread < t) for t in (0.7, 2.0, 5.0)]
    histogram = np.bincount(grey.ravel() >> 2, minlength=64) / grey.size
    present = histogram[histogram > 0]
    out.append(float(-(present * np.log2(present)).sum()))
    # dark blobs (nuclei): how many, how large, how round, at the scale of the copy
    local = cv2.blur(grey, (31, 31)).astype(np.int16)
    dark = (grey.astype(np.int16) < local - 14).astype(np.uint8)
    n, _, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA] if n > 1 else np.zeros(0, dtype=np.int32)
    large = areas >= 6
    box = np.maximum(stats[1:, cv2.CC_STAT_WIDTH] * stats[1:, cv2.CC_STAT_HEIGHT], 1) if n > 1 else np.ones(0)
    out.append(_share(dark))
    out.append(float(np.log1p(1e4 * np.count_nonzero(large) / grey.size)))
    out.append(float(np.log(np.median(areas[large]))) if large.any() else 0.0)
    out.append(float(np.log(np.percentile(areas[large], 90))) if large.any() else 0.0)
    out.append(float((areas[large] / box[large]).mean()) if large.any() else 0.0)
    return out


def _share(mask: NDArray[np.generic]) -> float:
    return float(np.count_nonzero(mask)) / max(mask.size, 1)


def _mean_and_spread(picture: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, spread = cv2.meanStdDev(picture)
    return mean.ravel(), spread.ravel()


def _layout(small: RgbImage, lab: NDArray[np.float32]) -> list[float]:
    """Return how even the picture is from place to place, its middle against its rim, long lines and symmetry."""
    out: list[float] = []
    blocks = cv2.resize(lab, (6, 6), interpolation=cv2.INTER_AREA)
    out += [float(v) for v in blocks.reshape(-1, 3).std(axis=0)]
    fine = cv2.GaussianBlur(lab[:, :, 0], (0, 0), 1.5)
    busy = cv2.resize(cv2.absdiff(np.ascontiguousarray(lab[:, :, 0]), fine), (6, 6), interpolation=cv2.INTER_AREA)
    out += [float(busy.std() / (busy.mean() + 0.1)), float(busy.min() / (busy.mean() + 0.1))]
    inner = blocks[1:5, 1:5].reshape(-1, 3).mean(axis=0)
    rim = (blocks.reshape(-1, 3).sum(axis=0) - blocks[1:5, 1:5].reshape(-1, 3).sum(axis=0)) / 20.0
    out += [float(v) for v in inner - rim]
    corners = blocks[[0, 0, -1, -1], [0, -1, 0, -1]]
    out += [float(v) for v in inner - corners.mean(axis=0)]
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    out += [_share(edge > 245), _share(edge < 12), float(edge.std())]
    for axis in (0, 1):
        lines = np.abs(np.diff(grey.astype(np.float32), axis=axis)) > 20.0
        share = lines.mean(axis=1 - axis)
        out += [float(share.max()) if share.size else 0.0, _share(share > 0.5) if share.size else 0.0]
    lowest, highest = extremes(small)
    saturated = cv2.subtract(highest, lowest) > 150
    out.append(_share(saturated))
    return out


N_FEATURES = int(describe(np.full((32, 32, 3), 128, dtype=np.uint8)).size)
"""Length of `describe`'s answer; a model made for another number is refused."""
