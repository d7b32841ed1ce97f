"""One slide to its patches. What comes out depends on the slide, its name and the settings alone, never on chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hagnifinder.builders.quality import HistoQc, TissueMap, own_map, shown_share
from hagnifinder.builders.recipe import (
    FILTERS,
    MAX_PATCH_BACKGROUND,
    MAX_TILE_BACKGROUND,
    RECIPES,
    Cut,
    Recipe,
    TileRule,
    cuts_of,
)
from hagnifinder.builders.sources import Source
from hagnifinder.data.loader import shrink
from hagnifinder.data.patches import Patch
from hagnifinder.errors import DataError
from hagnifinder.files import write_atomically
from hagnifinder.preprocess import RgbImage
from hagnifinder.wholeslide.reader import Slide, nominal_of, open_slide, read_averaged

_REFUSED_KEPT = 4
"""Patches of a slide that were refused for background and are stored all the same, to be looked at."""
_AVERAGE_FROM = 12.0
"""From this shrinking on, whole blocks of pixels are averaged while reading, down to 4 times the patch."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a data set is built with; two data sets with the same settings and slides are the same bytes."""

    kind: str = "hagni40"
    tiles_per_slide: int = 20
    """At most so many tiles of each size a slide; 0 for all of them."""
    small_fields: bool = False
    """Count a picture smaller than a tile as one tile, with patches as large as it allows."""
    filter: str = "mixed"
    """One of FILTERS, or "mixed" for another one with each patch."""

    def __post_init__(self) -> None:
        if self.kind not in RECIPES or self.tiles_per_slide < 0 or self.filter not in ("mixed", *FILTERS):
            raise DataError("the settings of this data set cannot be read.")

    @property
    def recipe(self) -> Recipe:
        """The tiles and levels."""
        return RECIPES[self.kind]


@dataclass(frozen=True, slots=True)
class SlideReport:
    """What became of a slide.

    Attributes:
        patches: kept ones and those refused for background, in order.
        nominal_x: of the finest level.
        mpp_um: of the finest level.
        mask: "histoqc" or "own", with HistoQC's warnings behind it.
        tiles, tiles_refused: of all sizes together, before the choice of some.
    """

    patches: list[Patch]
    nominal_x: float
    mpp_um: float
    mask: str
    tiles: int
    tiles_refused: int


def cut_slide(source: Source, settings: Settings, out: Path, histoqc: Path | None) -> SlideReport:
    """Write a slide's patches under `out/patches/<slide_id>/` as PNG.

    Raises:
        DataError: one clause without the slide's name, when it cannot be used.
    """
    slide = open_slide(source.path)
    try:
        mpp_um, nominal_x = nominal_of(slide.metadata, source.mpp_um)
        _agree(slide.metadata.mpp_um, source.mpp_um)
        width_px, height_px = slide.levels[0]
        if histoqc is None:
            tissue = own_map(slide, mpp_um)
        else:
            tissue = HistoQc(histoqc).map_of(source.path.name, width_px, height_px)
        if not float(tissue.cells.max(initial=0.0)):
            raise DataError("it shows no tissue")
        cutter = _Cutter(source, settings, out, slide, tissue, mpp_um, nominal_x)
        patches = [patch for rule in settings.recipe.tiles for patch in cutter.patches(rule)]
        if not any(p.is_kept for p in patches):
            raise DataError(cutter.why_nothing())
        mask = " ".join(filter(None, (tissue.source, tissue.warnings)))
        return SlideReport(patches, nominal_x, mpp_um, mask, cutter.tiles, cutter.tiles_refused)
    finally:
        slide.close()


def _agree(said_um: float | None, stated_um: float | None) -> None:
    if said_um is not None and stated_um is not None and not 0.95 <= said_um / stated_um <= 1.05:
        raise DataError(f"it says {said_um:.4g} µm/px and the person says {stated_um:.4g}")


