"""Prints what controls that see no tissue reach on the test patients: the floors that a network's numbers stand on.

    python -m tests.benchmarks.bench_controls

Fitted on the training patients' pictures of ../shared/histology, tested on the test patients', cut and shrunk as for
every model (`hagnifinder.evaluation.pictures`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hagnifinder.baselines.floors import Regressor, fit_mean, fit_size_only
from hagnifinder.baselines.spectrum import fit_spectrum
from hagnifinder.data.slides import read_catalog
from hagnifinder.data.splits import Split
from hagnifinder.evaluation.metrics import Scored, table
from hagnifinder.evaluation.protocol import held_out, results_markdown
from hagnifinder.predict import Estimate
from hagnifinder.scale import magnification_x_of

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"


def main() -> None:
    images = read_catalog(HISTOLOGY)
    seen, asked = held_out(images, Split.TRAIN), held_out(images, Split.TEST)
    pixels, log2_mpp = [p.pixels for p in seen], [float(np.log2(p.mpp_um)) for p in seen]
    controls: dict[str, Regressor] = {
        "mean": fit_mean(pixels, log2_mpp),
        "size only": fit_size_only(pixels, log2_mpp),
        "power spectrum": fit_spectrum(pixels, log2_mpp),
    }
    for name, control in controls.items():
        guesses = 2.0 ** control.predict([p.pixels for p in asked])
        scored = [
            Scored(
                Estimate(float(g), None, None, magnification_x_of(float(g)), None, None, False, "", 0),
                p.mpp_um,
                p.group,
                p.dataset,
            )
            for g, p in zip(guesses, asked, strict=True)
        ]
        print(results_markdown(f"{name}, fitted on {len(seen)} pictures", table(scored)))


if __name__ == "__main__":
    main()
