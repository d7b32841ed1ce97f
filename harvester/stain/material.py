"""Pictures to train the panel classifier on: real ones cut and worn as print and camera wear them, and imitations.

Used by `harvester.stain.train` only; nothing here runs in a harvest. The imitations stand for kinds of picture of which
no free collection was at hand. Those named `recolour_*` are real H&E taken apart into stains and put together with
others; those named `draw_*` are drawn from noise and shapes. Neither proves anything about real ones: the report says
so, and they are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.geometry import RgbImage
from harvester.records import PanelKind
from harvester.stain.deconvolve import DAB, EOSIN, HEMATOXYLIN, join_stains, separate_stains, stain_matrix

Rng = np.random.Generator
Field = NDArray[np.float32]
Colour = tuple[int, int, int]


def noise(rng: Rng, height: int, width: int, beta: float, coarsest: int = 3) -> Field:
    """Return (height, width) float32 cloud noise, mean 0 and deviation 1; a larger beta is smoother."""
    out = np.zeros((height, width), dtype=np.float32)
    cells, weight = coarsest, 1.0
    while cells < 2 * max(height, width):
        grid = rng.normal(size=(max(2, cells * height // max(height, width) + 1), cells + 1)).astype(np.float32)
        out += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * 2.0 ** (-beta / 2)
    return np.asarray((out - out.mean()) / max(float(out.std()), 1e-6), dtype=np.float32)


def squash(field: Field, at: float = 0.0, sharpness: float = 4.0) -> Field:
    """Return the field through a logistic step: 0 below `at`, 1 above."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-sharpness * (field - at), -60, 60))), dtype=np.float32)


def blend(field: Field, *colours: Colour) -> RgbImage:
    """Return the picture that runs through the colours as the field runs from 0 to 1."""
    stops = np.linspace(0.0, 1.0, len(colours))
    table = np.asarray(colours, dtype=np.float32)
    value = np.clip(field, 0.0, 1.0)
    return np.stack([np.interp(value, stops, table[:, k]) for k in range(3)], axis=2).astype(np.uint8)


def _size(rng: Rng) -> tuple[int, int]:
    longest = int(rng.integers(180, 420))
    shortest = int(longest * rng.uniform(0.5, 1.0))
    return (shortest, longest) if rng.random() < 0.8 else (longest, shortest)


# -- wear: what cameras, printers and publishers do ------------------------------------------------------------------


def cut(rng: Rng, pixels: RgbImage, least: float = 0.15) -> RgbImage:
    """Return a random crop (aspect 0.6 to 1.8), area-averaged to 140 to 480 px on its longer side, never enlarged."""
    height, width = pixels.shape[:2]
    share = float(np.exp(rng.uniform(np.log(least), 0.0)))
    aspect = float(np.exp(rng.uniform(np.log(0.6), np.log(1.8))))
    side = share * min(height, width)
    h, w = min(height, int(side / aspect**0.5)), min(width, int(side * aspect**0.5))
    h, w = max(h, min(height, 128)), max(w, min(width, 128))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return _fit(pixels[y : y + h, x : x + w], int(rng.integers(140, 480)))


