"""Drawn tissue: how much haematoxylin, eosin and blood pigment lies at every point of a section, sizes in micrometres.

Sizes follow histology textbooks: nuclei of 6 to 11 µm, red cells of 7 µm, crypts 80 to 110 µm apart, hepatocytes of 20
to 25 µm, fat cells of 50 to 90 µm. Everything is laid out straight and then bent by a smooth displacement, which
is what makes circles look like glands and ellipses like nuclei.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Points = NDArray[np.floating[Any]]
"""(N, 2) floats: x, y in micrometres."""


@dataclass
class Section:
    """A thin section on a raster of `um` micrometres per pixel; each map is (H, W) float32, an optical density.

    Attributes:
        haematoxylin, eosin, blood: The three pigments.
        chromatin: Nuclei alone; joined to haematoxylin at the end, with their texture.
    """

    um: float
    height: int
    width: int
    rng: np.random.Generator
    haematoxylin: Map = field(init=False)
    eosin: Map = field(init=False)
    blood: Map = field(init=False)
    chromatin: Map = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.height, self.width)
        self.haematoxylin, self.eosin = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.blood, self.chromatin = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def noise(self, scale_um: float, octaves: int = 1) -> Map:
        """Return smooth noise, mean 0, standard deviation about 1, with blobs of the given size (and halves of it)."""
        total = np.zeros((self.height, self.width), np.float32)
        for octave in range(octaves):
            step = scale_um / self.um / 2**octave
            rows, columns = int(self.height / max(step, 1.0)) + 3, int(self.width / max(step, 1.0)) + 3
            fine = self.rng.standard_normal((rows, columns), np.float32) * np.float32(1.35 * min(step, 1.0) / 2**octave)
            if step > 12:
                # smooth enough to be bent at twelve pixels a blob and drawn out straight, which is much cheaper
                fine = cv2.resize(fine, (columns * 12, rows * 12), interpolation=cv2.INTER_CUBIC)
                shrink = np.asarray([[12 / step, 0, 6], [0, 12 / step, 6]])
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                fine = cv2.warpAffine(fine, shrink, (self.width, self.height), flags=flags)
            elif fine.shape != total.shape:
                fine = cv2.resize(fine, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
            total += fine
        return total

    def scatter(self, spacing_um: float, jitter: float = 0.35) -> Points:
        """Return points about `spacing_um` apart, shuffled off a hexagonal grid, a little beyond the edges too."""
        width_um, height_um = self.width * self.um, self.height * self.um
        x, y = np.meshgrid(
            np.arange(-spacing_um, width_um + spacing_um, spacing_um),
            np.arange(-spacing_um, height_um + spacing_um, spacing_um * 0.866),
        )
        x[1::2] += spacing_um / 2
        points = np.stack([x.ravel(), y.ravel()], 1)
        return (points + self.rng.normal(0, jitter * spacing_um, points.shape)).astype(np.float32)

    def at(self, area: Map | Mask, points: Points) -> NDArray[np.float32]:
        """Return the values of a map at points, the nearest pixel of the raster for those outside."""
        column = np.clip((points[:, 0] / self.um).astype(int), 0, self.width - 1)
        row = np.clip((points[:, 1] / self.um).astype(int), 0, self.height - 1)
        return np.asarray(area[row, column], np.float32)

    def cells(self, points: Points) -> tuple[NDArray[np.int32], Map]:
        """Return, for every pixel, the number of the nearest point and the distance to it in µm."""
        seeds = np.full((self.height, self.width), 255, np.uint8)
        column = (points[:, 0] / self.um).round().astype(int)
        row = (points[:, 1] / self.um).round().astype(int)
        inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
        if not inside.any():
            return np.zeros(seeds.shape, np.int32), np.full(seeds.shape, 1e6, np.float32)
        seeds[row[inside], column[inside]] = 0
        distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        number_of = np.zeros(int(label.max()) + 1, np.int32)
        number_of[label[row[inside], column[inside]]] = np.flatnonzero(inside)
        return number_of[label], distance * np.float32(self.um)

    def walls(self, label: NDArray[np.int32]) -> Map:
        """Return the distance in µm to the nearest border between cells."""
        border = np.ones(label.shape, np.uint8)
        border[:, 1:] &= label[:, 1:] == label[:, :-1]
        border[1:] &= label[1:] == label[:-1]
        return np.asarray(cv2.distanceTransform(border, cv2.DIST_L2, 3) * np.float32(self.um), np.float32)

    def ellipses(
        self, layer: Map, points: Points, length_um: ArrayLike, width_um: ArrayLike, angle: ArrayLike, value: ArrayLike
    ) -> None:
        """Fill ellipses (full axes in µm, angle in degrees of the long axis) into a map, one value each."""
        n = len(points)
        scale = 16.0 / self.um
        center = (points * scale).astype(np.int64)
        axes = np.stack([np.broadcast_to(a, n) for a in (length_um, width_um)], 1) * (scale / 2)
        reach = axes.max(1)
        seen = (center > -reach[:, None]).all(1) & (center[:, 0] < self.width * 16 + reach)
        seen &= center[:, 1] < self.height * 16 + reach
        turn, values = np.broadcast_to(angle, n), np.broadcast_to(value, n)
        for i in np.flatnonzero(seen):
            cv2.ellipse(
                layer,
                (int(center[i, 0]), int(center[i, 1])),
                (max(6, int(axes[i, 0])), max(6, int(axes[i, 1]))),
                float(turn[i]),
                0.0,
                360.0,
                float(values[i]),
                -1,
                cv2.LINE_8,
                4,
            )

    def nuclei(
        self,
        points: Points,
        length_um: tuple[float, float],
        width_um: tuple[float, float],
        angle: ArrayLike | None = None,
        strength: tuple[float, float] = (0.5, 0.8),
        open_chromatin: float = 0.75,
    ) -> None:
        """Put a nucleus on every point; `open_chromatin` is how pale the inside is against the rim, 1 for solid."""
        n, rng = len(points), self.rng
        long, short = rng.uniform(*length_um, n), rng.uniform(*width_um, n)
        turn = rng.uniform(0, 180, n) if angle is None else np.broadcast_to(np.asarray(angle), n)
        value = rng.uniform(*strength, n)
        self.ellipses(self.chromatin, points, long, short, turn, value)
        if self.um < 0.7 and open_chromatin < 1:
            inner = 1.1 if self.um < 0.3 else 1.6
            self.ellipses(
                self.chromatin, points, long - inner, np.maximum(short - inner, 1), turn, value * open_chromatin
            )
        if self.um < 0.4 and open_chromatin < 0.8:
            offset = rng.normal(0, 0.9, (n, 2)).astype(np.float32)
            big = rng.random(n) < 0.6
            size = rng.uniform(1.0, 1.9, n)[big]
            self.ellipses(self.chromatin, (points + offset)[big], size, size, 0, value[big] * 1.2)


def _kept(section: Section, points: Points, mask: Mask) -> Points:
    return points[section.at(mask, points) > 0.5]


def fibres(section: Section, mask: Mask, *, level: float = 0.3, muscle: bool = False) -> None:
    """Connective tissue, or smooth muscle: wavy bundles, clefts between them, thin nuclei along them."""
    rng = section.rng
    theta = rng.uniform(0, np.pi)
    y, x = np.mgrid[: section.height, : section.width].astype(np.float32) * np.float32(section.um)
    phase = x * np.float32(np.sin(theta)) - y * np.float32(np.cos(theta))
    phase += section.noise(260, 2) * np.float32(30) + section.noise(60) * np.float32(3.5)
    period = 11.0 if muscle else 7.0
    bundle = np.abs(np.sin(phase * np.float32(np.pi / period) + section.noise(18) * 0.5))
    strand = np.sin(phase * np.float32(2 * np.pi / 2.3) + section.noise(9) * 1.2)
    body = (0.62 + 0.3 * np.sqrt(bundle) + 0.07 * strand) * (
        1 + 0.12 * section.noise(25, 2) + 0.06 * section.noise(0.8)
    )
    loose = 0.10 if muscle else 0.26 + 0.28 * section.noise(120)
    cleft = np.clip((loose - bundle + 0.33 * section.noise(16, 3)) * 4, 0, 1)
    body *= 1 - (0.6 if muscle else 0.9) * cleft
    section.eosin[mask] = (level * body)[mask]
    section.haematoxylin[mask] = (0.04 + 0.015 * section.noise(12))[mask]
    points = _kept(section, section.scatter(24 if muscle else 27, 0.5), mask)
    small = cv2.resize(phase, (max(2, section.width // 8), max(2, section.height // 8)), interpolation=cv2.INTER_AREA)
    rise_y, rise_x = np.gradient(small)
    row = np.clip((points[:, 1] / section.um / 8).astype(int), 0, small.shape[0] - 1)
    column = np.clip((points[:, 0] / section.um / 8).astype(int), 0, small.shape[1] - 1)
    along = np.degrees(np.arctan2(rise_y[row, column], rise_x[row, column])) + 90 + rng.normal(0, 7, len(points))
    if muscle:
        section.nuclei(points, (13, 21), (2.8, 4.2), along, (0.45, 0.75), 0.85)
    else:
        section.nuclei(points, (9, 16), (2.2, 3.8), along, (0.55, 0.95), 0.9)


def lymphocytes(section: Section, mask: Mask, *, spacing_um: float = 8.5) -> None:
    """Small round dark nuclei with hardly any cytoplasm."""
    points = _kept(section, section.scatter(spacing_um, 0.25), mask)
    section.nuclei(points, (5.8, 7.2), (5.2, 6.6), None, (0.8, 1.15), 0.9)


def lymphoid(section: Section, mask: Mask) -> None:
    """Dense lymphoid tissue with paler centres of larger cells."""
    section.eosin[mask] = (0.13 + 0.03 * section.noise(6))[mask]
    section.haematoxylin[mask] = (0.13 + 0.03 * section.noise(5))[mask]
    centre = mask & (section.noise(150) > 1.0)
    lymphocytes(section, mask & ~centre, spacing_um=7.6)
    points = _kept(section, section.scatter(10.5, 0.25), centre)
    section.nuclei(points, (7.5, 10), (6.5, 9), None, (0.45, 0.75), 0.6)


def glands(section: Section, mask: Mask, *, spacing_um: float = 98.0, dysplastic: bool = False) -> None:
    """Crypts cut across: columnar cells round a lumen, nuclei at the base, goblet cells; loose stroma between."""
    rng = section.rng
    fibres(section, mask, level=0.2)
    centres = section.scatter(spacing_um, 0.10)
    n = len(centres)
    outer = rng.uniform(0.36, 0.46, n).astype(np.float32) * np.float32(spacing_um)
    lumen = outer * rng.uniform(0.12, 0.40, n).astype(np.float32)
    label, distance = section.cells(centres)
    wall = mask & (distance < outer[label])
    opening = mask & (distance < lumen[label])
    section.eosin[wall] = (0.25 + 0.035 * section.noise(1.2) + 0.05 * section.noise(14))[wall]
    section.chromatin[wall] = 0
    section.haematoxylin[wall] = ((0.17 if dysplastic else 0.11) + 0.02 * section.noise(2))[wall]
    between = distance - outer[label]
    shrunk = mask & (between > 0) & (between < 2.2 + 2.5 * section.noise(45))
    section.eosin[shrunk] *= 0.25
    lymphocytes(section, mask & (between > 4), spacing_um=13.0)

    kept = np.flatnonzero(section.at(mask, centres) > 0.5)
    if not dysplastic:
        index, angle = _round(rng, kept, outer, 8.0)
        index, angle = index[(chosen := rng.random(len(index)) < 0.55)], angle[chosen]
        radius = lumen[index] + (outer[index] - lumen[index]) * rng.uniform(0.35, 0.55, len(index))
        where = centres[index] + np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32) * radius[:, None]
        long, short = rng.uniform(9, 15, len(index)), rng.uniform(6, 8.5, len(index))
        turn = np.degrees(angle)
        pale = np.zeros_like(section.eosin)
        section.ellipses(pale, where, long, short, turn, 1.0)
        pale *= mask
        section.eosin *= 1 - 0.75 * pale
        section.haematoxylin += pale * 0.03
    for row in range(3 if dysplastic else 1):
        index, angle = _round(rng, kept, outer, 5.3)
        depth = outer[index] - (4.5 + 7.5 * row) - rng.uniform(0, 2.5, len(index))
        clear = depth > lumen[index] + 4
        index, angle, depth = index[clear], angle[clear], depth[clear]
        where = centres[index] + np.stack([np.cos(angle), np.sin(angle)], 1) * depth[:, None]
        turn = np.degrees(angle) + rng.normal(0, 10, len(angle))
        if dysplastic:
            section.nuclei(where, (9, 14), (4.2, 6.2), turn, (0.6, 1.0), 0.85)
        else:
            section.nuclei(where, (7, 9.5), (4.6, 6.2), turn, (0.5, 0.85), 0.8)
    for layer in (section.eosin, section.haematoxylin, section.chromatin):
        layer[opening] *= 0.1


def _round(
    rng: np.random.Generator, kept: NDArray[np.intp], outer: NDArray[np.float32], pitch_um: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return (gland number, angle) of places a pitch apart round the rim of every kept gland."""
    counts = np.maximum(4, (2 * np.pi * outer[kept] / pitch_um).astype(int))
    index = np.repeat(kept, counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    angle = 2 * np.pi * (np.arange(len(index)) - first) / np.repeat(counts, counts)
    return index, angle + rng.normal(0, 0.03, len(index))


def sheet(section: Section, mask: Mask) -> None:
    """Solid tumour: crowded cells with large, uneven nuclei and little between them."""
    rng = section.rng
    points = section.scatter(12.5, 0.22)
    label, _ = section.cells(points)
    tint = rng.normal(1, 0.13, len(points)).astype(np.float32)
    border = np.clip(1 - section.walls(label) / 0.8, 0, 1)
    section.eosin[mask] = (0.21 * tint[label] + 0.08 * border + 0.04 * section.noise(1.3) + 0.03 * section.noise(30))[
        mask
    ]
    section.haematoxylin[mask] = (0.13 * tint[label] + 0.03 * section.noise(2.5))[mask]
    inside = _kept(section, points, mask)
    section.nuclei(inside, (7.5, 11.5), (6, 9), None, (0.42, 0.9), 0.68)


def hepatocytes(section: Section, mask: Mask, *, fat_share: float = 0.0) -> None:
    """Liver: plates of large pink cells with a round central nucleus, slits between plates, fat drops on request."""
    rng = section.rng
    points = section.scatter(21, 0.14)
    label, distance = section.cells(points)
    tint = rng.normal(1, 0.09, len(points)).astype(np.float32)
    border = np.clip(1 - section.walls(label) / 0.9, 0, 1)
    grain = section.noise(0.9) * 0.07 + section.noise(2.4) * 0.05
    section.eosin[mask] = (
        0.40 * tint[label] * (1 + grain) + 0.06 * border - 0.05 * np.exp(-((distance - 6) ** 2) / 8)
    )[mask]
    section.haematoxylin[mask] = (0.10 * tint[label] + 0.02 * section.noise(3))[mask]
    nuclei = _kept(section, points, mask)
    section.nuclei(nuclei, (7.2, 8.8), (6.8, 8.2), None, (0.4, 0.65), 0.7)
    slit = mask & (np.abs(section.noise(34) + 0.25 * section.noise(12)) < 0.10)
    for layer in (section.eosin, section.haematoxylin, section.chromatin):
        layer[slit] *= 0.12
    red = _kept(section, section.scatter(9, 0.3), slit)
    section.ellipses(section.blood, red, 5.5, 4.5, 0, 0.35)
    section.nuclei(_kept(section, section.scatter(17, 0.4), slit), (7, 11), (2.5, 3.6), None, (0.7, 1.0), 1.0)
    if fat_share:
        drops = points[rng.random(len(points)) < fat_share]
        drops = _kept(section, drops + rng.normal(0, 4, drops.shape).astype(np.float32), mask)
        size = rng.gamma(4.0, 3.2, len(drops)) + 2.5
        hole = np.zeros_like(section.eosin)
        section.ellipses(hole, drops, size, size * rng.uniform(0.92, 1, len(drops)), 0, 1.0)
        for layer in (section.eosin, section.haematoxylin, section.chromatin, section.blood):
            layer *= 1 - 0.97 * hole


def fat(section: Section, mask: Mask) -> None:
    """Fat tissue: large empty cells with thin walls, flat nuclei and small vessels in the corners."""
    points = section.scatter(62, 0.20)
    label, _ = section.cells(points)
    wall = section.walls(label)
    section.eosin[mask] = (0.32 * np.clip(1.7 - wall, 0, 1) * (1 + 0.15 * section.noise(4)) + 0.012)[mask]
    section.haematoxylin[mask] = (0.05 * np.clip(1.6 - wall, 0, 1))[mask]
    rim = mask & (wall < 1.5)
    section.nuclei(_kept(section, section.scatter(9, 0.4), rim)[::5], (6, 10), (2.2, 3.2), None, (0.6, 0.95), 1.0)


def vessels(section: Section, mask: Mask, *, spacing_um: float = 170.0) -> None:
    """Small vessels in connective tissue: a wall, a lumen, red cells in it."""
    rng = section.rng
    points = section.scatter(spacing_um, 0.3)
    points = _kept(section, points[rng.random(len(points)) < 0.55], mask)
    n = len(points)
    if not n:
        return
    long = rng.uniform(14, 46, n)
    short, turn = long * rng.uniform(0.45, 0.9, n), rng.uniform(0, 180, n)
    wall, hole = np.zeros_like(section.eosin), np.zeros_like(section.eosin)
    section.ellipses(wall, points, long + 7, short + 7, turn, 1.0)
    section.ellipses(hole, points, long, short, turn, 1.0)
    ring = (wall > 0) & (hole == 0)
    section.chromatin[wall > 0] = 0
    section.eosin[ring] = (0.42 + 0.05 * section.noise(3))[ring]
    for layer in (section.eosin, section.haematoxylin):
        layer[hole > 0] *= 0.06
    lining = _kept(section, section.scatter(8, 0.4), ring)
    section.nuclei(lining[::2], (6, 9), (2.2, 3.4), None, (0.6, 0.95), 1.0)
    filled = (hole > 0) & (section.noise(spacing_um) > -0.2)
    red = _kept(section, section.scatter(6.4, 0.18), filled)
    section.ellipses(section.blood, red, 6.8, 6.2, 0, rng.uniform(0.5, 0.7, len(red)))


def cut_away(section: Section, mask: Mask) -> None:
    """Leave bare glass."""
    for layer in (section.eosin, section.haematoxylin, section.chromatin, section.blood):
        layer[mask] = 0


Layer = Callable[[Section, Mask], None]


def finish(section: Section) -> None:
    """Give the chromatin its grain, join it to the haematoxylin, and bend the whole section."""
    grain = 1 + 0.30 * section.noise(0.7) + 0.20 * section.noise(1.6)
    body = cv2.GaussianBlur(section.chromatin, (0, 0), max(0.3, 0.12 / section.um)) * np.clip(grain, 0.3, 1.9)
    covered = np.clip(body * 2.2, 0, 1)
    section.eosin *= 1 - 0.45 * covered
    section.haematoxylin = np.maximum(section.haematoxylin, body + 0.35 * section.haematoxylin)
    thickness = 1 + 0.07 * section.noise(260, 2)
    # pinholes and cracks of dried sections, between the nuclei
    crack = np.clip((section.noise(11, 3) - 1.75 + 0.5 * section.noise(140)) * 3, 0, 1) * (1 - covered)
    thickness *= 1 - 0.85 * crack
    y, x = np.mgrid[: section.height, : section.width].astype(np.float32)
    for scale_um, reach_um in ((150.0, 10.0), (30.0, 1.2), (5.0, 0.25)):
        x += section.noise(scale_um) * np.float32(reach_um / section.um)
        y += section.noise(scale_um) * np.float32(reach_um / section.um)
    for name in ("haematoxylin", "eosin", "blood"):
        bent = cv2.remap(getattr(section, name) * thickness, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        setattr(section, name, np.maximum(bent, 0))
