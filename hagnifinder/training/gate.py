"""A gate on the density network's own features: H&E-stained tissue, or anything else.

The network answers whatever it is shown; the stages that tell a nucleus from a speck also tell haematoxylin and eosin
from a plot, a smear or another stain. One linear layer on the normalised features reads that. How well it does on
sources it never saw is measured with the siblings that left data sets out, and with other pictures left out by their
source.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from hagnifinder.checkpoint import build_network, load_weights, save_weights
from hagnifinder.data.loader import CropSampler, Pyramid
from hagnifinder.data.slides import SlideImage
from hagnifinder.density import ScaleDensity
from hagnifinder.errors import DataError, ModelError
from hagnifinder.evaluation.pictures import pictures_of
from hagnifinder.images import read_rgb
from hagnifinder.model import fold_batch_norm
from hagnifinder.predict import windows_of
from hagnifinder.preprocess import RgbImage, normalise

log = logging.getLogger(__name__)

MIXED_KINDS = frozenset({"figure_multi", "figure_panels"})
"""Whole or cut published figures: a few hold an H&E panel, so they neither train nor count as errors."""
APART_KINDS = MIXED_KINDS | {"pas"}
"""What does not train. The only PAS at hand is of one source and one organ: a gate that learnt from it turned away
seven of twenty published H&E panels (docs/results/model.md)."""
MIN_HE_SCORE = 0.4
"""A picture is turned away where the odds are clearly against it: losing H&E costs more here than another stain does,
which the harvest's stain gate looks for."""
SOURCE_FOLDS = 4
PENALTY = 0.27
"""Weight of the squared length of the layer, beside a mean loss: a strong one, for features by the thousand."""

_BATCHES, _BATCH = 50, 16
_FIRST_BATCH = 5_000_000
_MAX_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class OtherImage:
    """A picture that shows no H&E."""

    path: Path
    kind: str
    source: str

    @property
    def fold(self) -> int:
        """The fold its source belongs to."""
        return int(hashlib.sha256(self.source.encode()).hexdigest(), 16) % SOURCE_FOLDS


@dataclass(frozen=True, slots=True)
class GateFeatures:
    """Normalised features of one network, (N, n_features) float16 each, one row a window.

    Attributes:
        he: training crops.
        other, other_index: windows of the other pictures, and which picture each was cut from.
        other_shrunk: whether the picture was shrunk first; such windows train and are not judged.
        left_out, left_out_index: windows of the H&E pictures of data sets left out, and their picture.
    """

    he: NDArray[np.float16]
    other: NDArray[np.float16]
    other_index: NDArray[np.int64]
    other_shrunk: NDArray[np.int64]
    left_out: NDArray[np.float16]
    left_out_index: NDArray[np.int64]


