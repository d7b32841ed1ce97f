"""The steps of a training, whatever is trained: resumable at any one, saved now and then, a line of the log for each.

A step depends on the weights before it, the optimiser, what the task keeps and its own number only, so a run that was
killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from hagnifinder.checkpoint import load_training_state, save_training_state
from hagnifinder.errors import DataError, HagnifinderError

log = logging.getLogger(__name__)

STATE_NAME = "state.pt"


class Task(Protocol):
    """What is trained, and how one step of it goes."""

    recipe: str
    """Everything the run depends on, as JSON; a run is resumed with the same one only."""
    total_steps: int
    progress: dict[str, Any]
    """Plain numbers that steps change and a resumed run needs."""

    @property
    def network(self) -> nn.Module:
        """Its weights are saved."""
        ...

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """Its state is saved."""
        ...

    def step(self, number: int) -> dict[str, float]:
        """Take step `number`, from 0, and say what the log should hold of it."""
        ...

    def is_over(self) -> bool:
        """Whether nothing is left to be learnt, before the last step."""
        ...


def claim(out: Path, resume: bool) -> None:
    """Make a folder the run's own.

    Raises:
        DataError: when it holds a run and resume is off.
    """
    if (out / STATE_NAME).exists() and not resume:
        raise DataError(f"{out} already holds a run: add --resume to go on with it.")
    out.mkdir(parents=True, exist_ok=True)


def run_steps(task: Task, out: Path, *, steps: int | None = None, save_every_s: float = 120.0) -> int:
    """Go on from the folder's state, or from the start, to the end of the recipe or to step `steps`.

    Returns:
        The number of steps taken since the beginning.

    Raises:
        DataError: when the folder's run is of another recipe, or the data cannot be read any more.
        ModelError: when the state to resume is damaged.
    """
    path = out / STATE_NAME
    step = _restore(load_training_state(path), task) if path.exists() else 0
    last = min(task.total_steps, steps if steps is not None else task.total_steps)
    saved_at = time.monotonic()
    while step < last and not task.is_over():
        try:
            told = task.step(step)
        except HagnifinderError:
            save_training_state(path, _state(step, task))
            raise
        step += 1
        with (out / "log.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": step, **told}) + "\n")
        if step % 10 == 0 or step == last:
            words = ", ".join(f"{name} {value:.4f}" for name, value in told.items())
            log.info("step %d of %d, %s", step, task.total_steps, words)
        if step == last or task.is_over() or time.monotonic() - saved_at > save_every_s:
            save_training_state(path, _state(step, task))
            saved_at = time.monotonic()
    return step


def _state(step: int, task: Task) -> dict[str, Any]:
    return {
        "step": step,
        "recipe": task.recipe,
        "network": task.network.state_dict(),
        "optimiser": task.optimiser.state_dict(),
        "progress": task.progress,
    }


def _restore(state: dict[str, Any], task: Task) -> int:
    if state["recipe"] != task.recipe:
        raise DataError("the run in this folder was started with another recipe: use another folder.")
    task.network.load_state_dict(state["network"])
    task.optimiser.load_state_dict(state["optimiser"])
    # What an earlier version saved knew no progress.
    task.progress.update(state.get("progress", {}))
    return int(state["step"])
