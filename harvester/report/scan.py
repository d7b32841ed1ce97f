"""The one pass over the view `snapshots`: everything that is counted, compared or drawn from all of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harvester.catalog import Catalog
from harvester.licences import Policy
from harvester.report.tallies import Comparison, LogTally, Sample, Worst

N_KEPT = 24
"""Kept snapshots shown."""
N_WORST = 8
N_POINTS = 500
"""Points of a plot; its numbers are of all rows."""
N_ARTICLES_IN_CONFLICT = 12

WITNESSES = ("review", "scale_bar", "image", "caption")

SHOWABLE = Policy.parse("remix")
"""Pictures in the report are crops that may be passed on, as in an export by default; the rest is counted."""


class Shot(NamedTuple):
    """A snapshot as the view gives it; a tuple, because a frozen dataclass takes ten times as long to make."""

    snapshot_id: str
    article_id: str
    image_path: str
    image_sha256: str
    width_px: int
    height_px: int
    mpp_um: float | None
    mpp_lo_um: float | None
    mpp_hi_um: float | None
    magnification_source: str | None
    agreement: str | None
    image_mpp_um: float | None
    image_mpp_lo_um: float | None
    image_mpp_hi_um: float | None
    image_abstained: bool | None
    image_reason: str | None
    bar_mpp_um: float | None
    objective_x: float | None
    model_id: str | None
    licence_code: str | None
    text_licence_code: str | None
    rights: str | None
    is_retracted: bool
    is_removed: bool
    superseded_by: str | None
    journal: str | None
    year: int | None
    organ: str | None
    scale_reason: str | None

    @property
    def trusted_um(self) -> float | None:
        """µm per pixel by the image, None where it abstained."""
        return None if self.image_abstained else self.image_mpp_um

    @property
    def may_show(self) -> bool:
        """Whether its crop may stand in a file that is passed on."""
        if self.is_retracted or self.is_removed or self.superseded_by is not None:
            return False
        return may_show(self.licence_code, self.text_licence_code, self.rights)


def may_show(licence_code: str | None, text_licence_code: str | None, rights: str | None) -> bool:
    """Say whether a crop may stand in a file that is passed on: both stated licences allow it, no note forbids it."""
    if licence_code == "own":
        return True
    codes = [licence_code] if text_licence_code is None else [licence_code, text_licence_code]
    return rights is None and all(SHOWABLE.allows_crops(code) for code in codes)


@dataclass(slots=True)
class ArticleBars:
    """The scale bars of one article against what its tissue shows; the ratios are bar over image, of the conflicts."""

    article_id: str
    n_bars: int = 0
    n_conflicts: int = 0
    sum_log2: float = 0.0
    lowest: float = math.inf
    highest: float = 0.0

    def add_conflict(self, ratio: float) -> None:
        """Count a bar that the tissue contradicts."""
        self.n_conflicts += 1
        self.sum_log2 += math.log2(ratio)
        self.lowest, self.highest = min(self.lowest, ratio), max(self.highest, ratio)

    @property
    def mean_ratio(self) -> float:
        """Geometric mean."""
        return float(2.0 ** (self.sum_log2 / max(1, self.n_conflicts)))


def _tallies(*names: str) -> dict[str, LogTally]:
    return {name: LogTally() for name in names}


@dataclass(slots=True)
class Scan:
    """What the pass keeps; its size is bounded, but for a few numbers for each article that has scale bars.

    Attributes:
        scales: Reconciled µm per pixel by who decided it, and `all`.
        unscaled: Snapshots without a reconciled value, by the reason.
        says: µm per pixel as each witness alone says it; a caption's objective as 10 / objective.
        by_objective: The image's magnification, by the objective that the caption implies.
        interval: Upper over lower end of the image's 90 % interval.
        image_bar, image_review: The image against scale bar and reviewer, where it did not abstain.
    """

    seed: str
    n: int = 0
    scales: dict[str, LogTally] = field(default_factory=lambda: _tallies("all", *WITNESSES))
    says: dict[str, LogTally] = field(default_factory=lambda: _tallies(*WITNESSES))
    sources: Counter[str] = field(default_factory=Counter)
    agreement: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    unscaled: Counter[str] = field(default_factory=Counter)
    interval: LogTally = field(default_factory=LogTally)
    by_objective: dict[float, LogTally] = field(default_factory=dict)
    journals: Counter[str] = field(default_factory=Counter)
    years: Counter[str] = field(default_factory=Counter)
    organs: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    n_not_showable: int = 0
    bars: dict[str, ArticleBars] = field(default_factory=dict)
    image_bar: Comparison = field(init=False)
    image_review: Comparison = field(init=False)
    caption_points: Sample[tuple[float, float]] = field(init=False)
    kept: Sample[Shot] = field(init=False)
    worst: Worst[Shot] = field(init=False)

    def __post_init__(self) -> None:
        self.image_bar = Comparison(Sample(N_POINTS, f"{self.seed}/bar"))
        self.image_review = Comparison(Sample(N_POINTS, f"{self.seed}/review"))
        self.caption_points = Sample(N_POINTS, f"{self.seed}/caption")
        self.kept = Sample(N_KEPT, f"{self.seed}/kept")
        self.worst = Worst(N_WORST)

    @property
    def conflicts(self) -> list[ArticleBars]:
        """Articles with bars that their tissue contradicts, most first, at most N_ARTICLES_IN_CONFLICT."""
        found = (item for item in self.bars.values() if item.n_conflicts)
        return sorted(found, key=lambda item: (-item.n_conflicts, item.article_id))[:N_ARTICLES_IN_CONFLICT]

    @property
    def n_articles_in_conflict(self) -> int:
        return sum(item.n_conflicts > 0 for item in self.bars.values())

    def add(self, shot: Shot) -> None:
        """Count one snapshot."""
        self.n += 1
        self.sources[shot.magnification_source or ""] += 1
        self.agreement[shot.agreement or ""] += 1
        self.journals[shot.journal or ""] += 1
        self.years[str(shot.year or "")] += 1
        self.organs[shot.organ or ""] += 1
        self.licences[shot.licence_code or ""] += 1
        if shot.mpp_um:
            self.scales["all"].add(shot.mpp_um)
            if shot.magnification_source in WITNESSES:
                self.scales[shot.magnification_source].add(shot.mpp_um)
        if shot.model_id is not None and shot.image_abstained:
            self.abstained[shot.image_reason or ""] += 1
        if not shot.mpp_um:
            self.unscaled[_why_unscaled(shot)] += 1
        self._compare(shot)
        if shot.may_show:
            self.kept.add(shot.snapshot_id, shot)
        else:
            self.n_not_showable += 1

    def _compare(self, shot: Shot) -> None:
        trusted_um, bar_um, objective_x = shot.trusted_um, shot.bar_mpp_um, shot.objective_x
        interval = None
        if shot.image_mpp_lo_um and shot.image_mpp_hi_um:
            interval = (shot.image_mpp_lo_um, shot.image_mpp_hi_um)
        reviewed_um = shot.mpp_um if shot.magnification_source == "review" else None
        if reviewed_um:
            self.says["review"].add(reviewed_um)
        if trusted_um:
            self.says["image"].add(trusted_um)
            if interval:
                self.interval.add(interval[1] / interval[0])
            if reviewed_um:
                self.image_review.add(shot.snapshot_id, trusted_um, reviewed_um, interval=interval)
        if objective_x:
            self.says["caption"].add(10.0 / objective_x)
            if trusted_um:
                self.by_objective.setdefault(_nominal(objective_x), LogTally()).add(10.0 / trusted_um)
                self.caption_points.add(shot.snapshot_id, (objective_x, 10.0 / trusted_um))
        if not bar_um:
            return
        self.says["scale_bar"].add(bar_um)
        article = self.bars.setdefault(shot.article_id, ArticleBars(shot.article_id))
        article.n_bars += 1
        if not trusted_um:
            return
        is_conflict = shot.agreement == "conflict"
        self.image_bar.add(shot.snapshot_id, trusted_um, bar_um, interval=interval, conflict=is_conflict)
        if is_conflict:
            article.add_conflict(bar_um / trusted_um)
        # conflicts first, then what lies furthest apart
        self.worst.add(abs(math.log2(bar_um / trusted_um)) + 100.0 * is_conflict, shot.snapshot_id, shot)


def _why_unscaled(shot: Shot) -> str:
    if shot.agreement in ("conflict", "reviews_differ"):
        return shot.agreement
    if shot.model_id is None:
        return "waiting"
    return "abstained" if shot.image_abstained else "no_number"


OBJECTIVES_X = (1.25, 2.0, 4.0, 5.0, 10.0, 20.0, 25.0, 40.0, 60.0, 63.0, 100.0)


def _nominal(objective_x: float) -> float:
    """Return the usual objective that is nearest, so that odd statements can't make a table endless."""
    return min(OBJECTIVES_X, key=lambda usual: abs(math.log2(objective_x / usual)))


def scan_snapshots(catalog: Catalog, seed: str) -> Scan:
    """Read every row of the view once."""
    scan = Scan(seed)
    query = f"SELECT {', '.join(Shot._fields)} FROM snapshots"  # noqa: S608 names of this file
    values: tuple[Any, ...]
    for values in catalog.stream(query):
        scan.add(Shot(*values))
    return scan
