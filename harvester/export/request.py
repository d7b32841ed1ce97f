"""What an export is asked for, and which snapshots that lets through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harvester.errors import UsageError
from harvester.licences import NO_DERIVATIVES, Policy

FORMATS = ("imagefolder", "csv")
PLANNED_FORMATS = ("parquet", "webdataset", "coco", "qupath")

REASONS: dict[str, str] = {
    "retracted": "the article was retracted",
    "licence_not_stated": "no licence is stated (for files of your own: `harvester add --license own`)",
    "licence_text_mining_only": "the licence allows text mining, not reuse",
    "licence_no_derivatives": "the licence forbids derivatives, which a crop may be (`--include-nd` takes them)",
    "licence_not_in_policy": "the licence is not in the policy of this export",
    "rights": "the figure carries a permission note of its own",
    "rejected": "a reviewer rejected the snapshot",
    "he_score": "H&E less likely than asked for",
    "reviews_differ": "reviewers differ (`--include-conflicts` takes them)",
    "conflict": "scale bar and image contradict each other (`--include-conflicts` takes them)",
    "abstained": "the model would not say how large a pixel is (`--include-abstained` takes them)",
    "not_estimated": "nothing is known of the scale yet (`harvester annotate` first)",
    "mpp_range": "pixel size outside the range asked for",
    "interval": "the interval of the pixel size is wider than asked for",
    "duplicate": "the same pixels are in the export already, from another figure",
    "image_missing": "the image file is not there (`harvester verify --repair`)",
    "image_damaged": "the image file is damaged (`harvester verify --repair`)",
}
"""Why a snapshot is left out, in the order in which the reasons are tried; the first one counts."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an export is asked for.

    Attributes:
        format: One of FORMATS.
        policy: Licence policy: remix, commercial, any, or codes.
        include_nd: Crops of ND-licensed figures too, where the policy has them.
        min_he_score: Lowest probability of H&E, 0 to 1.
        mpp_min_um, mpp_max_um: Range of the reconciled pixel size in µm; rows without one are then left out.
        max_interval_ratio: Largest upper over lower end of the pixel size's 90 % interval, at least 1. A value without
            an interval (a reviewer's, a scale bar's) passes.
        include_abstained: Rows whose pixel size is not known too; they leave without one.
        include_conflicts: Rows whose scale bar and image, or whose reviewers, contradict each other too.
        dry_run: Count only, write nothing, read no image.

    Raises:
        UsageError: from the constructor, when a value makes no sense.
    """

    format: str
    policy: str = "remix"
    include_nd: bool = False
    min_he_score: float = 0.0
    mpp_min_um: float | None = None
    mpp_max_um: float | None = None
    max_interval_ratio: float | None = None
    include_abstained: bool = False
    include_conflicts: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.format in PLANNED_FORMATS:
            raise UsageError(f"--format {self.format} is not there yet; {' and '.join(FORMATS)} are.")
        if self.format not in FORMATS:
            raise UsageError(f"--format {self.format!r} is not known; choose {' or '.join(FORMATS)}.")
        Policy.parse(self.policy)
        if not 0.0 <= self.min_he_score <= 1.0:
            raise UsageError(f"--min-he-score {self.min_he_score} must lie between 0 and 1.")
        for name, value in (("--mpp-min", self.mpp_min_um), ("--mpp-max", self.mpp_max_um)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} {value} must be a pixel size above 0, in µm.")
        if self.mpp_min_um is not None and self.mpp_max_um is not None and self.mpp_min_um > self.mpp_max_um:
            raise UsageError(f"--mpp-min {self.mpp_min_um} is larger than --mpp-max {self.mpp_max_um}.")
        if self.max_interval_ratio is not None and not self.max_interval_ratio >= 1.0:
            raise UsageError(f"--max-interval-ratio {self.max_interval_ratio} must be 1 or more.")

    def why_not(self, row: Mapping[str, Any]) -> str | None:
        """Return the reason (a key of REASONS) why a row of the view `snapshots` stays behind; None when it goes."""
        if row["is_retracted"]:
            return "retracted"
        return self._why_not_licence(row) or self._why_not_quality(row)

    def _why_not_licence(self, row: Mapping[str, Any]) -> str | None:
        code, in_text = row["licence_code"], row["text_licence_code"]
        if code == "own":
            return None
        policy = Policy.parse(self.policy)
        # metadata and the article's own text may disagree; then both have to allow it
        for stated in (code, in_text) if in_text is not None else (code,):
            if stated is None:
                return "licence_not_stated"
            if stated == "TDM":
                return "licence_text_mining_only"
            if not policy.allows_crops(stated, include_nd=self.include_nd):
                asked = policy.allows_download(stated) and stated in NO_DERIVATIVES
                return "licence_no_derivatives" if asked else "licence_not_in_policy"
        return "rights" if row["rights"] is not None else None

    def _why_not_quality(self, row: Mapping[str, Any]) -> str | None:
        if row["review_verdict"] == "reject":
            return "rejected"
        if row["he_score"] < self.min_he_score:
            return "he_score"
        if row["agreement"] in ("reviews_differ", "conflict") and not self.include_conflicts:
            return str(row["agreement"])
        mpp_um = row["mpp_um"]
        if mpp_um is None and row["agreement"] != "conflict" and not self.include_abstained:
            return "abstained" if row["image_abstained"] else "not_estimated"
        if self.mpp_min_um is not None and (mpp_um is None or mpp_um < self.mpp_min_um):
            return "mpp_range"
        if self.mpp_max_um is not None and (mpp_um is None or mpp_um > self.mpp_max_um):
            return "mpp_range"
        lo_um, hi_um = row["mpp_lo_um"], row["mpp_hi_um"]
        if self.max_interval_ratio is not None and lo_um and hi_um and hi_um / lo_um > self.max_interval_ratio:
            return "interval"
        return None
