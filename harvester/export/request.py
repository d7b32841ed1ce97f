"""What an export is asked for; which snapshots that lets through is decided in filters.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harvester.errors import UsageError
from harvester.licences import Policy
from harvester.records import PANEL_KINDS

FORMATS = ("imagefolder", "parquet", "webdataset", "coco", "csv", "qupath")
AGREEMENTS = ("single", "agree", "reviewed", "conflict", "reviews_differ")
WITNESSES = ("review", "scale_bar", "image", "caption")
VERDICTS = ("accept", "correct", "reject", "differ", "none")
DEFAULT_CONFIDENCE = 0.8


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an export is asked for. Empty tuples and None ask for nothing.

    Attributes:
        format: One of FORMATS.
        policy: Licence policy: remix, commercial, any, or codes.
        include_nd: Crops of ND-licensed figures too, where the policy has them.
        min_he_score, min_tissue_share: Lowest probability of H&E and share of tissue, 0 to 1.
        mpp_min_um, mpp_max_um: Range of the reconciled pixel size in µm; rows without one are then left out.
        max_interval_ratio: Largest upper over lower end of the pixel size's 90 % interval, at least 1. A value without
            an interval (a reviewer's) passes.
        tolerance: Share (0.15 is 15 %) by which the true pixel size may differ from the label; rows for which that is
            less probable than `confidence` by their intervals are left out.
        confidence: Probability that goes with `tolerance`.
        at_mpp_um: Pixel size in µm that everything is brought to by averaging; coarser rows are left out.
        tile_px: Side of the square tiles that images are cut into.
        no_overlay: Cut round letters, bars and arrows that are drawn over the tissue, or leave the image out.
        kinds: Kinds of panel.
        organs, journals, mesh: Words; case does not matter. `mesh` asks for one of the headings.
        year_from, year_until: Years of publication, both included; rows without a year are then left out.
        agreements, witnesses, verdicts: Of AGREEMENTS, WITNESSES (where the pixel size comes from) and VERDICTS.
        include_abstained: Rows whose pixel size is not known too; they leave without one.
        include_conflicts: Rows whose scale bar and image, or whose reviewers, contradict each other too.
        keep_duplicates: Keep pictures that are there twice within a split. Across splits one goes, always.
        dry_run: Count only, write nothing, read no image.

    Raises:
        UsageError: from the constructor, when a value makes no sense.
    """

    format: str
    policy: str = "remix"
    include_nd: bool = False
    min_he_score: float = 0.0
    min_tissue_share: float = 0.0
    mpp_min_um: float | None = None
    mpp_max_um: float | None = None
    max_interval_ratio: float | None = None
    tolerance: float | None = None
    confidence: float = DEFAULT_CONFIDENCE
    at_mpp_um: float | None = None
    tile_px: int | None = None
    no_overlay: bool = False
    kinds: tuple[str, ...] = ("he",)
    organs: tuple[str, ...] = ()
    journals: tuple[str, ...] = ()
    mesh: tuple[str, ...] = ()
    year_from: int | None = None
    year_until: int | None = None
    agreements: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    include_abstained: bool = False
    include_conflicts: bool = False
    keep_duplicates: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        _known("--format", (self.format,), FORMATS)
        Policy.parse(self.policy)
        for name, share in (("--min-he-score", self.min_he_score), ("--min-tissue", self.min_tissue_share)):
            if not 0.0 <= share <= 1.0:
                raise UsageError(f"{name} {share} must lie between 0 and 1.")
        sizes = (("--mpp-min", self.mpp_min_um), ("--mpp-max", self.mpp_max_um), ("--at", self.at_mpp_um))
        for name, value in sizes:
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} {value} must be a pixel size above 0, in µm.")
        if self.mpp_min_um is not None and self.mpp_max_um is not None and self.mpp_min_um > self.mpp_max_um:
            raise UsageError(f"--mpp-min {self.mpp_min_um} is larger than --mpp-max {self.mpp_max_um}.")
        if self.max_interval_ratio is not None and not self.max_interval_ratio >= 1.0:
            raise UsageError(f"--max-interval-ratio {self.max_interval_ratio} must be 1 or more.")
        if self.tolerance is not None and not 0.0 < self.tolerance < 1.0:
            raise UsageError(f"--tolerance {self.tolerance:g} must lie between 0 and 1, or be a percentage below 100%.")
        if not 0.0 < self.confidence < 1.0:
            raise UsageError(f"--confidence {self.confidence:g} must lie between 0 and 1.")
        if self.tile_px is not None and not 16 <= self.tile_px <= 16384:
            raise UsageError(f"--tile {self.tile_px} must be a side of 16 to 16384 pixels.")
        if self.year_from and self.year_until and self.year_from > self.year_until:
            raise UsageError(f"--year-from {self.year_from} is after --year-until {self.year_until}.")
        _known("--kind", self.kinds, PANEL_KINDS)
        _known("--agreement", self.agreements, AGREEMENTS)
        _known("--scale-from", self.witnesses, WITNESSES)
        _known("--verdict", self.verdicts, VERDICTS)
        changes_pixels = self.at_mpp_um is not None or self.tile_px is not None or self.no_overlay
        if self.format == "coco" and changes_pixels:
            raise UsageError(
                "--format coco holds whole figures: leave out --at, --magnification, --tile and --no-overlay."
            )
        if self.include_abstained and (self.at_mpp_um is not None or self.tolerance is not None):
            raise UsageError("--at and --tolerance need a known pixel size: leave out --include-abstained.")


def _known(option: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    for value in values:
        if value not in known:
            raise UsageError(f"{option} {value!r} is not known; choose {', '.join(known[:-1])} or {known[-1]}.")
