"""How good found boxes are: ImageCLEF's accuracy and the average precision of COCO for one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harvester.geometry import BoxPx

from .drawn_figures import matched

COCO_IOUS = tuple(float(v) for v in np.linspace(0.5, 0.95, 10).round(2))
Found = Sequence[tuple[BoxPx, float]]
"""Boxes of one figure with their scores."""


def imageclef_accuracy(found: Sequence[BoxPx], true: Sequence[BoxPx]) -> float:
    """Return right panels over the larger of found and true ones (overlap above 0.66, one to one)."""
    return matched(list(found), tuple(true)) / max(len(found), len(true))


def average_precision(found: Sequence[Found], true: Sequence[Sequence[BoxPx]], least_iou: float) -> float:
    """Return the area under precision and recall at 101 recalls, each precision the best at no less recall.

    Source: Lin et al., Microsoft COCO (2014), and its evaluation code.
    """
    ranked = sorted(((score, k, box) for k, boxes in enumerate(found) for box, score in boxes), key=lambda r: -r[0])
    free = [list(boxes) for boxes in true]
    hits = []
    for _, k, box in ranked:
        best = max(free[k], key=box.iou, default=None)
        is_hit = best is not None and box.iou(best) >= least_iou
        if is_hit and best is not None:
            free[k].remove(best)
        hits.append(is_hit)
    n_true = sum(map(len, true))
    if not hits or not n_true:
        return 0.0
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / n_true, np.linspace(0, 1, 101), side="left")
    return float(np.mean([precision[i] if i < len(precision) else 0.0 for i in at]))
