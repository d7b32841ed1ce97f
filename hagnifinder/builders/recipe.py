"""Which tiles and patches make Hagni40 and KIMIA-5MAG.

Hagni40 (Zhang et al. 2023): tiles of 2,560, 4,480 and 8,960 px at 40x without overlap, at most 55 % background; one
patch a tile and level, shrunk to the level and cut to fewer than 500 px, at most 40 % background. Where the paper is
silent, our reading:

- 4x to 40x come from the smallest tiles, 2x and 3x from the middle ones, 1x from the largest: the paper's counts of
  tiles and patches fit no other arrangement.
- The side of the shrunken tile is halved until fewer than 500 px are left: the 224 to 496 px that the paper states.
- At most 20 tiles of each size a slide, chosen by the slide's name: 2,445 and 2,530 tiles of 128 slides are 19 and 20.
- The kernel that shrinks is drawn anew for each patch, since a single one is a ruler of its own; bicubic never is.

KIMIA-5MAG (Zaveri et al. 2020) could not be had, and neither could its description: five levels, 2.5, 5, 10, 20 and
40x, and patches of 224 px, are our reading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_TILE_BACKGROUND = 0.55
MAX_PATCH_BACKGROUND = 0.40
MIN_PATCH_PX = 224
MAX_PATCH_PX = 499
FILTERS = ("area", "bilinear", "lanczos", "hamming")
"""Kernels of `hagnifinder.data.loader.shrink` that patches are shrunk with; its "bicubic" is kept for tests."""
_AS_IT_IS = 1.02
"""A shrinking by less is none: the label is the file's own pixel size anyway."""


@dataclass(frozen=True, slots=True)
class TileRule:
    """Tiles of one size and the levels made from them.

    Attributes:
        side_px_at_40x: side in pixels of a 40x slide.
        levels_x: nominal magnifications.
    """

    side_px_at_40x: int
    levels_x: tuple[float, ...]

    def side_px(self, nominal_x: float) -> int:
        """Side in pixels of a slide of another magnification: the same field of tissue."""
        return round(self.side_px_at_40x * nominal_x / 40.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A data set's tiles, levels and patch sizes."""

    name: str
    tiles: tuple[TileRule, ...]
    fixed_patch_px: int | None = None
    """Side of every patch; None for the paper's rule."""

    def patch_px(self, rule: TileRule, level_x: float) -> int:
        """Side of a patch of this level."""
        if self.fixed_patch_px is not None:
            return self.fixed_patch_px
        side = rule.side_px_at_40x * level_x / 40.0
        while side > MAX_PATCH_PX:
            side /= 2.0
        return round(side)

    @property
    def levels_x(self) -> tuple[float, ...]:
        """All levels, sorted."""
        return tuple(sorted(level for rule in self.tiles for level in rule.levels_x))


HAGNI40 = Recipe(
    "hagni40",
    (
        TileRule(2560, tuple(float(m) for m in range(4, 41))),
        TileRule(4480, (2.0, 3.0)),
        TileRule(8960, (1.0,)),
    ),
)
KIMIA5MAG = Recipe(
    "kimia5mag", (TileRule(2560, (5.0, 10.0, 20.0, 40.0)), TileRule(4480, (2.5,))), fixed_patch_px=MIN_PATCH_PX
)
RECIPES = {recipe.name: recipe for recipe in (HAGNI40, KIMIA5MAG)}


@dataclass(frozen=True, slots=True)
class Cut:
    """How a level's patch is cut from a tile of a given slide.

    Attributes:
        level_x: nominal magnification.
        patch_px: side of the patch.
        source_px: side of the square of the slide's own pixels that becomes the patch.
    """

    level_x: float
    patch_px: int
    source_px: int

    @property
    def shrink(self) -> float:
        """How much smaller the patch is than its source; 1 for native pixels."""
        return self.source_px / self.patch_px


def cuts_of(recipe: Recipe, rule: TileRule, nominal_x: float, tile_px: int) -> list[Cut]:
    """The levels that tiles of `tile_px` of a slide allow: never enlarged, never less than 224 px.

    A tile may be smaller than the rule's (a small picture counted as one tile); its patches are then as large as it
    allows.
    """
    cuts = []
    for level_x in rule.levels_x:
        ratio = nominal_x / level_x
        if ratio < 1.0 / _AS_IT_IS:
            continue
        ratio = 1.0 if ratio < _AS_IT_IS else ratio
        patch_px = min(recipe.patch_px(rule, level_x), math.floor(tile_px / ratio + 1e-9))
        if patch_px >= MIN_PATCH_PX:
            cuts.append(Cut(level_x, patch_px, min(tile_px, round(patch_px * ratio))))
    return cuts
