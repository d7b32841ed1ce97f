"""Training, validation and test, chosen from the article alone, so that no panel of a paper is on two sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

TEST_PERCENT = 10
VAL_PERCENT = 10


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
