"""Numbers that summarise answers: errors in log2 of the pixel size, coverage of the interval, abstentions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hagnifinder.predict import Estimate
from hagnifinder.scale import band_of, log2_error


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture's estimate beside its truth."""

    estimate: Estimate
    mpp_um: float
    group: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a results table; errors are over every picture with a guess, abstained or not.

    Attributes:
        median_log2, p90_log2: of |log2(predicted / true)|.
        median_answered_log2: the same median over the pictures that were not abstained from.
        bias_log2: median of log2(predicted / true).
        coverage: share of the pictures whose 90 % interval holds the truth.
        abstained: share of the pictures abstained from.
    """

    name: str
    pictures: int
    patients: int
    median_log2: float | None
    p90_log2: float | None
    median_answered_log2: float | None
    bias_log2: float | None
    coverage: float | None
    abstained: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def summarise(name: str, scored: Sequence[Scored]) -> Row:
    """One row for these pictures."""
    guesses = [s for s in scored if s.estimate.mpp_um is not None]
    errors = [log2_error(s.estimate.mpp_um, s.mpp_um) for s in guesses if s.estimate.mpp_um is not None]
    answered = [abs(e) for e, s in zip(errors, guesses, strict=True) if not s.estimate.abstained]
    inside = [
        s.estimate.mpp_lo_um <= s.mpp_um <= s.estimate.mpp_hi_um
        for s in guesses
        if s.estimate.mpp_lo_um is not None and s.estimate.mpp_hi_um is not None
    ]
    return Row(
        name=name,
        pictures=len(scored),
        patients=len({s.group for s in scored}),
        median_log2=_round(np.median(np.abs(errors))) if errors else None,
        p90_log2=_round(np.percentile(np.abs(errors), 90)) if errors else None,
        median_answered_log2=_round(np.median(answered)) if answered else None,
        bias_log2=_round(np.median(errors)) if errors else None,
        coverage=_round(np.mean(inside)) if inside else None,
        abstained=_round(np.mean([s.estimate.abstained for s in scored])) if scored else 0.0,
    )


def table(scored: Sequence[Scored]) -> list[Row]:
    """All pictures, then a row per band of magnification from coarse to fine, then a row per data set."""
    rows = [summarise("all", scored)]
    rows += _by(scored, lambda s: band_of(s.mpp_um), key=lambda name: float(name.split("-")[0]))
    rows += _by(scored, lambda s: s.dataset, key=lambda name: 0.0)
    return rows


def _by(scored: Sequence[Scored], name_of: Callable[[Scored], str], key: Callable[[str], float]) -> list[Row]:
    names = sorted({name_of(s) for s in scored}, key=lambda name: (key(name), name))
    return [summarise(name, [s for s in scored if name_of(s) == name]) for name in names]


def group_quantile(values: Sequence[float], groups: Sequence[str], share: float) -> float:
    """The conformal quantile when every group counts as one, however many pictures it has.

    The smallest v such that the pictures at or below it hold `share` of the weight, with one more group counted as
    lying beyond every value (the usual (n + 1) correction, on groups); the largest value when there are too few groups.
    """
    counts: dict[str, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
    needed = share * (len(counts) + 1)
    held = 0.0
    for value, group in sorted(zip(values, groups, strict=True)):
        held += 1.0 / counts[group]
        if held >= needed - 1e-9:
            return value
    return max(values)


def weighted_quantile(
    values: Sequence[float] | NDArray[np.float64], weights: NDArray[np.float64], share: float
) -> float:
    """The smallest of (N,) values such that it and those below hold `share` of the (N,) weights."""
    numbers = np.asarray(values, dtype=np.float64)
    order = np.argsort(numbers, kind="stable")
    held = np.cumsum(weights[order])
    return float(numbers[order][min(len(order) - 1, int(np.searchsorted(held, share * held[-1] - 1e-12)))])


def _round(value: float | np.floating[Any]) -> float:
    number = float(value)
    return round(number, 4) if math.isfinite(number) else number
