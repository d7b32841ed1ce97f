"""Pictures that are there more than once: one is kept, and never two on different sides of a split.

Two pictures are the same when their files are, or when their 64-bit perceptual hashes differ in at most NEAR_BITS bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NEAR_BITS = 3
"""Copies differ in 2 bits after recompression or halving, other pictures in about 30 (docs/results/exports.md)."""

KEPT, TWICE, ACROSS = 0, 1, 2
"""Kept; the same as a kept one of its split; the same as a kept one of another split."""

_CHUNKS = 4
"""Of 16 bits. Hashes that differ in at most three bits have at least one chunk in common."""


@dataclass(slots=True)
class PictureHashes:
    """The pictures that compete, in the order of the catalog; about 20 bytes each.

    Attributes:
        sha64: First 64 bits of the SHA-256 of each file.
        phash: Perceptual hash of each.
        rank: 0 test, 1 val, 2 train: whoever is held out stays held out when a copy turns up in another article.
    """

    sha64: list[NDArray[np.uint64]] = field(default_factory=list)
    phash: list[NDArray[np.uint64]] = field(default_factory=list)
    rank: list[NDArray[np.uint8]] = field(default_factory=list)
    _rows: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, sha256: str, phash: str, rank: int) -> None:
        """Note one picture; a hash that is no hash counts as its own."""
        sha64 = int(sha256[:16], 16)
        try:
            bits = int(phash, 16) & (2**64 - 1)
        except ValueError:
            bits = sha64
        self._rows.append((sha64, bits, rank))
        if len(self._rows) >= 8192:
            self._pack()

    def _pack(self) -> None:
        if self._rows:
            sha64, phash, rank = zip(*self._rows, strict=True)
            self.sha64.append(np.array(sha64, np.uint64))
            self.phash.append(np.array(phash, np.uint64))
            self.rank.append(np.array(rank, np.uint8))
            self._rows.clear()

    def judge(self, *, keep_within: bool) -> NDArray[np.uint8]:
        """Return KEPT, TWICE or ACROSS for each picture, (n,) uint8.

        Whatever is the same as any picture of a split that goes before its own (test before val before train) is not
        kept, so that a larger harvest never trains on what a smaller one held out. Of those that are the same within a
        split the first of the catalog is kept.

        Args:
            keep_within: Keep all that are the same within a split.
        """
        self._pack()
        if not self.sha64:
            return np.zeros(0, np.uint8)
        sha64, phash, rank = np.concatenate(self.sha64), np.concatenate(self.phash), np.concatenate(self.rank)
        hashes, of_picture, n_picture = np.unique(phash, return_inverse=True, return_counts=True)
        near = _neighbours(hashes)
        files, of_file, n_file = np.unique(sha64, return_inverse=True, return_counts=True)
        has_near = np.zeros(len(hashes), bool)
        has_near[list(near)] = True
        # all others are like nothing else and stay
        contested = np.flatnonzero((n_picture[of_picture] > 1) | (n_file[of_file] > 1) | has_near[of_picture])
        contested = contested[np.argsort(rank[contested], kind="stable")]
        verdict = np.zeros(len(phash), np.uint8)
        # by hash and by file, a byte each: the first split that has it, and the split whose kept picture has it
        first = bytearray(b"\xff" * len(hashes)), bytearray(b"\xff" * len(files))
        kept = bytearray(first[0]), bytearray(first[1])
        for i in contested:
            own, file, split = int(of_picture[i]), int(of_file[i]), int(rank[i])
            same = ((0, own), (1, file), *((0, other) for other in near.get(own, ())))
            if any(first[which][key] < split for which, key in same):
                verdict[i] = ACROSS
            elif not keep_within and any(kept[which][key] == split for which, key in same):
                verdict[i] = TWICE
            else:
                kept[0][own] = kept[1][file] = split
            first[0][own] = min(first[0][own], split)
            first[1][file] = min(first[1][file], split)
        return verdict


def _neighbours(hashes: NDArray[np.uint64]) -> dict[int, set[int]]:
    """Return for each of the different hashes the positions of those within NEAR_BITS; only for those that have any.

    Hashes are sorted into buckets by each of their four chunks of 16 bits, and compared within buckets.
    """
    found: dict[int, set[int]] = defaultdict(set)
    for chunk in range(_CHUNKS):
        part = (hashes >> np.uint64(16 * chunk)) & np.uint64(0xFFFF)
        order = np.argsort(part, kind="stable")
        for first, second in _near_pairs(hashes[order], part[order]):
            for i, j in zip(order[first].tolist(), order[second].tolist(), strict=True):
                found[i].add(j)
                found[j].add(i)
    return found


def _near_pairs(
    hashes: NDArray[np.uint64], part: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield positions of near hashes of one bucket; each step compares every hash with the one `step` places later."""
    step = 1
    here = np.arange(len(hashes))
    while True:
        here = here[: np.searchsorted(here, len(hashes) - step)]
        here = here[part[here] == part[here + step]]
        if not len(here):
            return
        near = np.bitwise_count(hashes[here] ^ hashes[here + step]) <= NEAR_BITS
        if near.any():
            yield here[near], here[near] + step
        step += 1
