"""How far the image's estimates lie from scale bars and reviews, and how pixel sizes spread for a stated objective.

Pure: rows in, tables out. Errors are log2(image / truth): +1 is twice too coarse.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from harvester.scale.reconcile import ErrorModels

Truth = Literal["review", "scale_bar", "scale_bar_in_conflict"]

MIN_SNAPSHOTS, MIN_ARTICLES = 10, 3
"""Fewer say nothing of other articles, however small their error."""
MIN_REFIT_ARTICLES = 5
IN_CONFLICT = "image_in_conflict"

BANDS_X = (0.0, 2.5, 5.0, 10.0, 20.0, 40.5, math.inf)
"""Edges of the bands of magnification; 40x itself belongs to 20-40x."""

CAMERA_LOG2, CAMERA_WEIGHT = 4.0, 4.0
"""Before any harvest: cameras of 3.45 to 9 µm a pixel behind 0.35x to 1x adapters give 4 to 10 µm over the objective;
printing makes pixels two to four times coarser: 16 µm. Counted as this many articles."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One snapshot whose scale is known apart from the image."""

    snapshot_id: str
    article_id: str
    journal: str
    publisher: str
    truth: Truth
    true_mpp_um: float
    image_mpp_um: float
    image_lo_um: float | None
    image_hi_um: float | None
    abstained: bool

    @property
    def error_log2(self) -> float:
        return math.log2(self.image_mpp_um / self.true_mpp_um)

    @property
    def is_covered(self) -> bool | None:
        if self.image_lo_um is None or self.image_hi_um is None:
            return None
        return self.image_lo_um <= self.true_mpp_um <= self.image_hi_um


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table; numbers are None where there is nothing to count.

    Attributes:
        median_log2, p90_log2: Of the absolute error over snapshots the model did not abstain from.
        bias_log2: Median of the error.
        coverage: Share of truths inside the 90 % interval.
        abstained: Share the model abstained from.
        is_enough: Whether there are enough snapshots and articles to say anything of others.
    """

    truth: str
    by: str
    name: str
    snapshots: int
    articles: int
    median_log2: float | None
    p90_log2: float | None
    bias_log2: float | None
    coverage: float | None
    abstained: float | None
    is_enough: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ObjectiveSize:
    """A pixel size of a snapshot whose caption states an objective; `source` says who gave it."""

    snapshot_id: str
    article_id: str
    objective_x: float
    mpp_um: float
    source: str

    @property
    def ratio_log2(self) -> float:
        return math.log2(self.mpp_um * self.objective_x)


def compare(rows: Sequence[Mapping[str, Any]]) -> list[Compared]:
    """Return the snapshots that have an image's estimate and a truth: a reviewer's number, else a scale bar."""
    found = []
    for row in rows:
        truth: Truth | None = None
        true_um = None
        if row["magnification_source"] == "review":
            truth, true_um = "review", row["mpp_um"]
        elif row["bar_mpp_um"]:
            truth = "scale_bar_in_conflict" if row["agreement"] == "conflict" else "scale_bar"
            true_um = row["bar_mpp_um"]
        if truth is None or not true_um or not row["image_mpp_um"]:
            continue
        found.append(
            Compared(
                row["snapshot_id"],
                row["article_id"],
                row["journal"] or "unknown",
                publisher_of(row["doi"]),
                truth,
                true_um,
                row["image_mpp_um"],
                row["image_mpp_lo_um"],
                row["image_mpp_hi_um"],
                bool(row["image_abstained"]),
            )
        )
    return found


def publisher_of(doi: str | None) -> str:
    """Return the registrant of a DOI ("10.1371"), which stands for the publisher; "unknown" without a DOI."""
    return doi.split("/", 1)[0] if doi and "/" in doi else "unknown"


def band_of(mpp_um: float) -> str:
    """Return the band of magnification of a pixel size, such as "10-20x"."""
    x = 10.0 / mpp_um
    for low, high in itertools.pairwise(BANDS_X):
        if low <= x < high:
            return f"{low:g}-{40 if high == 40.5 else high:g}x" if math.isfinite(high) else "above 40x"
    return "unknown"


def tables(compared: Sequence[Compared]) -> list[Line]:
    """Return lines for each kind of truth: all, by band, by publisher, by journal.

    Bars that were called conflicts because of the image are a kind of their own: left out, the image would have
    chosen its own judges.
    """
    lines = []
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("review", ("review",)),
        ("scale bars that are believed", ("scale_bar",)),
        ("all scale bars as read", ("scale_bar", "scale_bar_in_conflict")),
    )
    keys: tuple[tuple[str, Callable[[Compared], str]], ...] = (
        ("all", lambda item: "all"),
        ("band", lambda item: band_of(item.true_mpp_um)),
        ("publisher", lambda item: item.publisher),
        ("journal", lambda item: item.journal),
    )
    for truth, accepted in kinds:
        here = [item for item in compared if item.truth in accepted]
        for by, key in keys:
            groups: dict[str, list[Compared]] = defaultdict(list)
            for item in here:
                groups[key(item)].append(item)
            if by == "all" and not groups:
                groups["all"] = []
            lines += [_line(truth, by, name, groups[name]) for name in sorted(groups)]
    return lines


def _line(truth: str, by: str, name: str, items: Sequence[Compared]) -> Line:
    errors = np.array([item.error_log2 for item in items if not item.abstained])
    covered = [item.is_covered for item in items if not item.abstained and item.is_covered is not None]
    articles = len({item.article_id for item in items})
    return Line(
        truth,
        by,
        name,
        len(items),
        articles,
        _rounded(np.median(np.abs(errors))) if len(errors) else None,
        _rounded(np.percentile(np.abs(errors), 90)) if len(errors) else None,
        _rounded(np.median(errors)) if len(errors) else None,
        _rounded(np.mean(covered)) if covered else None,
        _rounded(np.mean([item.abstained for item in items])) if items else None,
        len(errors) >= MIN_SNAPSHOTS and articles >= MIN_ARTICLES,
    )


def objective_sizes(rows: Sequence[Mapping[str, Any]]) -> list[ObjectiveSize]:
    """Return pixel sizes, by review, believed bar or image, of snapshots whose caption states an objective.

    Where a bar is a conflict the image's own size stands, as `IN_CONFLICT`: shown, and not learnt from.
    """
    found = []
    for row in rows:
        mpp_um, source = row["mpp_um"], row["magnification_source"]
        if row["agreement"] == "conflict" and row["image_mpp_um"] and not row["image_abstained"]:
            mpp_um, source = row["image_mpp_um"], IN_CONFLICT
        if row["objective_x"] and mpp_um and source in ("review", "scale_bar", "image", IN_CONFLICT):
            found.append(ObjectiveSize(row["snapshot_id"], row["article_id"], row["objective_x"], mpp_um, source))
    return found


def refit(sizes: Sequence[ObjectiveSize], models: ErrorModels) -> ErrorModels | None:
    """Learn the spread of µm per pixel times objective; every article counts once. None when there are too few.

    The mean starts at what cameras give (`CAMERA_LOG2`) with the weight of a few articles; the spread is that of single
    panels within and between articles, and never below half an octave.
    """
    by_article: dict[str, list[float]] = defaultdict(list)
    for size in sizes:
        if size.source != IN_CONFLICT:
            by_article[size.article_id].append(size.ratio_log2)
    n = len(by_article)
    if n < MIN_REFIT_ARTICLES:
        return None
    means = np.array([np.mean(values) for values in by_article.values()])
    centre = float((CAMERA_LOG2 * CAMERA_WEIGHT + means.sum()) / (CAMERA_WEIGHT + n))
    variance = float(np.mean([np.mean((np.asarray(v) - centre) ** 2) for v in by_article.values()]))
    spread = math.sqrt((CAMERA_WEIGHT * 1.0 + n * variance) / (CAMERA_WEIGHT + n))
    return replace(models, objective_log2=round(centre, 3), objective_sd=round(max(0.5, spread), 3), objective_n=n)


def _rounded(value: Any) -> float:
    return round(float(value), 3)