def read_others(folder: Path) -> list[OtherImage]:
    """The rows of a data folder's catalog.csv whose kind is not H&E.

    Raises:
        DataError: when the file can't be read or names a file outside the folder.
    """
    path = folder / "catalog.csv"
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = [row for row in csv.DictReader(lines) if row.get("kind") not in (None, "", "he")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: a data folder needs a catalog.csv.") from error
    found = []
    for row in rows:
        file = (folder / row["path"]).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise DataError(f"{path} names {row['path']!r}: the path must stay in the folder.")
        found.append(OtherImage(file, row["kind"], row.get("source") or row["path"]))
    return found


def gate_features(
    weights: Path,
    pictures: Sequence[SlideImage],
    images: Sequence[SlideImage],
    others: Sequence[OtherImage],
    store: Path,
) -> GateFeatures:
    """Run one network over its own training pictures, the other pictures, and what it left out; kept in `store`.

    Args:
        weights: a density network.
        pictures: what it was trained on.
        images: all H&E pictures; those of the data sets its card names as left out are asked.
        others: pictures without H&E.
        store: an .npz file; read when it is there, so that a killed run repeats one network at the most.

    Raises:
        ModelError: when the file is no density network.
        DataError: when no training picture has tissue.
    """
    if store.exists():
        with np.load(store) as kept:
            return GateFeatures(**{name: kept[name] for name in GateFeatures.__slots__})
    loaded = load_weights(weights)
    if not isinstance(loaded.network, ScaleDensity):
        raise ModelError(f"{weights} is no density network: only these have a gate.")
    side_px = int(loaded.card["input_px"])
    network = fold_batch_norm(loaded.network).to(memory_format=torch.channels_last)
    sampler = CropSampler([p for p in map(Pyramid.of, pictures) if p is not None], seed=99)
    crops = (sampler.batch(_FIRST_BATCH + k, _BATCH, side_px).crops for k in range(_BATCHES))
    he = np.concatenate([_features(network, batch) for batch in crops])
    rng = np.random.default_rng(0)
    cut: list[tuple[RgbImage, int, int]] = []
    for i, other in enumerate(others):
        pixels = read_rgb(other.path)
        for shrunk in (0, 1):
            if shrunk:
                share = float(rng.uniform(0.5, 0.9))
                pixels = np.asarray(cv2.resize(pixels, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
            refusal, windows = windows_of(pixels, (1.0,), side_px)
            if refusal:
                break
            cut.extend((window, i, shrunk) for _, window in windows[:_MAX_WINDOWS])
    left_out = set(loaded.card.get("recipe", {}).get("left_out", ()))
    asked: list[tuple[RgbImage, int]] = []
    number = 0
    for image in images:
        if image.dataset not in left_out or image.scale_quality == "C":
            continue
        for picture in pictures_of(image):
            windows = windows_of(picture.pixels, (1.0,), side_px)[1][:_MAX_WINDOWS]
            asked.extend((window, number) for _, window in windows)
            number += 1
    features = GateFeatures(
        he=he,
        other=_of_windows(network, [window for window, _, _ in cut]),
        other_index=np.array([i for _, i, _ in cut], dtype=np.int64),
        other_shrunk=np.array([shrunk for _, _, shrunk in cut], dtype=np.int64),
        left_out=_of_windows(network, [window for window, _ in asked]),
        left_out_index=np.array([i for _, i in asked], dtype=np.int64),
    )
    store.parent.mkdir(parents=True, exist_ok=True)
    temporary = store.with_name("gate.part.npz")
    np.savez(temporary, **{name: getattr(features, name) for name in GateFeatures.__slots__})
    temporary.replace(store)
    log.info("features for the gate of %s", weights)
    return features


def fit_gate(he: NDArray[np.float16], other: NDArray[np.float16]) -> nn.Linear:
    """Penalised logistic regression; both sides weigh the same."""
    x = torch.from_numpy(np.concatenate([he, other])).float()
    wanted = torch.cat([torch.ones(len(he)), torch.zeros(len(other))])
    weights = torch.cat([torch.full((len(he),), 0.5 / len(he)), torch.full((len(other),), 0.5 / len(other))])
    layer = nn.Linear(x.shape[1], 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=300, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        losses = F.binary_cross_entropy_with_logits(layer(x).squeeze(1), wanted, reduction="none")
        loss = (weights * losses).sum() + PENALTY * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return layer


def add_gate(
    weights: Path, full: GateFeatures, siblings: Sequence[GateFeatures], others: Sequence[OtherImage]
) -> dict[str, Any]:
    """Fit the gate of the network trained on everything, measure it by its siblings, and write both into its file.

    Returns:
        What the card says of it.

    Raises:
        ModelError: when the file is no density network.
        DataError: when there is nothing but H&E, or no sibling left a picture out.
    """
    trains = np.array([other.kind not in APART_KINDS for other in others], dtype=bool)
    folds = np.array([other.fold for other in others])
    if not trains.any() or not any(len(s.left_out) for s in siblings):
        raise DataError("a gate needs pictures that show no H&E, and siblings that left data sets out.")
    he_logits: list[float] = []
    other_logits: list[list[float]] = [[] for _ in others]
    for sibling in siblings:
        own: list[NDArray[np.float64]] = []
        for fold in range(SOURCE_FOLDS):
            used = trains[sibling.other_index] & (folds[sibling.other_index] != fold)
            if not used.any():
                continue
            layer = fit_gate(sibling.he, sibling.other[used])
            judged = (folds[sibling.other_index] == fold) & (sibling.other_shrunk == 0)
            means = _means(layer, sibling.other[judged], sibling.other_index[judged])
            for index, logit in means.items():
                other_logits[index].append(logit)
            own.append(np.array(list(_means(layer, sibling.left_out, sibling.left_out_index).values())))
        he_logits.extend(float(v) for v in np.mean(own, axis=0))
    threshold = math.log(MIN_HE_SCORE / (1.0 - MIN_HE_SCORE))
    kinds: dict[str, dict[str, int]] = {}
    for other, logits in zip(others, other_logits, strict=True):
        counts = kinds.setdefault(other.kind, {"pictures": 0, "with_tissue_colour": 0, "pass": 0})
        counts["pictures"] += 1
        if logits:
            counts["with_tissue_colour"] += 1
            counts["pass"] += float(np.mean(logits)) >= threshold
    loaded = load_weights(weights)
    card = {
        **loaded.card,
        "gate": {
            "min_he_score": MIN_HE_SCORE,
            "measured_on": time.strftime("%Y-%m-%d", time.gmtime()),
            "protocol": "H&E of data sets left out, other pictures of sources left out",
            "he_pictures": len(he_logits),
            "he_lost": int(np.sum(np.array(he_logits) < threshold)),
            "apart_kinds": sorted(APART_KINDS),
            "others": kinds,
        },
    }
    network = build_network(card)
    assert isinstance(network, ScaleDensity)
    network.load_state_dict(loaded.network.state_dict(), strict=False)
    network.gate = fit_gate(full.he, full.other[trains[full.other_index]])
    save_weights(weights, network, card)
    gate: dict[str, Any] = card["gate"]
    return gate


@torch.inference_mode()
def _features(network: ScaleDensity, windows: NDArray[np.uint8]) -> NDArray[np.float16]:
    x = normalise(torch.from_numpy(windows), network.MEAN, network.STD)
    rows: NDArray[np.float16] = network.head.norm(network.features(x)).half().numpy()
    return rows


def _of_windows(network: ScaleDensity, windows: Sequence[RgbImage]) -> NDArray[np.float16]:
    if not windows:
        return np.zeros((0, network.features.n_features), dtype=np.float16)
    starts = range(0, len(windows), _BATCH)
    return np.concatenate([_features(network, np.stack(windows[i : i + _BATCH])) for i in starts])


@torch.inference_mode()
def _means(layer: nn.Linear, rows: NDArray[np.float16], index: NDArray[np.int64]) -> dict[int, float]:
    """The mean log odds of each picture's windows."""
    logits = layer(torch.from_numpy(rows).float()).squeeze(1).numpy()
    return {int(i): float(logits[index == i].mean()) for i in np.unique(index)}
