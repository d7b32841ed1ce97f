"""Prints what rules that see no tissue, and a rule that sees nuclei only, reach on data sets they never saw.

    python -m tests.benchmarks.bench_controls

The floors that a network's numbers stand on. Pictures of ../shared/histology, cut and shrunk as for every model
(`hagnifinder.evaluation.pictures`); for each fold of data sets the controls are fitted on the others' patients, as the
siblings of a network are. The nuclei rule is fitted too: by the median of what a nucleus measures in µm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hagnifinder.baselines.floors import fit_mean, fit_size_only
from hagnifinder.baselines.nuclei import measure_nuclei
from hagnifinder.baselines.spectrum import fit_spectrum
from hagnifinder.data.slides import read_catalog
from hagnifinder.data.splits import transfer_folds
from hagnifinder.evaluation.metrics import Row, Scored, table
from hagnifinder.evaluation.pictures import Picture, pictures_of
from hagnifinder.evaluation.protocol import results_markdown
from hagnifinder.predict import Estimate
from hagnifinder.scale import magnification_x_of
from hagnifinder.training.density import SUSPECT_DATASETS

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"

Answers = Sequence[float | None]
"""µm per pixel of each picture; None where a control can't tell."""


def _mean(seen: Sequence[Picture], asked: Sequence[Picture]) -> Answers:
    return [float(v) for v in 2.0 ** fit_mean(*_material(seen)).predict([p.pixels for p in asked])]


def _size_only(seen: Sequence[Picture], asked: Sequence[Picture]) -> Answers:
    return [float(v) for v in 2.0 ** fit_size_only(*_material(seen)).predict([p.pixels for p in asked])]


def _spectrum(seen: Sequence[Picture], asked: Sequence[Picture]) -> Answers:
    return [float(v) for v in 2.0 ** fit_spectrum(*_material(seen)).predict([p.pixels for p in asked])]


def _nuclei(seen: Sequence[Picture], asked: Sequence[Picture]) -> Answers:
    sizes = [(measure_nuclei(p.pixels), p.mpp_um) for p in seen]
    nucleus_um = float(np.median([size.diameter_px * mpp_um for size, mpp_um in sizes if size is not None]))
    found = [measure_nuclei(p.pixels) for p in asked]
    return [None if size is None else nucleus_um / size.diameter_px for size in found]


CONTROLS: dict[str, Callable[[Sequence[Picture], Sequence[Picture]], Answers]] = {
    "mean of the others": _mean,
    "size of the picture": _size_only,
    "power spectrum": _spectrum,
    "size of nuclei": _nuclei,
}


def _material(pictures: Sequence[Picture]) -> tuple[list[np.ndarray], list[float]]:
    return [p.pixels for p in pictures], [float(np.log2(p.mpp_um)) for p in pictures]


def _scored(picture: Picture, mpp_um: float | None) -> Scored:
    x = None if mpp_um is None else magnification_x_of(mpp_um)
    estimate = Estimate(mpp_um, None, None, x, None, None, mpp_um is None, "" if mpp_um else "no_detail", 0)
    return Scored(estimate, picture.mpp_um, picture.group, picture.dataset)


def main() -> None:
    images = [i for i in read_catalog(HISTOLOGY) if i.dataset not in SUSPECT_DATASETS and i.scale_quality != "C"]
    pictures = [picture for image in images for picture in pictures_of(image)]
    folds = transfer_folds(i.dataset for i in images)
    summary: list[tuple[str, Row, float]] = []
    for name, control in CONTROLS.items():
        scored: list[Scored] = []
        for fold in folds:
            asked = [p for p in pictures if p.dataset in fold]
            patients = {p.group for p in asked}
            answers = control([p for p in pictures if p.group not in patients and p.dataset not in fold], asked)
            scored += [_scored(p, a) for p, a in zip(asked, answers, strict=True)]
        rows = table(scored)
        names = {s.dataset for s in scored}
        medians = [r.median_log2 for r in rows if r.name in names and r.median_log2 is not None]
        summary.append((name, rows[0], float(np.mean(medians))))
        print(results_markdown(name, rows))
    print("| control | pictures | median abs. log2 | mean over data sets | 90th pct. | no answer |")
    print("|---|---|---|---|---|---|")
    for name, row, macro in summary:
        errors = f"{row.median_log2:.3f} | {macro:.3f} | {row.p90_log2:.3f}"
        print(f"| {name} | {row.pictures} | {errors} | {row.abstained:.0%} |")


if __name__ == "__main__":
    main()
