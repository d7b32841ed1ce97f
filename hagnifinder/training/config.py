"""Everything a training run depends on, in one frozen object that travels with the weights."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hagnifinder.errors import DataError
from hagnifinder.training.losses import TARGETS, Target


@dataclass(frozen=True, slots=True)
class Phase:
    """So many steps with crops of one size."""

    steps: int
    side_px: int
    batch: int


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One recipe. Crops grow over the phases: small ones are cheap while the early layers still learn."""

    name: str = "hagnifinder-r18"
    backbone: str = "resnet18"
    target: Target = "log2_mpp"
    seed: int = 1
    round1: tuple[Phase, ...] = (Phase(900, 64, 32), Phase(250, 112, 32), Phase(40, 224, 16))
    round2: tuple[Phase, ...] = (Phase(30, 224, 16), Phase(180, 112, 32), Phase(24, 224, 16))
    """Round 2 goes on with the scaling factor frozen to its mean over the training batches."""
    peak_rate: float = 1e-3
    round2_rate: float = 5e-4
    final_rate: float = 2e-5
    warmup_steps: int = 30
    weight_decay: float = 0.02
    factor_batches: int = 4
    """Training batches over which the frozen factor is averaged, in evaluation mode."""
    save_every_s: float = 120.0

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise DataError(f"target is {self.target!r}: it must be one of {', '.join(TARGETS)}.")
        if not self.round1 or any(p.steps < 1 or p.side_px < 32 or p.batch < 2 for p in self.round1 + self.round2):
            raise DataError("every phase needs at least one step, crops of 32 px and batches of 2.")

    @property
    def round1_steps(self) -> int:
        """Steps of the first round."""
        return sum(p.steps for p in self.round1)

    @property
    def total_steps(self) -> int:
        """Steps of both rounds."""
        return self.round1_steps + sum(p.steps for p in self.round2)

    def phase_at(self, step: int) -> Phase:
        """The phase that step number `step`, from 0, belongs to."""
        for phase in self.round1 + self.round2:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError("the run is over")

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> TrainConfig:
        """The inverse of `as_dict`; unknown names are refused.

        Raises:
            DataError: when a name or a value does not belong in a recipe.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(plain) - known):
            raise DataError(f"the recipe has unknown settings: {', '.join(unknown)}.")
        try:
            rounds: dict[str, Any] = {
                name: tuple(Phase(**phase) if isinstance(phase, dict) else Phase(*phase) for phase in plain[name])
                for name in ("round1", "round2")
                if name in plain
            }
            return cls(**{**plain, **rounds})
        except TypeError as error:
            raise DataError(f"the recipe cannot be read: {error}.") from error

    @classmethod
    def load(cls, name_or_path: str) -> TrainConfig:
        """A recipe by name, or from a TOML file.

        Raises:
            DataError: when there is neither such a name nor such a file.
        """
        if name_or_path in RECIPES:
            return RECIPES[name_or_path]
        path = Path(name_or_path)
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DataError(
                f"{name_or_path!r} is neither a recipe ({', '.join(sorted(RECIPES))}) nor a readable TOML file."
            ) from error


RECIPES = {
    "hagnifinder-r18": TrainConfig(),
    "hagnifinder-r50": TrainConfig(
        name="hagnifinder-r50",
        backbone="resnet50",
        round1=(Phase(1500, 64, 32), Phase(600, 112, 32), Phase(60, 224, 16)),
        round2=(Phase(200, 112, 32), Phase(40, 224, 16)),
    ),
}
