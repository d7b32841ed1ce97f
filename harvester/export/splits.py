"""Training, validation and test, chosen from the article alone, so that no panel of a paper is on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

TEST_PERCENT = 10
VAL_PERCENT = 10

BANDS: tuple[tuple[str, float], ...] = (
    ("below 2.5x", 2.5), ("2.5-5x", 5.0), ("5-10x", 10.0), ("10-20x", 20.0), ("20-40x", 40.0), ("40x and more", 1e9),
)  # fmt: skip
"""Bands of magnification whose balance over the splits is reported: name, upper end (not included)."""


def split_of(key: str) -> Split:
    """Choose the split of a group: SHA-256 of the key's UTF-8 bytes modulo 100; below 10 test, below 20 val.

    The same in every export, on every machine, for ever: adding articles moves none of the earlier ones.

    >>> split_of("PMC4706908"), split_of("PMC4706923")
    ('train', 'train')
    """
    bucket = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100
    if bucket < TEST_PERCENT:
        return "test"
    return "val" if bucket < TEST_PERCENT + VAL_PERCENT else "train"


def split_key(row: Mapping[str, Any]) -> str:
    """Return what must stay together: the group of your own files, else the PMCID (all versions), else the article."""
    return str(row["group_name"] or row["pmcid"] or row["article_id"])


def band_of(magnification_x: float | None) -> str:
    """Return the name of the band of a magnification."""
    if magnification_x is None:
        return "unknown"
    return next((name for name, end in BANDS if magnification_x < end), BANDS[-1][0])
