"""Who trains, calibrates and tests under each protocol, on a built data set.

P1  by patch, 60/20/20, as the paper's first code splits: patches of one tile stand on all sides. It leaks, and is
    there to be compared with.
P2  by patient (`hagnifinder.data.splits`): the honest one. P4 tests the same patients without the cues of how patches
    were made.
P3  by organ: what is tested was never seen, not even in another patient.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hagnifinder.data.patches import Patch
from hagnifinder.data.splits import Split, split_of
from hagnifinder.errors import DataError

TRAINED_UNDER = {"P1": "P1", "P2": "P2", "P3": "P3", "P4": "P2"}
"""The split a model must have been trained under to be tested under a protocol."""
_FIRST_CODE_SEED = 40
_HELD_OUT = 0.2


def sides(patches: Sequence[Patch], protocol: str) -> list[Split]:
    """The side of each patch.

    Raises:
        DataError: when a side would be empty, since there are too few patients or organs.
    """
    if protocol == "P1":
        found = _by_patch(len(patches))
    elif protocol == "P3":
        found = _by_organ(patches)
    else:
        found = [split_of(patch.patient) for patch in patches]
    empty = [side for side in Split if side not in found]
    if empty:
        n_patients, n_organs = len({p.patient for p in patches}), len({p.organ for p in patches})
        raise DataError(
            f"{protocol} leaves nobody on the {' and '.join(empty)} side: {len(patches):,} patches of {n_patients} "
            f"patients and {n_organs} organs cannot fill three sides, add slides."
        )
    return found


def on_side(patches: Sequence[Patch], protocol: str, side: Split) -> list[Patch]:
    """The patches of one side, in their order."""
    return [patch for patch, at in zip(patches, sides(patches, protocol), strict=True) if at is side]


def _by_patch(n: int) -> list[Split]:
    order = np.random.default_rng(_FIRST_CODE_SEED).permutation(n)
    found = [Split.TRAIN] * n
    n_held = round(n * _HELD_OUT)
    for i in order[:n_held]:
        found[i] = Split.TEST
    for i in order[n_held : 2 * n_held]:
        found[i] = Split.CALIBRATION
    return found


def _by_organ(patches: Sequence[Patch]) -> list[Split]:
    """Organs in the order of a hash: the first ones that hold a fifth of the patches test, the next ones calibrate."""
    counts = Counter(p.organ or p.dataset for p in patches)
    order = sorted(counts, key=lambda name: hashlib.sha256(f"hagnifinder-organ/{name}".encode()).digest())
    side_of: dict[str, Split] = {}
    wanted = _HELD_OUT * len(patches)
    for side in (Split.TEST, Split.CALIBRATION):
        held = 0
        while order and held < wanted:
            name = order.pop(0)
            side_of[name] = side
            held += counts[name]
    found = [side_of.get(p.organ or p.dataset, Split.TRAIN) for p in patches]
    # A patient with slides of two organs stays whole: where one of them tests, all of them do.
    rank = (Split.TRAIN, Split.CALIBRATION, Split.TEST)
    strictest: dict[str, Split] = {}
    for patch, side in zip(patches, found, strict=True):
        strictest[patch.patient] = max(strictest.get(patch.patient, Split.TRAIN), side, key=rank.index)
    return [strictest[p.patient] for p in patches]
