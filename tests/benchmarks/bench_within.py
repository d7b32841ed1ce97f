"""Trains the recipe of small without the test patients, and asks it about them: other patients of known data sets.

    python -m tests.benchmarks.bench_within --out runs/within [--head-blocks 106] [--steps 1100]

Stopped and called again it goes on where it was. Nothing is chosen on these patients: interval, sharpness and limits
are those of the shipped card, which other networks' answers decided.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.slides import read_catalog
from hagnifinder.data.splits import Split, split_of
from hagnifinder.evaluation.details import details_markdown, worst_markdown
from hagnifinder.evaluation.metrics import Scored, table
from hagnifinder.evaluation.protocol import held_out, results_markdown
from hagnifinder.predict import Predictor
from hagnifinder.training.density import DENSITY_RECIPES, SUSPECT_DATASETS, train_density

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"


def main() -> None:
    recipe = DENSITY_RECIPES["small"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--head-blocks", type=int, default=recipe.head_blocks)
    parser.add_argument("--steps", type=int, default=recipe.steps)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    images = read_catalog(HISTOLOGY)
    seen = [image for image in images if split_of(image.group) is not Split.TEST]
    recipe = replace(recipe, head_blocks=asked.head_blocks, steps=asked.steps)
    network = load_weights(train_density(recipe, seen, asked.out, resume=True)).network
    predictor = Predictor(network, Predictor.load("small", "cpu").card, "", torch.device("cpu"))
    pictures = [p for p in held_out(images, Split.TEST) if p.dataset not in SUSPECT_DATASETS]
    scored = [Scored(predictor.predict(p.pixels), p.mpp_um, p.group, p.dataset) for p in pictures]
    rows = table(scored)
    names = {s.dataset for s in scored}
    print(results_markdown("small without the test patients", rows))
    print(f"mean over data sets {np.mean([row.median_log2 for row in rows if row.name in names]):.3f}\n")
    print(f"{details_markdown(scored)}\n{worst_markdown(scored)}", end="")


if __name__ == "__main__":
    main()
