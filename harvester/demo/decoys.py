"""Pictures that stand beside H&E in articles and are none: other stains, radiology, gels, charts, photographs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from harvester.demo.draw import develop, draw_section
from harvester.demo.tissue import Map
from harvester.geometry import RgbImage
from harvester.records import PanelKind

Drawer = Callable[[int, int, np.random.Generator], RgbImage]


def _smooth(rng: np.random.Generator, width: int, height: int, cells: int) -> Map:
    grid = rng.standard_normal((cells + 3, int(cells * width / height) + 3), np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _ihc(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    section, finer, margin = draw_section("carcinoma", 0.5, width, height, int(rng.integers(1 << 30)))
    positive = np.clip(section.noise(14) * 1.2 + 0.5, 0, 1)
    pigments = {
        "haematoxylin": section.haematoxylin * 0.6 * (1 - 0.5 * positive),
        "dab": positive * np.maximum(0.9 * section.haematoxylin, section.eosin * 1.1) + 0.03,
    }
    return develop(pigments, section.um, finer, margin, section.rng)


def _pas(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    section, finer, margin = draw_section("colon", 0.5, width, height, int(rng.integers(1 << 30)))
    mucin = np.clip(section.eosin * 2.2 + 0.15 * section.noise(5) - 0.15, 0, 1) ** 2
    pigments = {"haematoxylin": section.haematoxylin * 0.3, "schiff": 1.3 * mucin + 0.02}
    return develop(pigments, section.um, finer, margin, section.rng)


def _fluorescence(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    section, _, margin = draw_section("carcinoma", 0.4, width, height, int(rng.integers(1 << 30)))
    blue = np.clip((section.haematoxylin - 0.3) * 330, 0, 255)
    green = np.clip(section.eosin * 420 * np.clip(section.noise(30), 0, 2), 0, 255)
    red = np.clip(section.noise(8) * 90 - 110, 0, 255)
    light = np.stack([red, green, np.maximum(blue, 0.1 * green)], 2)[margin:-margin, margin:-margin]
    picture = cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(picture + np.abs(rng.normal(3, 3, picture.shape)), 0, 255), np.uint8)


def _radiology(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    picture = np.full((height, width), 6.0, np.float32)
    middle = (width // 2, height // 2)
    body = (int(width * 0.43), int(height * 0.42))
    for shrink, value in ((1.0, 95.0), (0.94, 62.0), (0.88, 118.0)):
        cv2.ellipse(picture, middle, (int(body[0] * shrink), int(body[1] * shrink)), 0, 0, 360, value, -1)
    for side in (-1, 1):
        lung = (int(width * (0.5 + side * 0.19)), int(height * 0.46))
        cv2.ellipse(picture, lung, (int(width * 0.13), int(height * 0.24)), side * 8, 0, 360, 14.0, -1)
    cv2.circle(picture, (width // 2, int(height * 0.75)), int(height * 0.07), 235.0, -1)
    picture += _smooth(rng, width, height, 30) * 7
    noisy = cv2.GaussianBlur(picture, (0, 0), 1.5) + rng.normal(0, 5, picture.shape)
    return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _gel(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    picture = np.full((height, width), 205.0, np.float32) + _smooth(rng, width, height, 3) * 6
    lanes = 7
    for lane in range(lanes):
        x = int((lane + 0.5) * width / lanes)
        for row in (0.25, 0.5, 0.72):
            y = int(height * (row + rng.normal(0, 0.004)))
            reach = (int(width / lanes * 0.36), max(2, int(height * rng.uniform(0.012, 0.03))))
            cv2.ellipse(picture, (x, y), reach, 0, 0, 360, float(rng.uniform(20, 120)), -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 2.2) + rng.normal(0, 2.5, picture.shape)
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _axes(width: int, height: int) -> tuple[RgbImage, int, int, int, int]:
    picture = np.full((height, width, 3), 255, np.uint8)
    left, right, top, bottom = int(width * 0.14), int(width * 0.95), int(height * 0.08), int(height * 0.84)
    cv2.line(picture, (left, bottom), (right, bottom), (20, 20, 20), 2)
    cv2.line(picture, (left, top), (left, bottom), (20, 20, 20), 2)
    for i in range(6):
        y = bottom - i * (bottom - top) // 6
        cv2.line(picture, (left - 7, y), (left, y), (20, 20, 20), 2)
        cv2.putText(picture, f"{20 * i}", (6, y + 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return picture, left, right, top, bottom


def _bars(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    picture, left, right, top, bottom = _axes(width, height)
    n = 6
    step = (right - left) / n
    for i in range(n):
        value = rng.uniform(0.25, 0.9)
        x0, x1 = int(left + (i + 0.2) * step), int(left + (i + 0.8) * step)
        y = int(bottom - value * (bottom - top))
        cv2.rectangle(picture, (x0, y), (x1, bottom - 1), ((70, 110, 170), (205, 110, 80))[i % 2], -1)
        cv2.line(picture, ((x0 + x1) // 2, y - 14), ((x0 + x1) // 2, y + 10), (20, 20, 20), 2)
        label = ("ctl", "low", "mid")[i // 2]
        cv2.putText(picture, label, (x0, bottom + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return picture


def _lines(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    picture, left, right, top, bottom = _axes(width, height)
    for colour in ((40, 90, 160), (200, 80, 60), (60, 140, 70)):
        n = 40
        steps = np.cumprod(1 - rng.random(n) * (rng.random(n) < 0.3) * rng.uniform(0.05, 0.2))
        x = np.linspace(left, right, n)
        y = bottom - (bottom - top) * steps * 0.95
        path = np.stack([np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]], 1).astype(np.int32)
        cv2.polylines(picture, [path.reshape(-1, 1, 2)], False, colour, 2, cv2.LINE_AA)
    return picture


def _gross(width: int, height: int, rng: np.random.Generator) -> RgbImage:
    drape = np.asarray([52, 104, 128], np.float32) + _smooth(rng, width, height, 4)[..., None] * 6
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot((x - width * 0.5) / (width * 0.33), (y - height * 0.45) / (height * 0.34))
    away += 0.10 * _smooth(rng, width, height, 4)
    inside = np.clip((1 - away) * 12, 0, 1)[..., None]
    shade = (1.05 - 0.5 * away**2 + 0.08 * _smooth(rng, width, height, 9) + 0.04 * _smooth(rng, width, height, 40))[
        ..., None
    ]
    flesh = np.asarray([158, 72, 58], np.float32) * shade
    pale = np.clip(_smooth(rng, width, height, 6) - 0.8, 0, 1)[..., None]
    flesh = flesh * (1 - pale) + np.asarray([205, 170, 120], np.float32) * shade * pale
    picture = drape * (1 - inside) + flesh * inside
    shine = np.clip(_smooth(rng, width, height, 14) - 1.7, 0, 1)[..., None] * inside
    picture = np.asarray(np.clip(picture + 190 * shine + rng.normal(0, 2, picture.shape), 0, 255), np.uint8)
    top = int(height * 0.88)
    cv2.rectangle(picture, (int(width * 0.1), top), (int(width * 0.9), int(height * 0.96)), (240, 240, 232), -1)
    for i in range(41):
        mark = int(width * (0.1 + 0.8 * i / 40))
        cv2.line(picture, (mark, top), (mark, top + int(height * (0.05 if i % 10 == 0 else 0.025))), (20, 20, 20), 1)
    return picture


DECOYS: Mapping[str, tuple[PanelKind, Drawer]] = MappingProxyType(
    {
        "ihc": ("ihc", _ihc),
        "pas": ("other_stain", _pas),
        "fluorescence": ("fluorescence", _fluorescence),
        "ct": ("radiology", _radiology),
        "gel": ("gel", _gel),
        "bar_chart": ("chart", _bars),
        "line_plot": ("chart", _lines),
        "gross": ("gross", _gross),
    }
)
"""Decoys by name: the kind a perfect detector would give them, and who draws them."""


def draw_decoy(name: str, width_px: int, height_px: int, seed: int) -> RgbImage:
    """Draw a picture that is no H&E; the same arguments give the same picture.

    Returns:
        (height_px, width_px, 3) uint8 RGB.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in DECOYS:
        raise ValueError(f"no decoy {name!r}; there are {', '.join(DECOYS)}")
    return DECOYS[name][1](width_px, height_px, np.random.default_rng([seed, 11]))
