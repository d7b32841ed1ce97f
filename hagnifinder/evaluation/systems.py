"""Test compared systems and controls on a built data set, under the protocols P1 to P4.

Every system sees the same crop of the same patches, those of the protocol's test side, and nothing of it was chosen
there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hagnifinder.baselines.floors import Regressor, fit_mean, fit_size_only
from hagnifinder.baselines.nuclei_rule import fit_nuclei_rule
from hagnifinder.baselines.spectrum import fit_spectrum
from hagnifinder.data.batches import read_crops
from hagnifinder.data.crops import Crop, centre_crop, shuffled_crop, stripped_crop
from hagnifinder.data.patches import Patch, read_manifest
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError
from hagnifinder.evaluation.details import clustered_interval, kappa, share_within
from hagnifinder.evaluation.metrics import Scored
from hagnifinder.evaluation.sides import TRAINED_UNDER, on_side
from hagnifinder.predict import Estimate
from hagnifinder.scale import magnification_x_of, mpp_um_of
from hagnifinder.training.systems import Trained, chosen_patches, outputs_of

_LEAST_X, _MOST_X = 0.05, 1000.0
_BLOCK = 512
_CONTROL_PATCHES = 2000
FOUR_LEVELS_X = (4.0, 10.0, 20.0, 40.0)
"""The levels of the paper's Table 3."""
WITHIN_X = (0.5, 1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """One test crop.

    Attributes:
        path, slide_id, patient, organ: of its patch.
        level_x: nominal magnification of the crop, an enlargement included.
        mpp_um: µm per pixel of the crop, from metadata.
        said_x: predicted magnification.
    """

    path: str
    slide_id: str
    patient: str
    organ: str
    level_x: float
    mpp_um: float
    said_x: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Section by section what a system reached.

    Attributes:
        name: system or control.
        patches, slides: tested.
        acc: ACC_0.5, ACC_1, ACC_5 on nominal levels, each with its 95 % interval by drawing slides.
        within: shares within 5, 10 and 25 % of the pixel size that the metadata give.
        median_log2, p90_log2: of |log2(said / true)| of that pixel size.
        mae_um: mean absolute error in µm per pixel.
        r2: of the nominal magnification.
        kappa: quadratically weighted, on 5/8/10/15/20/30/40x.
        four: for 4, 10, 20, 40x where there are patches: shares within 1 of it, and nearest to it of the four.
    """

    name: str
    patches: int
    slides: int
    acc: dict[str, tuple[float, float, float]]
    within: dict[str, float]
    median_log2: float
    p90_log2: float
    mae_um: float
    r2: float
    kappa: float
    four: dict[str, tuple[float, float]]


def test_patches(folder: Path, protocol: str, trained: Trained) -> list[Patch]:
    """The patches a system is tested on.

    Raises:
        DataError: when it was trained under another split, or the sides cannot be filled.
    """
    if trained.plan.protocol != TRAINED_UNDER[protocol]:
        raise DataError(
            f"{trained.plan.system} was trained under {trained.plan.protocol}: what {protocol} tests, it may have "
            f"seen. Train it with --protocol {TRAINED_UNDER[protocol]}."
        )
    return on_side(chosen_patches(folder, trained.plan), protocol, Split.TEST)


def fewer(patches: Sequence[Patch], most: int | None) -> list[Patch]:
    """At most so many patches, those whose names have the lowest hashes: the same ones for every system."""
    if most is None or len(patches) <= most:
        return list(patches)
    lowest = sorted(patches, key=lambda p: hashlib.sha256(f"tested/{p.path}".encode()).digest())[:most]
    names = {p.path for p in lowest}
    return [p for p in patches if p.path in names]


def crop_of(protocol: str) -> Crop:
    """How test crops of a protocol are cut."""
    return stripped_crop if protocol == "P4" else centre_crop


def answers_of(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float64]], folder: Path, patches: Sequence[Patch], crop: Crop
) -> list[Answer]:
    """Ask for the magnification of a crop of each patch; memory is that of a block of them.

    Raises:
        DataError: when a patch is gone or damaged.
    """
    found = []
    for start in range(0, len(patches), _BLOCK):
        part = patches[start : start + _BLOCK]
        crops, zooms = read_crops(folder, part, crop)
        said = np.clip(np.nan_to_num(predict(crops), nan=_LEAST_X), _LEAST_X, _MOST_X)
        found += [
            Answer(p.path, p.slide_id, p.patient, p.organ, p.level_x * float(z), p.mpp_um / float(z), float(x))
            for p, z, x in zip(part, zooms, said, strict=True)
        ]
    return found


def predict_with(trained: Trained) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """The magnifications that a system says of crops."""

    def predict(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.no_grad():
            outputs = outputs_of(trained.network, crops)
            return trained.network.magnification_x(outputs).double().cpu().numpy()

    return predict


def controls(
    folder: Path, protocol: str, trained: Trained | None = None, most: int | None = None
) -> dict[str, list[Answer]]:
    """What can be said without looking at tissue: fitted on the training side, asked on the test side.

    `mean`, `patch size` (which no system is shown), `nuclei size`, `power spectrum`, and, when a system is given,
    `shuffled tissue`: its own answers on crops whose blocks were put in another order.
    """
    patches = read_manifest(folder) if trained is None else chosen_patches(folder, trained.plan)
    asked = fewer(on_side(patches, protocol, Split.TEST), most)
    seen = on_side(patches, protocol, Split.TRAIN)
    rng = np.random.default_rng(0)
    seen = [seen[i] for i in sorted(rng.permutation(len(seen))[:_CONTROL_PATCHES])]
    crops, _ = read_crops(folder, seen, centre_crop)
    truth = [math.log2(mpp_um_of(p.level_x)) for p in seen]
    pictures = list(crops)
    rules: dict[str, Regressor] = {
        "mean": fit_mean(pictures, truth),
        "nuclei size": fit_nuclei_rule(pictures, truth),
        "power spectrum": fit_spectrum(pictures, truth),
    }
    crop = crop_of(protocol)
    found = {name: answers_of(_as_x(rule), folder, asked, crop) for name, rule in rules.items()}
    by_size = fit_size_only([_blank(p) for p in seen], truth)
    said = 10.0 / 2.0 ** by_size.predict([_blank(p) for p in asked])
    found["patch size"] = [
        Answer(p.path, p.slide_id, p.patient, p.organ, p.level_x, p.mpp_um, float(x))
        for p, x in zip(asked, said, strict=True)
    ]
    if trained is not None:
        found["shuffled tissue"] = answers_of(predict_with(trained), folder, asked, shuffled_crop)
    return found


def score(name: str, answers: Sequence[Answer]) -> Scores:
    """All measures of section 4.4 of the protocol, on these answers."""
    nominal = _scored(answers, [mpp_um_of(a.level_x) for a in answers])
    physical = _scored(answers, [a.mpp_um for a in answers])
    level, said = np.array([[a.level_x, a.said_x] for a in answers]).T
    slides = [a.slide_id for a in answers]
    errors = np.abs(np.log2([(10.0 / a.said_x) / a.mpp_um for a in answers]))
    spread = float(((level - level.mean()) ** 2).sum())
    acc = {}
    for within in WITHIN_X:
        # An answer exactly so far away is right in the paper; a way through µm/px and back would lose it to rounding.
        held = [bool(h) for h in np.abs(level - said) <= within + 1e-6]
        low, high = clustered_interval(held, slides)
        acc[f"{within:g}"] = (sum(held) / len(held), low, high)
    return Scores(
        name=name,
        patches=len(answers),
        slides=len(set(slides)),
        acc={k: (round(a, 4), round(b, 4), round(c, 4)) for k, (a, b, c) in acc.items()},
        within={f"{r:.0%}": round(share_within(physical, r), 4) for r in (0.05, 0.1, 0.25)},
        median_log2=round(float(np.median(errors)), 4),
        p90_log2=round(float(np.percentile(errors, 90)), 4),
        mae_um=round(float(np.mean([abs(10.0 / a.said_x - a.mpp_um) for a in answers])), 4),
        r2=round(1.0 - float(((level - said) ** 2).sum()) / spread, 4) if spread else math.nan,
        kappa=round(kappa(nominal), 4),
        four=_four(level, said),
    )


def _four(level: NDArray[np.float64], said: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    found = {}
    logs = np.log(FOUR_LEVELS_X)
    for i, x in enumerate(FOUR_LEVELS_X):
        here = said[np.abs(level - x) < 0.01]
        if len(here):
            nearest = np.abs(np.log(here)[:, None] - logs[None]).argmin(axis=1) == i
            found[f"{x:g}"] = (round(float((np.abs(here - x) <= 1.0).mean()), 4), round(float(nearest.mean()), 4))
    return found


def scores_markdown(rows: Sequence[Scores]) -> str:
    """A table of systems and controls."""
    lines = [
        "| | patches | slides | ACC_0.5 | ACC_1 (95 %) | ACC_5 | within 5 % | 10 % | 25 % | median abs. log2 "
        "| 90th pct. | MAE µm/px | R² | kappa |",
        "|---" * 14 + "|",
    ]
    for row in rows:
        one = row.acc["1"]
        shares = " | ".join(f"{share:.1%}" for share in row.within.values())
        lines.append(
            f"| {row.name} | {row.patches} | {row.slides} | {row.acc['0.5'][0]:.1%} | {one[0]:.1%} ({one[1]:.1%} to "
            f"{one[2]:.1%}) | {row.acc['5'][0]:.1%} | {shares} | {row.median_log2:.3f} | {row.p90_log2:.3f} | "
            f"{row.mae_um:.3f} | {_or_blank(row.r2)} | {_or_blank(row.kappa)} |"
        )
    return "\n".join(lines) + "\n"


def four_markdown(rows: Sequence[Scores]) -> str:
    """Table 3's four levels, scored both ways: within 1 of the level, and nearest of the four."""
    heads = [f"{x:g}x" for x in FOUR_LEVELS_X]
    lines = [
        "| | " + " | ".join(f"{h} within 1" for h in heads) + " | " + " | ".join(f"{h} nearest" for h in heads) + " |",
        "|---" * 9 + "|",
    ]
    for row in rows:
        cells = [row.four.get(f"{x:g}") for x in FOUR_LEVELS_X]
        values = [f"{c[i]:.1%}" if c else "no patches" for i in (0, 1) for c in cells]
        lines.append(f"| {row.name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def scores_json(rows: Sequence[Scores], facts: dict[str, Any]) -> bytes:
    """The same as JSON; what is not a number is null."""
    plain = json.loads(json.dumps({**facts, "rows": [asdict(row) for row in rows]}), parse_constant=lambda name: None)
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()


def answers_csv(answers: Sequence[Answer]) -> bytes:
    """A row for each test crop."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Answer.__slots__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(answer) for answer in answers)
    return text.getvalue().encode()


def _scored(answers: Sequence[Answer], truth_um: Sequence[float]) -> list[Scored]:
    return [
        Scored(
            Estimate(
                mpp_um_of(a.said_x), None, None, magnification_x_of(mpp_um_of(a.said_x)), None, None, False, "", 0
            ),
            um,
            a.patient,
            "",
        )
        for a, um in zip(answers, truth_um, strict=True)
    ]


def _as_x(rule: Regressor) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    return lambda crops: 10.0 / 2.0 ** rule.predict(list(crops))


def _blank(patch: Patch) -> NDArray[np.uint8]:
    return np.broadcast_to(np.uint8(0), (patch.patch_px, patch.patch_px, 3))


def _or_blank(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
