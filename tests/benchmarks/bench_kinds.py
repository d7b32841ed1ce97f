"""Which panels of real articles are called H&E: the tables of docs/results/stain.md.

    python -m tests.benchmarks.bench_kinds ARTICLES

ARTICLES holds truth.json and the PDFs. Panels are cut by the hand-checked boxes from the page at 150 dpi. Intervals are
of 95 %: by drawing whole articles again, and after Clopper and Pearson for what slips through.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pymupdf
from numpy.typing import NDArray
from scipy.stats import beta  # type: ignore[import-untyped]

from harvester.geometry import BoxPx
from harvester.stain.detect import score_kind

Said = NDArray[np.bool_]
SEED, DRAWS = 1, 2000


def intervals(truth: Said, said: Said, groups: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return (3, 3): value, 2.5 and 97.5 % in rows; precision, recall and F1 in columns."""
    names, of = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(of, v, len(names)) for v in (truth & said, said, truth)])
    drawn = sums[:, np.random.default_rng(SEED).integers(0, len(names), (DRAWS, len(names)))].sum(axis=2)
    hit, called, true = np.concatenate([sums.sum(axis=1)[:, None], drawn], axis=1)
    values = np.stack([hit / np.maximum(called, 1), hit / np.maximum(true, 1), 2 * hit / np.maximum(called + true, 1)])
    return np.vstack([values[:, 0], np.percentile(values[:, 1:], [2.5, 97.5], axis=1)])


def upper(k: int, n: int) -> float:
    """Return the upper end of the 95 % interval of a share, after Clopper and Pearson."""
    return 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))


def main() -> None:
    folder = Path(sys.argv[1])
    truth = json.loads((folder / "truth.json").read_text())
    is_he, scores, names, articles = [], [], [], []
    for figure in truth["figures"] + truth["negatives"]:
        with pymupdf.open(folder / figure["pdf"]) as document:
            page = document[figure["page"] - 1].get_pixmap(dpi=150, alpha=False)
        pixels = np.frombuffer(page.samples, np.uint8).reshape(page.height, page.width, 3)
        for panel in figure["panels"]:
            if not panel.get("bbox_150dpi"):
                continue
            box = BoxPx(*(round(v) for v in panel["bbox_150dpi"]))
            is_he.append(bool(panel["is_HE"]))
            scores.append(score_kind(np.ascontiguousarray(box.crop(pixels))))
            edges = f"{box.x0},{box.y0},{box.x1},{box.y1}"
            names.append(f"{figure['pdf']} page {figure['page']} box {edges} ({panel['type']})")
            articles.append(figure["pmcid"])
    yes, said = np.array(is_he), np.array([score.kind == "he" for score in scores])
    print(
        f"{len(yes)} panels of {len(set(articles))} articles, {yes.sum()} of H&E.\n\n| | value | 95 % |\n|---|---|---|"
    )
    for name, (value, low, high) in zip(
        ("precision", "recall", "F1"), intervals(yes, said, np.array(articles)).T, strict=True
    ):
        print(f"| {name} | {value:.3f} | {low:.3f} to {high:.3f} |")
    k, n = int((~yes & said).sum()), int((~yes).sum())
    print(f"\n{k} of {n} panels that are not H&E slip through, at most {upper(k, n):.3f}.\n")
    for at in np.flatnonzero(yes != said):
        print(f"- {names[at]}: said {scores[at].kind}, H&E {scores[at].he_score:.2f}")


if __name__ == "__main__":
    main()
