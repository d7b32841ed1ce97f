"""BreakHis as it is distributed: patients, four objectives, folds that keep a patient on one side, and the slope test.

    BreaKHis_v1/histology_slides/breast/<benign|malignant>/SOB/<type>/SOB_<B|M>_<T>-<year>-<slide>/<40X|...>/*.png

Source: Spanhol et al., IEEE Trans Biomed Eng 63(7):1455-1462, 2016. The relay lens leaves two possible ladders of
µm/px, and nobody has settled which: no absolute pixel size is claimed here. What holds on either is that pixels of the
4, 10, 20 and 40x objectives are as 10 : 4 : 2 : 1.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError

OBJECTIVES_X = (4.0, 10.0, 20.0, 40.0)
"""The folders 40X, 100X, 200X and 400X name objective times eyepiece."""
N_FOLDS = 5

_NAME = re.compile(r"SOB_([BM])_([A-Z]+)-(\d\d)-(\w+?)-(40|100|200|400)-(\d+)\.png", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BreakHisImage:
    """One photograph.

    Attributes:
        path: the file.
        patient: number of the patient, without the letters of a slide; 13412, who lies under two tumour types, is one.
        tumour: the type, such as "DC".
        is_malignant: by its name.
        objective_x: 4, 10, 20 or 40.
    """

    path: Path
    patient: str
    tumour: str
    is_malignant: bool
    objective_x: float


def is_breakhis(folder: Path) -> bool:
    """Whether a folder, or one of its upper two levels, is the distributed one."""
    return _root(folder) is not None


def read_breakhis(folder: Path) -> list[BreakHisImage]:
    """All photographs, sorted by name.

    Raises:
        DataError: when the folder is another one, holds none, or a name contradicts its folder.
    """
    root = _root(folder)
    if root is None:
        raise DataError(f"{folder} is not BreakHis as distributed: it has no histology_slides/breast.")
    images = []
    for path in sorted(root.rglob("*.png")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        kind, tumour, _, slide, power, _ = match.groups()
        if path.parent.name.upper() != f"{power}X":
            raise DataError(f"{path.name} lies in the folder {path.parent.name}: its name says {power}X.")
        number = re.match(r"\d+", slide)
        images.append(
            BreakHisImage(
                path, number[0] if number else slide, tumour.upper(), kind.upper() == "M", float(power) / 10.0
            )
        )
    if not images:
        raise DataError(f"{root} holds no photograph of BreakHis.")
    return images


def sides(images: Sequence[BreakHisImage], fold: int) -> dict[str, Split]:
    """The side of each patient in one of five folds.

    Every patient tests once and calibrates once; benign and malignant patients are dealt out apart, so that each has
    both kinds. A patient of both counts as malignant.

    Raises:
        DataError: when the fold is none, or there are too few patients for five.
    """
    if not 0 <= fold < N_FOLDS:
        raise DataError(f"BreakHis has the folds 0 to {N_FOLDS - 1}, not {fold}.")
    kinds: dict[str, bool] = {}
    for image in images:
        kinds[image.patient] = kinds.get(image.patient, False) or image.is_malignant
    if len(kinds) < N_FOLDS:
        raise DataError(f"{len(kinds)} patients cannot be dealt out to {N_FOLDS} folds.")
    found: dict[str, Split] = {}
    dealt = 0
    for kind in (False, True):
        names = [name for name, is_malignant in kinds.items() if is_malignant is kind]
        for name in sorted(names, key=lambda n: hashlib.sha256(f"breakhis/{n}".encode()).digest()):
            turn = (dealt - fold) % N_FOLDS
            found[name] = Split.TEST if turn == 0 else Split.CALIBRATION if turn == 1 else Split.TRAIN
            dealt += 1
    return found


@dataclass(frozen=True, slots=True)
class Slopes:
    """How predicted pixel sizes follow the objective; -1 is right, whatever the ladder.

    Attributes:
        median, low, high: slope over patients, with a 95 % interval by drawing patients.
        per_patient: slope of each patient with at least two objectives.
    """

    median: float
    low: float
    high: float
    per_patient: Mapping[str, float]


def slope_test(images: Sequence[BreakHisImage], log2_mpp: Sequence[float], seed: int = 0) -> Slopes:
    """Regress ln of the predicted µm/px on ln of the objective, patient by patient.

    Args:
        images: (n,) photographs.
        log2_mpp: (n,) predictions, log2 of µm per pixel; those that are not finite are left out.
        seed: of the interval.

    Raises:
        DataError: when no patient was photographed through two objectives.
    """
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for image, answer in zip(images, log2_mpp, strict=True):
        if math.isfinite(answer):
            points[image.patient].append((math.log(image.objective_x), answer * math.log(2.0)))
    slopes = {}
    for patient, pairs in sorted(points.items()):
        x, y = np.array(pairs).T
        if np.ptp(x) > 0:
            slopes[patient] = float(np.polyfit(x, y, 1)[0])
    if not slopes:
        raise DataError("no patient was photographed through two objectives: there is no slope to test.")
    values = np.array(list(slopes.values()))
    drawn = np.random.default_rng(seed).integers(0, len(values), (1000, len(values)))
    low, high = np.percentile(np.median(values[drawn], axis=1), [2.5, 97.5])
    return Slopes(float(np.median(values)), float(low), float(high), slopes)


def _root(folder: Path) -> Path | None:
    for start in (folder, folder / "BreaKHis_v1"):
        found = start / "histology_slides" / "breast"
        if found.is_dir():
            return found
    return folder if folder.name == "breast" and (folder / "benign").is_dir() else None
