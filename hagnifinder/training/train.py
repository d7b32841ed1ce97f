"""Training on crops of any scale: two rounds, resumable at any step."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hagnifinder.checkpoint import save_weights
from hagnifinder.data.loader import CropSampler, Pyramid
from hagnifinder.data.slides import SlideImage
from hagnifinder.data.splits import SALT, Split, split_of
from hagnifinder.errors import DataError
from hagnifinder.model import Hagnifinder
from hagnifinder.preprocess import normalise
from hagnifinder.training.config import TrainConfig
from hagnifinder.training.loop import claim, run_steps
from hagnifinder.training.losses import encode, huber

log = logging.getLogger(__name__)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm-up, then half a cosine, in each round of its own."""
    if step < config.round1_steps:
        peak, at, length, warmup = config.peak_rate, step, config.round1_steps, config.warmup_steps
    else:
        peak, at = config.round2_rate, step - config.round1_steps
        length, warmup = config.total_steps - config.round1_steps, 5
    warmup = min(warmup, length // 2)
    if at < warmup:
        return peak * (at + 1) / warmup
    progress = (at - warmup) / max(1, length - warmup)
    return config.final_rate + 0.5 * (peak - config.final_rate) * (1.0 + math.cos(math.pi * progress))


def train(
    config: TrainConfig, images: Sequence[SlideImage], out: Path, *, steps: int | None = None, resume: bool = False
) -> Path:
    """Train on the pictures whose patients are on the training side.

    Args:
        config: the recipe.
        images: all pictures; the other sides are left out here.
        out: folder for `state.pt`, `log.jsonl` and, at the end, `<name>.safetensors` without calibration.
        steps: stop after so many steps of this recipe, counted from its beginning; the state can be resumed.
        resume: go on from `state.pt` of the folder when there is one.

    Returns:
        The weights file.

    Raises:
        DataError: when no picture trains, or the folder holds a run and resume is off, or it is of another recipe.
        ModelError: when the state to resume is damaged.
    """
    training = [image for image in images if split_of(image.group) is Split.TRAIN]
    if not training:
        raise DataError("no picture of this data set is on the training side.")
    claim(out, resume)
    torch.manual_seed(config.seed)
    log.info("reading %d pictures", len(training))
    sampler = CropSampler([p for p in map(Pyramid.of, training) if p is not None], seed=config.seed)
    task = _Crops(config, sampler)
    step = run_steps(task, out, steps=steps, save_every_s=config.save_every_s)
    path = out / f"{config.name}.safetensors"
    if not bool(task.network.scaling.is_frozen):
        # Stopped inside round 1: usable, and the card says how far it came. The state on disk stays unfrozen.
        task.network.scaling.freeze(_mean_factor(task.network, sampler, config))
    save_weights(path, task.network, training_card(config, step, training))
    return path


class _Crops:
    """The recipe on crops of any scale."""

    def __init__(self, config: TrainConfig, sampler: CropSampler) -> None:
        self.config, self.sampler = config, sampler
        self.network = Hagnifinder(config.backbone).to(memory_format=torch.channels_last)
        self.optimiser = _optimiser(self.network, config)
        self.recipe = json.dumps(config.as_dict(), sort_keys=True)
        self.total_steps = config.total_steps
        self.progress: dict[str, Any] = {}

    def step(self, number: int) -> dict[str, float]:
        if number == self.config.round1_steps:
            self.network.scaling.freeze(_mean_factor(self.network, self.sampler, self.config))
            log.info("round 2 with the factor %.6g", float(self.network.scaling.factor))
        loss, spread = _step(self.network, self.optimiser, self.sampler, self.config, number)
        return {"loss": loss, "median_log2_error": spread}

    def is_over(self) -> bool:
        return False


def training_card(config: TrainConfig, step: int, training: Sequence[SlideImage]) -> dict[str, Any]:
    """What can be said of weights before anything was measured."""
    return {
        "name": config.name,
        "version": "1",
        "backbone": config.backbone,
        "target": config.target,
        "input_px": 224,
        "steps_done": step,
        "recipe": config.as_dict(),
        "split_salt": SALT,
        "training_data": {
            "datasets": sorted({image.dataset for image in training}),
            "licences": sorted({image.licence for image in training if image.licence}),
            "pictures": len(training),
            "patients": len({image.group for image in training}),
        },
    }


def _optimiser(network: Hagnifinder, config: TrainConfig) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.peak_rate)


def _step(
    network: Hagnifinder, optimiser: torch.optim.Optimizer, sampler: CropSampler, config: TrainConfig, step: int
) -> tuple[float, float]:
    phase = config.phase_at(step)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(config, step)
    batch = sampler.batch(step, phase.batch, phase.side_px)
    network.train()
    answers = network(normalise(torch.from_numpy(batch.crops)))
    truth = torch.from_numpy(encode(batch.log2_mpp, config.target))
    loss = huber(answers, truth)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach()), float((answers.detach() - truth).abs().median())


@torch.no_grad()
def _mean_factor(network: Hagnifinder, sampler: CropSampler, config: TrainConfig) -> float:
    """The paper's m: the mean of the factor over training batches, in evaluation mode as in the first code."""
    network.eval()
    phase = config.round1[-1]
    factors = []
    for i in range(config.factor_batches):
        batch = sampler.batch(10_000_000 + i, phase.batch, phase.side_px)
        x = network.pre_activation(normalise(torch.from_numpy(batch.crops)))
        factors.append(float(network.scaling.batch_factor(x)))
    return sum(factors) / len(factors)
