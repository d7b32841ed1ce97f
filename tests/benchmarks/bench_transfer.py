"""Prints how the siblings of a model do on the data sets they never saw: the details behind its table.

    python -m tests.benchmarks.bench_transfer MODEL --folds runs/small/fold-*/small.safetensors

The siblings answer, the model's card judges (interval, abstention); what the card calls suspect is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hagnifinder.data.slides import read_catalog
from hagnifinder.evaluation.details import clustered_interval, details_markdown, risk_markdown, worst_markdown
from hagnifinder.evaluation.transfer import ask_strangers, score_strangers
from hagnifinder.predict import Predictor

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--folds", nargs="+", type=Path, required=True)
    options = parser.parse_args()
    predictor = Predictor.load(options.model, "cpu")
    card = predictor.card
    suspect = card.get("results", {}).get("suspect_datasets", [])
    strangers = [s for s in ask_strangers(options.folds, read_catalog(HISTOLOGY)) if s.picture.dataset not in suspect]
    scored = score_strangers(strangers, predictor, card["scales"], card["sharpness"])
    held = [
        s.estimate.mpp_lo_um is not None
        and s.estimate.mpp_hi_um is not None
        and s.estimate.mpp_lo_um <= s.mpp_um <= s.estimate.mpp_hi_um
        for s in scored
    ]
    low, high = clustered_interval(held, [s.group for s in scored])
    print(f"{predictor.model_id}, {len(scored)} pictures\n\n{details_markdown(scored)}")
    print(f"coverage {sum(held) / len(held):.1%}, 95 % interval over patients {low:.1%} to {high:.1%}\n")
    print(f"{risk_markdown(scored)}\n{worst_markdown(scored)}", end="")


if __name__ == "__main__":
    main()
