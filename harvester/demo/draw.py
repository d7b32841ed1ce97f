"""Draws H&E-like micrographs at a known scale, for a demonstration and for tests that need the truth.

The pigments of a section (harvester.demo.tissue) are composed in optical density, drawn finer than asked for and
averaged down as a camera's pixels do. These pictures are drawings: no accuracy measured on them says anything about
slides.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np

from harvester.demo import tissue
from harvester.demo.tissue import Layer, Section
from harvester.geometry import RgbImage

_UNIT = {
    # optical density in R, G, B at unit concentration; between Ruifrok and Johnston (2001) and Macenko et al. (2009)
    "haematoxylin": (0.61, 0.72, 0.33),
    "eosin": (0.11, 0.87, 0.48),
    "blood": (0.14, 0.78, 0.61),
    # Ruifrok and Johnston (2001)
    "dab": (0.27, 0.57, 0.78),
    "schiff": (0.175, 0.973, 0.153),
}
_SPREAD = {"haematoxylin": (0.04, 0.03, 0.08), "eosin": (0.10, 0.03, 0.11)}
_LITTLE = (0.03, 0.03, 0.03)


def _fibrous(section: Section, mask: tissue.Mask) -> None:
    tissue.fibres(section, mask, level=0.33)
    tissue.vessels(section, mask)


def _muscle(section: Section, mask: tissue.Mask) -> None:
    tissue.fibres(section, mask, level=0.42, muscle=True)


def _dysplastic(section: Section, mask: tissue.Mask) -> None:
    tissue.glands(section, mask, spacing_um=118, dysplastic=True)


def _steatotic(section: Section, mask: tissue.Mask) -> None:
    tissue.hepatocytes(section, mask, fat_share=0.3)


RECIPES: Mapping[str, tuple[tuple[Layer, float], ...]] = MappingProxyType(
    {
        "colon": ((tissue.glands, 1.6), (_fibrous, 0.0), (tissue.lymphoid, -0.4)),
        "adenoma": ((_dysplastic, 1.6), (_fibrous, 0.0)),
        "liver": ((tissue.hepatocytes, 2.2), (_fibrous, -0.6)),
        "steatosis": ((_steatotic, 2.2), (_fibrous, -0.6)),
        "carcinoma": ((tissue.sheet, 1.0), (_fibrous, 0.2), (tissue.lymphoid, -0.9)),
        "muscle": ((_muscle, 1.4), (_fibrous, 0.1)),
        "lymph_node": ((tissue.lymphoid, 2.0), (_fibrous, -0.9)),
        "breast": ((_fibrous, 0.8), (tissue.fat, 0.6)),
    }
)
"""Tissues by name: their layers, each with how readily it takes its place (the first one holds the middle)."""

_PATCH_UM = 420.0


def draw_section(recipe: str, mpp_um: float, width_px: int, height_px: int, seed: int) -> tuple[Section, int, int]:
    """Lay out a section for a picture; return it with the oversampling and the margin in its own pixels.

    Raises:
        ValueError: for an unknown recipe or a scale outside 0.1 to 8 µm/px.
    """
    if recipe not in RECIPES:
        raise ValueError(f"no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    if not 0.1 <= mpp_um <= 8:
        raise ValueError(f"{mpp_um} µm/px: drawn pictures have 0.1 to 8")
    finer = 2
    um = mpp_um / finer
    margin = int(np.ceil(16 / um))
    section = Section(
        um, height_px * finer + 2 * margin, width_px * finer + 2 * margin, np.random.default_rng([seed, 7])
    )
    y = np.abs(np.linspace(-1, 1, section.height, dtype=np.float32))[:, None]
    x = np.abs(np.linspace(-1, 1, section.width, dtype=np.float32))[None]
    layers = RECIPES[recipe]
    claims = [section.noise(_PATCH_UM, 2) * 0.8 + np.float32(bias) for _, bias in layers]
    claims[0] += 0.8 - np.maximum(x, y) * np.float32(0.8)
    owner = np.argmax(claims, axis=0)
    for i, (layer, _) in enumerate(layers):
        mask = owner == i
        if mask.any():
            layer(section, mask)
    if width_px * mpp_um > 900:
        # a field this wide usually shows an edge of the section
        side = section.rng.integers(4)
        reach = [x, y, np.linspace(-1, 1, section.width)[None], np.linspace(-1, 1, section.height)[:, None]][side]
        tissue.cut_away(section, reach + 0.09 * section.noise(600, 4) > section.rng.uniform(0.75, 0.95))
    tissue.finish(section)
    return section, finer, margin


def develop(
    pigments: Mapping[str, tissue.Map], um: float, finer: int, margin: int, rng: np.random.Generator
) -> RgbImage:
    """Turn pigments into a photograph: optical density, lamp, lens, pixels, noise.

    Args:
        pigments: Maps of one size by name: haematoxylin, eosin, blood, dab, schiff.
        um: Micrometres per pixel of the maps.
        finer: How many of their pixels make one of the photograph.
        margin: Pixels of the maps to leave out on every side.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = next(iter(pigments.values())).shape
    density = np.zeros((height, width, 3), np.float32)
    for name, amount in pigments.items():
        vector = np.asarray(_UNIT[name], np.float32) * rng.normal(1, _SPREAD.get(name, _LITTLE)).astype(np.float32)
        density += amount[..., None] * (vector / np.linalg.norm(vector)).astype(np.float32)
    light = np.exp(density * np.float32(-np.log(10)))
    light = cv2.GaussianBlur(light, (0, 0), max(0.4 * finer, 0.2 / um))
    inner = light[margin : height - margin, margin : width - margin]
    size = (inner.shape[1] // finer, inner.shape[0] // finer)
    picture = cv2.resize(inner, size, interpolation=cv2.INTER_AREA)
    lamp = np.asarray([246.0, 244.0, 247.0], np.float32) + rng.normal(0, 1.5, 3).astype(np.float32)
    grain = rng.standard_normal(picture.shape, np.float32) * np.float32(1.6)
    return np.asarray(np.clip(picture * lamp + grain + 0.5, 0, 255), np.uint8)


def draw_he(recipe: str, mpp_um: float, width_px: int, height_px: int, seed: int) -> RgbImage:
    """Draw a field of H&E tissue; the same arguments give the same picture.

    Args:
        recipe: One of `RECIPES`.
        mpp_um: Micrometres per pixel, 0.1 to 8.

    Returns:
        (height_px, width_px, 3) uint8 RGB.

    Raises:
        ValueError: for an unknown recipe or a scale outside the range.
    """
    section, finer, margin = draw_section(recipe, mpp_um, width_px, height_px, seed)
    strength = section.rng.uniform(0.9, 1.25)
    pigments = {
        "haematoxylin": section.haematoxylin * np.float32(strength),
        "eosin": section.eosin * np.float32(section.rng.uniform(0.8, 1.15)),
        "blood": section.blood,
    }
    return develop(pigments, section.um, finer, margin, section.rng)
