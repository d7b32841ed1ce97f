"""The training loop: two rounds, resumable at any step.

A step depends on the weights before it, the optimiser and its own number only, so a run that was killed and resumed
ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hagnifinder.checkpoint import load_training_state, save_training_state, save_weights
from hagnifinder.data.loader import CropSampler, Pyramid
from hagnifinder.data.slides import SlideImage
from hagnifinder.data.splits import SALT, Split, split_of
from hagnifinder.errors import DataError
from hagnifinder.model import Hagnifinder
from hagnifinder.preprocess import normalise
from hagnifinder.training.config import TrainConfig
from hagnifinder.training.losses import encode, huber

log = logging.getLogger(__name__)

STATE_NAME = "state.pt"


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
    state_path = out / STATE_NAME
    if state_path.exists() and not resume:
        raise DataError(f"{out} already holds a run: add --resume to go on with it.")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = Hagnifinder(config.backbone).to(memory_format=torch.channels_last)
    optimiser = _optimiser(network, config)
    step = 0
    if state_path.exists():
        step = _restore(load_training_state(state_path), config, network, optimiser)
    log.info("reading %d pictures", len(training))
    sampler = CropSampler([p for p in map(Pyramid.of, training) if p is not None], seed=config.seed)
    last = min(config.total_steps, steps if steps is not None else config.total_steps)
    saved_at = time.monotonic()
    while step < last:
        if step == config.round1_steps:
            network.scaling.freeze(_mean_factor(network, sampler, config))
            log.info("round 2 with the factor %.6g", float(network.scaling.factor))
        loss, spread = _step(network, optimiser, sampler, config, step)
        step += 1
        with (out / "log.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": step, "loss": loss, "median_log2_error": spread}) + "\n")
        if step % 10 == 0 or step == last:
            log.info("step %d of %d, loss %.4f, median |log2| %.3f", step, config.total_steps, loss, spread)
        if step == last or time.monotonic() - saved_at > config.save_every_s:
            save_training_state(state_path, _state(step, config, network, optimiser))
            saved_at = time.monotonic()
    path = out / f"{config.name}.safetensors"
    if not bool(network.scaling.is_frozen):
        # Stopped inside round 1: usable, and the card says how far it came. The state on disk stays unfrozen.
        network.scaling.freeze(_mean_factor(network, sampler, config))
    save_weights(path, network, training_card(config, step, training))
    return path


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


def _state(step: int, config: TrainConfig, network: Hagnifinder, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    return {
        "step": step,
        "recipe": json.dumps(config.as_dict(), sort_keys=True),
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }


def _restore(state: dict[str, Any], config: TrainConfig, network: Hagnifinder, optimiser: torch.optim.Optimizer) -> int:
    if state["recipe"] != json.dumps(config.as_dict(), sort_keys=True):
        raise DataError("the run in this folder was started with another recipe: use another folder.")
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
