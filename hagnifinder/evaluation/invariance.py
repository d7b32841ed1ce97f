"""Whether an answer for the field in µm stays when the picture is changed in ways that change nothing in nature.

Resizing by r makes pixels 1/r as large: the answer times r must stay. Everything else must leave the answer alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hagnifinder.data.augment import recompress
from hagnifinder.predict import Estimate
from hagnifinder.preprocess import RgbImage

TOLERANCE_LN = math.log(1.05)
"""An answer that moves by more than 5 % is said to have moved."""


@dataclass(frozen=True, slots=True)
class Change:
    """One way of changing a picture.

    Attributes:
        name: in words.
        apply: (H, W, 3) uint8 to (H', W', 3) uint8.
        ratio: size of the new pixels over that of the old: 2 when the picture is shrunk to half its width.
    """

    name: str
    apply: Callable[[RgbImage], RgbImage]
    ratio: float = 1.0


def resized(rgb: RgbImage, factor: float) -> RgbImage:
    """Resize as a program for pictures would: area averages when shrinking, cubic when enlarging."""
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    kernel = cv2.INTER_AREA if factor < 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size, interpolation=kernel), dtype=np.uint8)


def middle(rgb: RgbImage, share_of_side: float) -> RgbImage:
    """The middle of a picture."""
    height, width = (max(1, round(n * share_of_side)) for n in rgb.shape[:2])
    y, x = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[y : y + height, x : x + width])


def _resize(factor: float) -> Change:
    return Change(f"resized to {factor:g}", lambda rgb: resized(rgb, factor), 1.0 / factor)


def _jpeg(quality: int) -> Change:
    return Change(f"JPEG of quality {quality}", lambda rgb: recompress(rgb, quality, 3, 5))


def _turn(quarters: int) -> Change:
    return Change(f"turned by {90 * quarters}°", lambda rgb: np.ascontiguousarray(np.rot90(rgb, quarters)))


CHANGES: tuple[Change, ...] = (
    *(_resize(factor) for factor in (0.5, 0.7071, 0.8409, 1.1892, 1.4142, 2.0)),
    *(_jpeg(quality) for quality in (90, 70, 50)),
    *(_turn(quarters) for quarters in (1, 2, 3)),
    Change("mirrored", lambda rgb: np.ascontiguousarray(rgb[:, ::-1])),
    Change("cropped to a third of its area", lambda rgb: middle(rgb, 3.0**-0.5)),
    Change("cropped to a third of its sides", lambda rgb: middle(rgb, 1.0 / 3.0)),
)


@dataclass(frozen=True, slots=True)
class Stability:
    """How far answers moved under one change.

    Attributes:
        name: of the change.
        n: pictures with a guess before and after.
        median_ln, p90_ln: of |ln(answer after, brought back to the old pixels / answer before)|.
        bias_ln: median of it with its sign: positive when the change makes answers coarser.
        kept: share of the pictures whose answer moved by at most 5 %.
        newly_abstained: share of the pictures answered before that are abstained from after.
    """

    name: str
    n: int
    median_ln: float
    p90_ln: float
    bias_ln: float
    kept: float
    newly_abstained: float


def measure(
    predict_many: Callable[[Sequence[RgbImage]], Sequence[Estimate]], fields: Sequence[RgbImage]
) -> list[Stability]:
    """Compare the answers for fields before and after every change; a change that gives no pair is left out.

    Args:
        predict_many: any model's, such as `Predictor.predict_many`.
        fields: (H, W, 3) uint8 each.
    """
    before = predict_many(fields)
    found = []
    for change in CHANGES:
        after = predict_many([change.apply(rgb) for rgb in fields])
        moves = np.array(
            [
                math.log(b.mpp_um / change.ratio / a.mpp_um)
                for a, b in zip(before, after, strict=True)
                if a.mpp_um is not None and b.mpp_um is not None
            ]
        )
        if not moves.size:
            continue
        lost = [b.abstained for a, b in zip(before, after, strict=True) if not a.abstained]
        found.append(
            Stability(
                change.name,
                len(moves),
                float(np.median(np.abs(moves))),
                float(np.percentile(np.abs(moves), 90)),
                float(np.median(moves)),
                float((np.abs(moves) <= TOLERANCE_LN).mean()),
                float(np.mean(lost)) if lost else 0.0,
            )
        )
    return found


def invariance_markdown(title: str, rows: Sequence[Stability]) -> str:
    """The table as Markdown."""
    lines = [
        f"### {title}",
        "",
        "| change | fields | median abs. ln | 90th pct. | bias ln | moved at most 5 % | newly abstained |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.name} | {r.n} | {r.median_ln:.3f} | {r.p90_ln:.3f} | {r.bias_ln:+.3f} | {r.kept:.0%} "
        f"| {r.newly_abstained:.0%} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"