class _Cutter:
    def __init__(
        self,
        source: Source,
        settings: Settings,
        out: Path,
        slide: Slide,
        tissue: TissueMap,
        mpp_um: float,
        nominal_x: float,
    ) -> None:
        self.source, self.settings, self.out, self.slide, self.tissue = source, settings, out, slide, tissue
        self.mpp_um, self.nominal_x = mpp_um, nominal_x
        self.tiles = self.tiles_refused = self.levels = self.refused_kept = 0

    def why_nothing(self) -> str:
        """Why no patch was kept, as a clause."""
        if self.tiles == 0:
            width_px, height_px = self.slide.levels[0]
            hint = "" if self.settings.small_fields else ": --small-fields counts it as one tile"
            return f"its {width_px:,} x {height_px:,} px hold no tile{hint}"
        if self.levels == 0:
            return f"{self.nominal_x:.3g}x is too coarse, or too small, for any level"
        return "every tile or patch of it is mostly background"

    def patches(self, rule: TileRule) -> Iterator[Patch]:
        """All patches from tiles of one size, tile by tile."""
        side = rule.side_px(self.nominal_x)
        width_px, height_px = self.slide.levels[0]
        if self.settings.small_fields:
            side = min(side, width_px, height_px)
        cuts = cuts_of(self.settings.recipe, rule, self.nominal_x, side)
        corners = [(x, y) for y in range(0, height_px - side + 1, side) for x in range(0, width_px - side + 1, side)]
        self.tiles += len(corners)
        good = [at for at in corners if self.tissue.share(*at, side) >= 1.0 - MAX_TILE_BACKGROUND]
        self.tiles_refused += len(corners) - len(good)
        if not cuts:
            return
        self.levels += len(cuts)
        most = self.settings.tiles_per_slide
        if most and len(good) > most:
            rng = np.random.default_rng(_seed(self.source.slide_id, rule.side_px_at_40x))
            good = [good[i] for i in sorted(rng.choice(len(good), most, replace=False))]
        for x, y in good:
            yield from self._of_tile(rule, x, y, side, cuts)

    def _of_tile(self, rule: TileRule, x: int, y: int, side: int, cuts: list[Cut]) -> Iterator[Patch]:
        whole: RgbImage | None = None
        for cut in cuts:
            name = f"t{rule.side_px_at_40x}-{x}-{y}"
            rng = np.random.default_rng(_seed(self.source.slide_id, name, cut.level_x))
            left, top = (int(v) for v in rng.integers(0, side - cut.source_px + 1, 2))
            kernel = self.settings.filter if self.settings.filter != "mixed" else FILTERS[int(rng.integers(4))]
            by = max(1, int(cut.shrink / 4.0)) if cut.shrink >= _AVERAGE_FROM else 1
            if by > 1:
                pixels = read_averaged(self.slide, x + left, y + top, cut.source_px, by)
            else:
                if whole is None:
                    whole = read_averaged(self.slide, x, y, side, 1)
                pixels = np.ascontiguousarray(whole[top : top + cut.source_px, left : left + cut.source_px])
            if pixels.shape[0] == cut.patch_px:
                kernel = "none"
            else:
                pixels = shrink(pixels, cut.patch_px, cut.patch_px, kernel)
            yield self._judged(name, cut, x + left, y + top, pixels, kernel)

    def _judged(self, tile: str, cut: Cut, x: int, y: int, pixels: RgbImage, kernel: str) -> Patch:
        share = self.tissue.share(x, y, cut.source_px) if self.tissue.source == "histoqc" else shown_share(pixels)
        is_kept = share >= 1.0 - MAX_PATCH_BACKGROUND
        path = digest = ""
        if is_kept or self.refused_kept < _REFUSED_KEPT:
            self.refused_kept += not is_kept
            folder = "patches" if is_kept else "refused"
            path = f"{folder}/{self.source.slide_id}/{tile}-{cut.level_x:g}x.png"
            _, code = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            data = code.tobytes()
            digest = hashlib.sha256(data).hexdigest()
            write_atomically(self.out / path, data)
        return Patch(
            path=path,
            slide_id=self.source.slide_id,
            patient=self.source.patient,
            organ=self.source.organ,
            dataset=self.source.dataset,
            tile=tile,
            level_x=cut.level_x,
            # What the pixels are: 10 / level only where the slide is exactly as its objective says.
            mpp_um=round(self.mpp_um * cut.shrink, 6),
            slide_mpp_um=round(self.mpp_um, 6),
            nominal_x=round(self.nominal_x, 4),
            x_px=x,
            y_px=y,
            source_px=cut.source_px,
            patch_px=cut.patch_px,
            filter=kernel,
            tissue=round(share, 4),
            refused="" if is_kept else "background",
            sha256=digest,
        )


def _seed(*parts: object) -> int:
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
