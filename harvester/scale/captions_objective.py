"""Which objective a stated magnification implies.

A micrograph's "×400" is mostly objective times eyepiece, and the eyepiece is mostly a tenfold one; its "×40" can be
either. What stands beside the number decides, and where nothing does the answer is None.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Literal

Reading = Literal["objective", "with_eyepiece", "total", "words", "unclear"]

EYEPIECE_X = 10.0
OBJECTIVES_X = frozenset(
    {0.5, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0, 10.0, 12.5, 16.0, 20.0, 25.0, 32.0, 40.0, 50.0, 60.0,
     63.0, 100.0}
)  # fmt: skip
"""Objectives that are or were sold for transmitted light."""

MAX_LIGHT_X = 1600.0
"""No light micrograph is stated larger; an electron micrograph has no objective in this sense."""


def implied_objective(
    stated_x: float,
    *,
    names_objective: bool,
    names_original: bool,
    names_oil: bool,
    power: Literal["low", "high"] | None,
    others_x: AbstractSet[float],
) -> tuple[float | None, Reading]:
    """Read a stated magnification as an objective.

    Args:
        names_objective: The words say "objective", or give a numerical aperture.
        names_original: They say "original" or "total magnification".
        names_oil: They say oil or immersion.
        power: "low" or "high" where they say low or high power or magnification of this very number.
        others_x: The other magnifications that the same caption states.

    Returns:
        The objective, None when unclear, and how the number was read.
    """
    x = stated_x
    tenth = round(x / EYEPIECE_X, 3)
    if names_objective:
        if x in OBJECTIVES_X:
            return x, "objective"
        return (tenth, "with_eyepiece") if tenth in OBJECTIVES_X else (None, "unclear")
    if names_oil and x == 100.0:
        return 100.0, "objective"
    if x > MAX_LIGHT_X:
        return None, "total"
    if x > 100.0:
        return (tenth, "with_eyepiece") if tenth in OBJECTIVES_X else (None, "total")
    if x <= 10.0:
        return (x, "objective") if x in OBJECTIVES_X else (None, "unclear")
    if x == 100.0:
        # beside ×10 or ×20 it may be the oil objective as well as a total
        small = any(other < 40.0 or other in (60.0, 63.0) for other in others_x)
        return (None, "unclear") if small and max(others_x) <= 100.0 else (10.0, "with_eyepiece")
    as_total: tuple[float | None, Reading] = (tenth, "with_eyepiece") if tenth in OBJECTIVES_X else (None, "unclear")
    as_objective: tuple[float | None, Reading] = (x, "objective") if x in OBJECTIVES_X else (None, "unclear")
    if power == "low":
        return as_total
    if any(other > 100.0 for other in others_x):
        return as_total
    if 100.0 in others_x:
        return as_total if x != 20.0 else (None, "unclear")
    if any(
        other <= 10.0 or (other == 20.0 and x > 20.0) or (other >= 60.0 and x in (20.0, 40.0)) for other in others_x
    ):
        return as_objective
    if power == "high":
        return as_objective
    if x in (60.0, 63.0, 16.0, 32.0):
        return as_objective
    if names_original:
        return (None, "unclear") if x == 20.0 else as_total
    if x == 20.0:
        return as_objective
    return as_total if x in (50.0, 12.5) else (None, "unclear")
