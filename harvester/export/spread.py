"""How far the true pixel size may lie from its label: a distribution fitted to the intervals of an estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Z90, Z99 = 1.6448536269514722, 2.5758293035489004
"""Where the two-sided 90 % and 99 % intervals of a standard normal end."""


@dataclass(frozen=True, slots=True)
class ScaleSpread:
    """The distribution of log(true pixel size / label) as a straight line through the ends of the intervals.

    In between the ends of the 90 % interval it is a normal of that width, which need not be centred on the label;
    beyond them it runs through the ends of the 99 % interval, so that heavier or lighter tails are kept.

    Attributes:
        knots: Natural logarithms of end / label, rising: those of the 99, 90, 90 and 99 % interval.
    """

    knots: tuple[float, float, float, float]

    def probability_within(self, tolerance: float) -> float:
        """Return the probability that the true pixel size is the label times 1 - tolerance to 1 + tolerance."""
        return self._below(math.log1p(tolerance)) - self._below(math.log1p(-tolerance))

    @property
    def sigma(self) -> float:
        """Half the width of the 90 % interval in units of a normal's standard deviation, of the logarithm."""
        return (self.knots[2] - self.knots[1]) / (2 * Z90)

    def _below(self, x: float) -> float:
        z = (-Z99, -Z90, Z90, Z99)
        i = 0 if x < self.knots[1] else 1 if x < self.knots[2] else 2
        width = self.knots[i + 1] - self.knots[i]
        slope = (z[i + 1] - z[i]) / width
        return 0.5 * math.erfc(-(z[i] + slope * (x - self.knots[i])) / math.sqrt(2))


def spread_of(row: Mapping[str, Any]) -> ScaleSpread | None:
    """Return the spread of a row of the view `snapshots`; None for a value without an interval, such as a reviewer's.

    The 99 % interval is the reconciled one where the view has it, else the image's where the value is the image's, else
    the 90 % interval widened as a normal's would be.
    """
    label, lo, hi = row.get("mpp_um"), row.get("mpp_lo_um"), row.get("mpp_hi_um")
    if not (label and lo and hi) or not 0 < lo < hi:
        return None
    low, high = math.log(lo / label), math.log(hi / label)
    lo99, hi99 = row.get("mpp_lo99_um"), row.get("mpp_hi99_um")
    if not (lo99 and hi99) and row.get("magnification_source") == "image":
        lo99, hi99 = row.get("image_mpp_lo99_um"), row.get("image_mpp_hi99_um")
    tail = (high - low) / 2 * (Z99 / Z90 - 1)
    outer_low = math.log(lo99 / label) if lo99 and 0 < lo99 < lo else low - tail
    outer_high = math.log(hi99 / label) if hi99 and hi99 > hi else high + tail
    return ScaleSpread((outer_low, low, high, outer_high))