def _fit(pixels: RgbImage, longest: int) -> RgbImage:
    scale = min(1.0, longest / max(pixels.shape[:2]))
    size = (max(16, int(pixels.shape[1] * scale)), max(16, int(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def camera(rng: Rng, pixels: RgbImage, strength: float = 1.0) -> RgbImage:
    """Return the picture under another lamp, exposure, stain strength, saturation and hue."""
    density = -np.log10(np.maximum(pixels, 1) / 255.0).astype(np.float32)
    density = density * float(np.exp(rng.normal(0, 0.25 * strength)))
    mixing = np.eye(3) + rng.normal(0, 0.045 * strength, (3, 3))
    density = cv2.transform(density, mixing.astype(np.float32))
    lamp = np.array([1.0, rng.uniform(0.9, 1.02), rng.uniform(0.76, 1.04)])
    if rng.random() < 0.3:
        lamp = rng.uniform(0.82, 1.0, 3)
    light = lamp * rng.uniform(0.8, 1.08)
    value = (light * np.exp(-2.302585 * np.clip(density, -0.05, 2.4))).astype(np.float32)
    grey = value @ np.full((3, 1), 1 / 3)
    value = grey + (value - grey) * float(np.exp(rng.normal(0, 0.22 * strength)))
    value = np.clip(value, 0, 1) ** float(np.exp(rng.normal(0, 0.15 * strength)))
    haze = rng.uniform(0, 0.12) if rng.random() < 0.3 else 0.0
    value = haze + (1 - haze) * value
    if rng.random() < 0.25:
        h, w = value.shape[:2]
        yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
        value = value * (1 - rng.uniform(0.05, 0.3) * (yy**2 + xx**2))[:, :, None]
    return np.asarray(np.clip(value * 255, 0, 255), dtype=np.uint8)


def wear(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return the picture as an article prints it: soft or sharpened, JPEG, with letters, bars, arrows, borders."""
    out = pixels.copy()
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.6)))
    elif rng.random() < 0.2:
        out = cv2.addWeighted(out, 1.6, cv2.GaussianBlur(out, (0, 0), 1.2), -0.6, 0)
    if rng.random() < 0.15:
        out = np.clip(out + rng.normal(0, rng.uniform(2, 8), out.shape), 0, 255).astype(np.uint8)
    h, w = out.shape[:2]
    ink: Colour = [(0, 0, 0), (255, 255, 255), (255, 255, 0), (0, 0, 160)][int(rng.choice(4, p=[0.55, 0.3, 0.1, 0.05]))]
    if rng.random() < 0.35:
        _letter(rng, out, ink)
    if rng.random() < 0.3:
        x, y, length = int(w * rng.uniform(0.6, 0.75)), int(h * rng.uniform(0.9, 0.96)), int(w * rng.uniform(0.1, 0.22))
        cv2.line(out, (x, y), (x + length, y), ink, max(1, h // 100))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.2 else 0):
        tip = (int(rng.uniform(0.1, 0.9) * w), int(rng.uniform(0.1, 0.9) * h))
        tail = (tip[0] + int(rng.uniform(-0.12, 0.12) * w), tip[1] + int(rng.uniform(-0.12, 0.12) * h))
        cv2.arrowedLine(out, tail, tip, ink, max(1, h // 120), tipLength=0.4)
    if rng.random() < 0.2:
        top, bottom, left, right = (int(v) for v in rng.integers(0, max(2, min(h, w) // 16), 4))
        paper = 255 if rng.random() < 0.75 else 0
        out = cv2.copyMakeBorder(out, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(paper, paper, paper))
    if rng.random() < 0.75:
        quality = int(rng.integers(35, 96))
        ok, data = cv2.imencode(".jpg", out[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        worn = cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else None
        out = out if worn is None else np.asarray(worn, dtype=np.uint8)[:, :, ::-1]
    return np.ascontiguousarray(out)


def _letter(rng: Rng, out: RgbImage, ink: Colour) -> None:
    h, w = out.shape[:2]
    text = str(rng.choice(list("ABCDEFabcdef")))
    size = float(rng.uniform(0.003, 0.006)) * min(h, w)
    x = int(w * rng.uniform(0.01, 0.05)) if rng.random() < 0.7 else int(w * rng.uniform(0.8, 0.9))
    y = int(h * rng.uniform(0.1, 0.18)) if rng.random() < 0.6 else int(h * rng.uniform(0.9, 0.98))
    if rng.random() < 0.4:
        box = int(26 * size) + 4
        cv2.rectangle(out, (x - 3, y - box), (x + box, y + 5), (255, 255, 255) if sum(ink) < 300 else (0, 0, 0), -1)
    cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, ink, max(1, int(2 * size)))


# -- imitations: real H&E with other stains --------------------------------------------------------------------------


def _amounts(pixels: RgbImage) -> tuple[Field, Field]:
    """Return the amounts of hematoxylin and eosin of a real H&E picture, both (H, W), never negative."""
    amounts = separate_stains(pixels, stain_matrix(HEMATOXYLIN, EOSIN))
    # the pure vectors see some eosin in every nucleus; what nuclei darken alike in both is taken out
    nuclear = np.maximum(amounts[:, :, 0] * 1.15 - 0.1, 0)
    return nuclear, np.maximum(amounts[:, :, 1], 0)


def _mix(*layers: tuple[Field, tuple[float, float, float]]) -> RgbImage:
    amounts = [np.asarray(a, dtype=np.float32) for a, _ in layers]
    while len(amounts) < 3:
        amounts.append(np.zeros_like(amounts[0]))
    vectors = [np.asarray(v) / np.linalg.norm(v) for _, v in layers]
    while len(vectors) < 3:
        vectors.append(np.array([0.577, 0.577, 0.577]))
    return join_stains(np.stack(amounts[:3], axis=2), np.vstack(vectors[:3]))


def _near(rng: Rng, vector: tuple[float, float, float], spread: float = 0.04) -> tuple[float, float, float]:
    moved = np.maximum(np.asarray(vector) + rng.normal(0, spread, 3), 0.0)
    return float(moved[0]), float(moved[1]), float(moved[2])


def recolour_ihc(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return an imitation of DAB (rarely AEC red) immunohistochemistry with a blue counterstain."""
    nuclear, plasma = _amounts(pixels)
    h, w = nuclear.shape
    place = squash(noise(rng, h, w, 2.4), at=float(rng.uniform(-1.0, 1.4)), sharpness=float(rng.uniform(2, 9)))
    where = rng.random()
    if where < 0.4:
        brown = nuclear * place * rng.uniform(0.6, 1.8)
        left = nuclear * (1 - 0.85 * place)
    elif where < 0.8:
        brown = plasma * place * rng.uniform(0.4, 1.4)
        left = nuclear * rng.uniform(0.5, 1.0)
    else:
        membrane = np.abs(cv2.GaussianBlur(nuclear, (0, 0), 2) - cv2.GaussianBlur(nuclear, (0, 0), 4)) * 3
        brown, left = (membrane + 0.2 * plasma) * place, nuclear
    haze = plasma * rng.uniform(0.0, 0.25)
    chromogen = _near(rng, DAB, 0.05) if rng.random() < 0.88 else _near(rng, (0.2, 0.75, 0.62), 0.05)
    counter = _near(rng, (0.74, 0.60, 0.24), 0.06)
    return _mix((left * rng.uniform(0.35, 0.95) + 0.4 * haze, counter), (brown + haze * 0.6, chromogen))


def recolour_other(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return an imitation of trichrome, PAS, silver, Alcian blue, Sirius red, elastic, Congo red, Nissl, Giemsa..."""
    nuclear, plasma = _amounts(pixels)
    h, w = nuclear.shape
    fine = squash(noise(rng, h, w, 1.8, 6), at=float(rng.uniform(-0.6, 0.6)), sharpness=5.0)
    stain = int(rng.integers(0, 9))
    if stain == 0:  # Masson: collagen blue or green, muscle and plasma red, nuclei near black
        collagen = _near(rng, (0.85, 0.48, 0.18) if rng.random() < 0.7 else (0.78, 0.30, 0.55))
        red = _near(rng, (0.12, 0.85, 0.5))
        return _mix((nuclear * 0.9 + plasma * fine * 1.2, collagen), (plasma * (1 - fine) * 1.2 + nuclear * 0.4, red))
    if stain == 1:  # PAS: magenta where there is sugar, blue nuclei, hardly anything between
        sugar = squash(noise(rng, h, w, 1.5, 8), at=0.8, sharpness=7.0)
        return _mix(
            (nuclear * 0.8, _near(rng, (0.76, 0.58, 0.22))),
            (plasma * (0.2 + 1.8 * sugar), _near(rng, (0.25, 0.92, 0.3))),
        )
    if stain == 2:  # silver and reticulin: black threads on tan or grey
        edges = np.abs(cv2.Laplacian(cv2.GaussianBlur(plasma, (0, 0), 1.2), cv2.CV_32F)) * 6
        tan = _near(rng, (0.35, 0.5, 0.75)) if rng.random() < 0.7 else _near(rng, (0.55, 0.58, 0.6))
        return _mix((plasma * 0.5 + 0.08, tan), (edges + nuclear * rng.uniform(0, 0.9), (0.577, 0.577, 0.577)))
    if stain == 3:  # Alcian blue or Prussian blue over nuclear fast red
        blue = squash(noise(rng, h, w, 2.0, 6), at=0.9, sharpness=8.0)
        return _mix(
            (plasma * blue * 1.6, _near(rng, (0.88, 0.42, 0.12))),
            (plasma * 0.25 + nuclear * 0.5, _near(rng, (0.1, 0.8, 0.55))),
        )
    if stain == 4:  # Sirius red or van Gieson: red collagen on yellow
        return _mix(
            (plasma * fine * 1.3, _near(rng, (0.12, 0.86, 0.5))),
            (plasma * (1 - fine) + nuclear * 0.4, _near(rng, (0.05, 0.2, 0.95))),
        )
    if stain == 5:  # Congo red, oil red O: orange-red on pale blue
        droplets = squash(noise(rng, h, w, 2.0, 5), at=0.6, sharpness=8.0)
        return _mix(
            (nuclear * 0.7 + 0.15 * plasma, _near(rng, (0.78, 0.56, 0.25))),
            (plasma * droplets * 1.4, _near(rng, (0.06, 0.72, 0.7))),
        )
    if stain == 6:  # one basic dye: Nissl, toluidine blue, Giemsa, methylene blue, crystal violet
        dyes = [(0.72, 0.62, 0.2), (0.82, 0.53, 0.15), (0.5, 0.8, 0.2), (0.85, 0.4, 0.3)]
        dye = _near(rng, dyes[int(rng.integers(0, 4))], 0.03)
        return _mix((nuclear * 1.1 + plasma * rng.uniform(0.1, 0.5), dye))
    if stain == 7:  # elastic: black on red or yellow
        edges = squash(noise(rng, h, w, 1.2, 12), at=1.0, sharpness=8.0)
        return _mix((plasma, _near(rng, (0.1, 0.7, 0.65))), (edges * plasma * 2 + nuclear * 0.7, (0.577, 0.577, 0.577)))
    edges = np.abs(cv2.Laplacian(cv2.GaussianBlur(plasma, (0, 0), 1.5), cv2.CV_32F)) * 8  # methenamine silver on green
    return _mix((plasma * 0.5 + 0.1, _near(rng, (0.8, 0.3, 0.55))), (edges + nuclear * 0.2, (0.577, 0.577, 0.577)))


def recolour_fluorescence(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return an imitation of fluorescence: coloured light on black, one to three channels."""
    nuclear, plasma = _amounts(pixels)
    layers = [
        nuclear,
        plasma * squash(noise(rng, nuclear.shape[0], nuclear.shape[1], 2.0), 0.4, 6),
        np.abs(cv2.Laplacian(plasma, cv2.CV_32F)),
    ]
    colours = [
        (60, 80, 255),
        (60, 255, 60),
        (255, 40, 40),
        (255, 60, 255),
        (60, 255, 255),
        (255, 255, 255),
        (255, 90, 160),
    ]
    out = np.zeros((*nuclear.shape, 3), dtype=np.float32)
    for k in rng.permutation(3)[: int(rng.integers(1, 4))]:
        bright = layers[int(k)] / max(float(np.percentile(layers[int(k)], 99)), 1e-3)
        bright = np.clip(bright * rng.uniform(0.4, 1.2) - rng.uniform(0.05, 0.4), 0, 1) ** rng.uniform(0.8, 1.8)
        out += bright[:, :, None] * np.asarray(colours[int(rng.integers(0, len(colours)))], dtype=np.float32)
    return np.asarray(np.clip(out + rng.uniform(0, 12), 0, 255), dtype=np.uint8)


def recolour_electron(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return an imitation of an electron micrograph: the grey of the tissue, re-scaled, with fine noise."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if rng.random() < 0.6:
        grey = cv2.Sobel(grey, cv2.CV_32F, 1, 1, ksize=5) * 0.15 + 120
    grey = (grey - grey.mean()) / (grey.std() + 1e-3) * rng.uniform(25, 55) + rng.uniform(90, 160)
    noisy = np.clip(grey + rng.normal(0, rng.uniform(2, 10), grey.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(noisy, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def recolour_cytology(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return an imitation of a smear: clumps of real nuclei in thin plasma, Diff-Quik or Papanicolaou."""
    nuclear, plasma = _amounts(pixels)
    h, w = nuclear.shape
    clump = squash(
        noise(rng, h, w, 2.6, int(rng.integers(2, 7))), float(rng.uniform(0.2, 1.3)), float(rng.uniform(6, 25))
    )
    single = squash(noise(rng, h, w, 2.0, int(rng.integers(8, 20))), float(rng.uniform(1.6, 2.4)), 15.0)
    here = np.clip(clump + single, 0, 1)
    soft = cv2.GaussianBlur(plasma, (0, 0), 2.0)
    if rng.random() < 0.6:
        nucleus, thin = _near(rng, (0.55, 0.78, 0.25), 0.06), _near(rng, (0.62, 0.55, 0.25), 0.08)
    else:
        nucleus, thin = (
            _near(rng, (0.68, 0.66, 0.38), 0.06),
            _near(rng, [(0.8, 0.35, 0.3), (0.15, 0.65, 0.6)][int(rng.integers(0, 2))], 0.08),
        )
    ground = rng.uniform(0.01, 0.09) * (1 + 0.3 * noise(rng, h, w, 2.2))
    return _mix((nuclear * here * rng.uniform(0.8, 1.5), nucleus), (soft * here * rng.uniform(0.3, 0.9) + ground, thin))


def section(rng: Rng, pixels: RgbImage) -> RgbImage:
    """Return real tissue in the outline of a small section or core on white, grey, yellowish or pinkish glass."""
    h, w = pixels.shape[:2]
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    radius = np.hypot(yy / rng.uniform(0.5, 1.1), xx / rng.uniform(0.5, 1.1)) + rng.uniform(0.02, 0.25) * noise(
        rng, h, w, 2.6
    )
    inside = squash((1.0 - radius).astype(np.float32), 0.0, float(rng.uniform(20, 80)))[:, :, None]
    tints = [(250, 250, 250), (235, 235, 238), (248, 244, 228), (244, 232, 242), (205, 206, 204)]
    glass = np.asarray(tints[int(rng.integers(0, 5))]) + 1.5 * noise(rng, h, w, 3.0)[:, :, None]
    return np.asarray(np.clip(pixels * inside + glass * (1 - inside), 0, 255), dtype=np.uint8)


Recolour = Callable[[Rng, RgbImage], RgbImage]
RECOLOURED: tuple[tuple[PanelKind, Recolour, float], ...] = (
    ("ihc", recolour_ihc, 1.0),
    ("other_stain", recolour_other, 1.0),
    ("cytology", recolour_cytology, 0.7),
    ("fluorescence", recolour_fluorescence, 0.4),
    ("electron", recolour_electron, 0.3),
)
"""Kind, how it is made from real H&E, and how many for each H&E crop."""
