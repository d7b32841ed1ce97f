"""Estimates against brackets: the µm per pixel that the size of known structures in a picture allows.

A published picture has no trustworthy scale, but its nuclei and red cells do. A bracket is not a truth: an estimate
inside is possible, one outside is wrong by at least the factor it misses by, as far as the measurement and the
literature hold.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hagnifinder.errors import DataError
from hagnifinder.predict import Estimate


@dataclass(frozen=True, slots=True)
class Bracket:
    """What the pixel size of one picture can be.

    Attributes:
        panel: the picture's name.
        width_px: width of the picture that was measured; the bracket is of its pixels.
        mpp_lo_um, mpp_hi_um: µm per pixel.
        strength: good (round nuclei or red cells in focus), fair, or weak (structures that differ twofold, or blurred).
        note: what it rests on.
    """

    panel: str
    width_px: int
    mpp_lo_um: float
    mpp_hi_um: float
    strength: str
    note: str

    def miss_log2(self, mpp_um: float, width_px: int) -> float:
        """How far an estimate is outside, signed, in log2; 0 inside. Positive when it is too coarse.

        Args:
            mpp_um: the estimate, of the pixels of a picture `width_px` wide.
            width_px: when the picture was read at another size than it was measured at, the bracket moves along.
        """
        of_measured = mpp_um * width_px / self.width_px
        if of_measured < self.mpp_lo_um:
            return math.log2(of_measured / self.mpp_lo_um)
        return max(0.0, math.log2(of_measured / self.mpp_hi_um))


def read_brackets(path: Path) -> list[Bracket]:
    """Read a table of brackets.

    Raises:
        DataError: when it cannot be read, or a bracket is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            brackets = [
                Bracket(
                    row["panel"],
                    int(row["width_px"]),
                    float(row["mpp_lo_um"]),
                    float(row["mpp_hi_um"]),
                    row["strength"],
                    row["note"],
                )
                for row in csv.DictReader(lines)
            ]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no table of brackets.") from error
    for bracket in brackets:
        if not (0.0 < bracket.mpp_lo_um < bracket.mpp_hi_um and bracket.width_px > 0):
            raise DataError(f"{path}: the bracket of {bracket.panel} is empty.")
    return brackets


@dataclass(frozen=True, slots=True)
class Judged:
    """One picture's estimate beside its bracket."""

    bracket: Bracket
    estimate: Estimate
    width_px: int

    @property
    def miss_log2(self) -> float | None:
        """How far the guess is outside, None without a guess."""
        return None if self.estimate.mpp_um is None else self.bracket.miss_log2(self.estimate.mpp_um, self.width_px)

    @property
    def interval_meets(self) -> bool | None:
        """Whether the 90 % interval and the bracket have a pixel size in common."""
        low, high = self.estimate.mpp_lo_um, self.estimate.mpp_hi_um
        if low is None or high is None:
            return None
        # The interval's upper end may not lie below the bracket, nor its lower end above it.
        return self.bracket.miss_log2(high, self.width_px) >= 0.0 and self.bracket.miss_log2(low, self.width_px) <= 0.0


def brackets_markdown(title: str, judged: Sequence[Judged]) -> str:
    """A line per strength and one for all: how many are inside, and by how much the others miss.

    Guesses that were abstained from are counted among the guesses and again apart.
    """
    lines = [
        f"### {title}",
        "",
        "| brackets | pictures | with a guess | inside | median factor of those outside | too coarse | too fine "
        "| within a factor of 1.5 | interval meets bracket | median interval hi/lo | abstained | inside, answered |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in ("all", "good", "fair", "weak"):
        rows = [j for j in judged if name in ("all", j.bracket.strength)]
        misses = [j.miss_log2 for j in rows if j.miss_log2 is not None]
        outside = [abs(m) for m in misses if m]
        met = [j.interval_meets for j in rows if j.interval_meets is not None]
        widths = [
            j.estimate.mpp_hi_um / j.estimate.mpp_lo_um for j in rows if j.estimate.mpp_hi_um and j.estimate.mpp_lo_um
        ]
        answered = [j for j in rows if not j.estimate.abstained]
        lines.append(
            f"| {name} | {len(rows)} | {len(misses)} | {sum(m == 0 for m in misses)} "
            f"| {f'{2 ** statistics.median(outside):.2f}' if outside else ''} "
            f"| {sum(m > 0 for m in misses)} | {sum(m < 0 for m in misses)} "
            f"| {sum(abs(m) <= math.log2(1.5) for m in misses)} | {sum(met)} of {len(met)} "
            f"| {f'{statistics.median(widths):.2f}' if widths else ''} | {len(rows) - len(answered)} "
            f"| {sum(j.miss_log2 == 0 for j in answered)} of {len(answered)} |"
        )
    return "\n".join(lines) + "\n"


def panels_markdown(judged: Sequence[Judged]) -> str:
    """A line per picture."""
    lines = [
        "| panel | strength | bracket µm/px | estimate | 90 % interval | factor outside | abstained |",
        "|---|---|---|---|---|---|---|",
    ]
    for j in judged:
        # In the pixels that were judged, which need not be those that were measured.
        ratio = j.bracket.width_px / j.width_px
        e, miss = j.estimate, j.miss_log2
        lines.append(
            f"| {j.bracket.panel} | {j.bracket.strength} | {j.bracket.mpp_lo_um * ratio:.3g} to "
            f"{j.bracket.mpp_hi_um * ratio:.3g} | {'' if e.mpp_um is None else f'{e.mpp_um:.3g}'} "
            f"| {'' if e.mpp_lo_um is None else f'{e.mpp_lo_um:.3g} to {e.mpp_hi_um:.3g}'} "
            f"| {'' if miss is None else 'inside' if miss == 0 else f'{2**miss:.2f}'} "
            f"| {e.reason.replace('_', ' ')} |"
        )
    return "\n".join(lines) + "\n"
