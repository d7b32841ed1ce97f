"""What a pass over a million rows keeps: counts in bins, a fair sample, the worst few. Size never grows with the rows.

Nothing here depends on the order of the rows, so the same catalog gives the same report whatever the database returns
first.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")

FINE_PER_OCTAVE = 24
"""Bins an octave: a quantile read from them is off by at most 1.5 %."""


@dataclass(slots=True)
class LogTally:
    """Counts of positive numbers in bins of equal ratio."""

    bins: Counter[int] = field(default_factory=Counter)
    n: int = 0

    def add(self, value: float) -> None:
        """Count a value; what is not a positive finite number is not counted."""
        if 0.0 < value < math.inf:
            self.bins[math.floor(math.log2(value) * FINE_PER_OCTAVE)] += 1
            self.n += 1

    def quantile(self, share: float) -> float | None:
        """Return the value below which a share (0 to 1) of the numbers lies, the middle of its bin; None when empty."""
        if not self.n:
            return None
        left = share * self.n
        for index in sorted(self.bins):
            left -= self.bins[index]
            if left <= 0:
                return float(2.0 ** ((index + 0.5) / FINE_PER_OCTAVE))
        return float(2.0 ** ((max(self.bins) + 0.5) / FINE_PER_OCTAVE))

    def coarse(self, edges: Iterable[float]) -> list[int]:
        """Return counts between ascending edges; what lies outside goes to the first and the last bin."""
        inner = list(edges)[1:-1]
        counts = [0] * (len(inner) + 1)
        for index, n in self.bins.items():
            middle = 2.0 ** ((index + 0.5) / FINE_PER_OCTAVE)
            counts[sum(middle >= edge for edge in inner)] += n
        return counts


@dataclass(slots=True)
class Sample(Generic[Item]):
    """A fair random sample of at most `size` items: those whose names hash lowest under the seed."""

    size: int
    seed: str
    n_seen: int = 0
    _heap: list[tuple[int, str, Item]] = field(default_factory=list)

    def add(self, name: str, item: Item) -> None:
        """Offer an item of a unique name."""
        self.n_seen += 1
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode("utf-8", "replace"), digest_size=8).digest()
        rank = -int.from_bytes(digest, "big")
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (rank, name, item))
        elif self.size and rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (rank, name, item))

    def items(self) -> list[Item]:
        """Return the sample, in the random order of the hashes."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


@dataclass(slots=True)
class Worst(Generic[Item]):
    """The `size` items with the highest badness; ties go to the name that sorts first."""

    size: int
    _heap: list[tuple[float, tuple[int, ...], Item]] = field(default_factory=list)

    def add(self, badness: float, name: str, item: Item) -> None:
        """Offer an item of a unique name."""
        if len(self._heap) == self.size and (not self.size or badness < self._heap[0][0]):
            return
        # a negated name: of equals the heap drops the one that sorts last; the end mark puts prefixes first
        entry = (badness, (*(-ord(letter) for letter in name), 1), item)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    def items(self) -> list[Item]:
        """Return them, the worst first."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


@dataclass(slots=True)
class Comparison:
    """How far one witness lies from another, over all rows that have both.

    Attributes:
        ratio: First over second.
        distance: The same as a factor of at least 1, whichever is larger.
        n_inside: Rows whose 90 % interval of the first holds the second; of `n_interval` that have an interval.
        points: A sample of (second, first, is a conflict) for the plot.
    """

    points: Sample[tuple[float, float, bool]]
    ratio: LogTally = field(default_factory=LogTally)
    distance: LogTally = field(default_factory=LogTally)
    n_within_quarter: int = 0
    n_within_double: int = 0
    n_interval: int = 0
    n_inside: int = 0

    @property
    def n(self) -> int:
        return self.ratio.n

    def add(
        self,
        name: str,
        first: float,
        second: float,
        *,
        interval: tuple[float, float] | None = None,
        conflict: bool = False,
    ) -> None:
        """Count one row; `interval` is the first witness's 90 % interval."""
        if not (0.0 < first < math.inf and 0.0 < second < math.inf):
            return
        factor = max(first / second, second / first)
        self.ratio.add(first / second)
        self.distance.add(factor)
        self.n_within_quarter += factor <= 1.25
        self.n_within_double += factor <= 2.0
        if interval is not None:
            self.n_interval += 1
            self.n_inside += interval[0] <= second <= interval[1]
        self.points.add(name, (second, first, conflict))


def wilson(n_hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source: E. B. Wilson, J Am Stat Assoc 22(158):209-212, 1927. It takes rows as
    independent, which panels of one article are not.
    """
    if n == 0:
        return 0.0, 1.0
    z, share = 1.959964, n_hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
