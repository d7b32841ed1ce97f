"""What every compared system is: a network, what it is asked for, how it is trained, and what its answer means.

The training loop (`hagnifinder.training.systems`) knows nothing else of them, so that all are trained and scored alike:
224 px crops, the same sides, the same number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from hagnifinder.data.batches import PatchBatch
from hagnifinder.data.crops import Crop, plain_crop
from hagnifinder.errors import ModelError


@dataclass(frozen=True, slots=True)
class Facts:
    """What a system must know of its training data.

    Attributes:
        levels_x: nominal levels, sorted.
        organs: organs with a name, sorted; they stand in for malignancy and HER2 score, whose labels cannot be had.
        pretrained: whether to start from ImageNet weights where the system has any; off when weights are loaded anyway.
    """

    levels_x: tuple[float, ...]
    organs: tuple[str, ...]
    pretrained: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return {"levels_x": list(self.levels_x), "organs": list(self.organs)}


class SystemNetwork(nn.Module):
    """A network with its loss and the meaning of its answer. `forward` takes (B, 3, 224, 224) float32, normalised."""

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """What is minimised."""
        raise NotImplementedError

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """(B,) predicted magnifications from the outputs of a batch."""
        raise NotImplementedError

    def begin_at(self, levels_x: Tensor) -> None:
        """Let the untrained answers spread as these levels do, where the answer is a plain number."""

    def fit(self, outputs: Tensor, level_x: Tensor) -> None:
        """Fit what is left to fit on the calibration side: nothing, for most systems."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a system is trained.

    Attributes:
        rate, weight_decay: of Adam, or of AdamW when there is any decay.
        kind: "plateau" halves the rate when the loss of an epoch has not fallen for `patience` epochs, and ends a round
            after ten; "cosine" warms up and falls to zero; "constant" does neither.
        batch: crops a step.
        epochs: passes over the training side when no number of samples is given.
        round2_share: share of the steps in which the paper's scaling factor is frozen.
        begins_at_levels: the last layer begins at the mean of the training levels, and as wide as they are. At zero, a
            magnification of 40 lies out of reach of a small rate for thousands of steps.
    """

    rate: float
    kind: Literal["plateau", "cosine", "constant"]
    batch: int = 32
    epochs: int = 100
    weight_decay: float = 0.0
    patience: int = 5
    least_rate: float = 0.0
    round2_share: float = 0.0
    begins_at_levels: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class System:
    """One compared system.

    Attributes:
        name: as `hagnifinder train` takes it.
        build: makes the network; chance comes from torch's generator.
        arms: schedules by name, the default first.
        crop: how training crops are cut, by arm; the plain crop where an arm is not named.
        about: where it comes from, and our readings.
        weights: what its network starts from.
        balanced: draw every level alike.
    """

    name: str
    build: Callable[[Facts], SystemNetwork]
    arms: Mapping[str, Schedule]
    about: str
    weights: str = "from scratch"
    crop: Crop = plain_crop
    crops: Mapping[str, Crop] | None = None
    balanced: bool = False

    def crop_of(self, arm: str) -> Crop:
        """How training crops of an arm are cut."""
        return (self.crops or {}).get(arm, self.crop)


def level_scores_to_x(scores: Tensor, levels_x: Tensor) -> Tensor:
    """(B, L) scores to the level with the highest, (B,)."""
    return levels_x[scores.argmax(dim=1)]


def two_heads_loss(level_scores: Tensor, organ_scores: Tensor, batch: PatchBatch) -> Tensor:
    """Sum of the two cross-entropies with equal weights; patches of unknown organ count for the level alone."""
    cross = nn.functional.cross_entropy
    loss = cross(level_scores, batch.level)
    known = batch.organ >= 0
    if organ_scores.shape[1] > 1 and bool(known.any()):
        loss = loss + cross(organ_scores[known], batch.organ[known])
    return loss


class TwoHeads(SystemNetwork):
    """A network that says level and organ; the organ teaches the level only."""

    levels_x: Tensor

    def __init__(self, body: nn.Module, n_features: int, facts: Facts) -> None:
        super().__init__()
        self.body = body
        self.n_levels = len(facts.levels_x)
        self.level_head = nn.Linear(n_features, self.n_levels)
        self.organ_head = nn.Linear(n_features, max(1, len(facts.organs)))
        self.register_buffer("levels_x", torch.tensor(facts.levels_x))

    def forward(self, x: Tensor) -> Tensor:
        """(B, levels + organs) scores."""
        features = self.body(x)
        return torch.cat([self.level_head(features), self.organ_head(features)], dim=1)

    def loss(self, outputs: Tensor, batch: PatchBatch) -> Tensor:
        """Both cross-entropies."""
        return two_heads_loss(outputs[:, : self.n_levels], outputs[:, self.n_levels :], batch)

    def magnification_x(self, outputs: Tensor) -> Tensor:
        """The likeliest level."""
        return level_scores_to_x(outputs[:, : self.n_levels], self.levels_x)


def pretrained_lite0() -> Mapping[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0.

    Raises:
        ModelError: when their package is not installed.
    """
    from hagnifinder.training.density import pretrained

    try:
        return cast(Mapping[str, Tensor], pretrained("efficientnet_lite0"))
    except ModelError as error:
        raise ModelError(f"this system starts from ImageNet weights: {error}") from error
