"""Train one of the compared systems on a built data set: the same loop, sides and number of samples for all of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hagnifinder.baselines.hagnifinder import PaperNetwork
from hagnifinder.baselines.registry import SYSTEMS
from hagnifinder.baselines.system import Facts, Schedule, System, SystemNetwork
from hagnifinder.checkpoint import save_weights
from hagnifinder.data.batches import PatchBatch, PatchSampler, ReadAhead, read_crops
from hagnifinder.data.crops import centre_crop
from hagnifinder.data.patches import MANIFEST_NAME, Patch, read_manifest
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError, ModelError
from hagnifinder.evaluation.sides import on_side
from hagnifinder.preprocess import normalise
from hagnifinder.shipped import read_card
from hagnifinder.training.loop import claim, run_steps

_FACTOR_BATCHES = 4
_CALIBRATION_MOST = 2000
_CONVERGED_EPOCHS = 10
_WARMUP_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is: all of it travels with the weights, and a run is resumed with the same plan only.

    Attributes:
        system, arm: names.
        protocol: P1, P2 or P3; P4 tests what was trained under P2.
        samples: crops to be seen; None for the schedule's epochs.
        batch: crops a step; None for the schedule's.
        levels_x: nominal levels to train on; empty for all that were built.
        seed: of weights, order and crops.
    """

    system: str
    arm: str
    protocol: str = "P2"
    samples: int | None = None
    batch: int | None = None
    levels_x: tuple[float, ...] = ()
    seed: int = 1


def plan_of(name: str, arm: str | None = None, **settings: Any) -> Plan:
    """A plan for a system.

    Raises:
        DataError: when there is no such system or arm.
    """
    if name not in SYSTEMS:
        raise DataError(f"{name!r} is no system: there are {', '.join(SYSTEMS)}.")
    arms = SYSTEMS[name].arms
    if arm is not None and arm not in arms:
        raise DataError(f"{name} has no arm {arm!r}: it has {', '.join(arms)}.")
    return Plan(name, arm or next(iter(arms)), **settings)


def train_system(
    plan: Plan,
    folder: Path,
    out: Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    device: torch.device | None = None,
    loaders: int = 1,
    save_every_s: float = 120.0,
) -> Path:
    """Train to the end of the plan, or to step `steps`, and write `<system>.safetensors`.

    Raises:
        DataError: when the data set cannot be used or lost a patch, or the folder holds another run.
        ModelError: when the state to resume is damaged, or pretrained weights are not installed.
    """
    claim(out, resume)
    patches = chosen_patches(folder, plan)
    training = on_side(patches, plan.protocol, Split.TRAIN)
    facts = Facts(tuple(sorted({p.level_x for p in patches})), tuple(sorted({p.organ for p in training if p.organ})))
    task = _Patches(plan, facts, folder, training, device or torch.device("cpu"), loaders)
    try:
        step = run_steps(task, out, steps=steps, save_every_s=save_every_s)
        if task.wants_factor():
            # Stopped inside round 1: usable, and the card says how far it came. The state on disk stays unfrozen.
            task.freeze()
    finally:
        task.ahead.close()
    task.network.eval()
    if type(task.network).fit is not SystemNetwork.fit:
        held = on_side(patches, plan.protocol, Split.CALIBRATION)
        held = [held[i] for i in sorted(_draw(len(held), _CALIBRATION_MOST, plan.seed))]
        crops, _ = read_crops(folder, held, centre_crop)
        task.network.fit(outputs_of(task.network, crops), torch.tensor([p.level_x for p in held]).to(task.device))
    path = out / f"{plan.system}.safetensors"
    save_weights(path, task.network.cpu(), _card(plan, facts, task, step, folder, training), halve=False)
    return path


def chosen_patches(folder: Path, plan: Plan) -> list[Patch]:
    """The patches of the plan's levels.

    Raises:
        DataError: when there is none.
    """
    patches = read_manifest(folder)
    if plan.levels_x:
        patches = [p for p in patches if p.level_x in plan.levels_x]
        if not patches:
            raise DataError(f"{folder} holds no patch of the levels asked for.")
    return patches


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained system.

    Attributes:
        network: in evaluation mode.
        plan: how it was trained.
        card: everything known of it.
    """

    network: SystemNetwork
    plan: Plan
    card: dict[str, Any]


def load_system(path: Path) -> Trained:
    """Read what `train_system` wrote.

    Raises:
        ModelError: when it is something else, or damaged.
    """
    card = read_card(path).card
    try:
        plan = Plan(**{**card["plan"], "levels_x": tuple(card["plan"]["levels_x"])})
        facts = Facts(
            tuple(float(x) for x in card["facts"]["levels_x"]), tuple(card["facts"]["organs"]), pretrained=False
        )
        network = SYSTEMS[plan.system].build(facts)
        with safe_open(str(path), framework="pt") as file:
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path} is no trained system of this version.") from error
    return Trained(network.eval(), plan, card)


def is_system(path: Path) -> bool:
    """Whether a weights file is one of a compared system."""
    try:
        return path.is_file() and "plan" in read_card(path).card
    except ModelError:
        return False


@torch.no_grad()
def outputs_of(network: SystemNetwork, crops: Any, batch: int = 64) -> Tensor:
    """Outputs of a network in evaluation mode for (n, 224, 224, 3) uint8 crops."""
    device = next(iter(network.buffers()), next(network.parameters())).device
    parts = [network(normalise(torch.from_numpy(crops[i : i + batch]).to(device))) for i in range(0, len(crops), batch)]
    return torch.cat(parts)


@dataclass
class _Patches:
    """The task of `hagnifinder.training.loop`."""

    plan: Plan
    facts: Facts
    folder: Path
    training: Sequence[Patch]
    device: torch.device
    loaders: int
    progress: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan, self.system = self.plan, SYSTEMS[self.plan.system]
        self.schedule: Schedule = self.system.arms[plan.arm]
        self.batch = plan.batch or self.schedule.batch
        samples = plan.samples or self.schedule.epochs * len(self.training)
        self.total_steps = max(2, math.ceil(samples / self.batch))
        self.steps_an_epoch = max(1, math.ceil(len(self.training) / self.batch))
        self.recipe = json.dumps(
            [_plain(plan), self.schedule.as_dict(), self.facts.as_dict(), self.total_steps, _digest(self.training)]
        )
        torch.manual_seed(plan.seed)
        self.network: SystemNetwork = self.system.build(self.facts).to(self.device)
        if self.schedule.begins_at_levels:
            self.network.begin_at(torch.tensor([p.level_x for p in self.training]))
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser: torch.optim.Optimizer = (
            torch.optim.AdamW(trained, lr=self.schedule.rate, weight_decay=self.schedule.weight_decay)
            if self.schedule.weight_decay
            else torch.optim.Adam(trained, lr=self.schedule.rate)
        )
        self.sampler = PatchSampler(
            self.folder,
            self.training,
            self.facts.levels_x,
            self.facts.organs,
            self.system.crop_of(plan.arm),
            seed=plan.seed,
            balanced=self.system.balanced,
        )
        self.ahead = ReadAhead(self.sampler, self.batch, self.total_steps, self.loaders)
        # round 2 begins at this step, or when the loss has stood still; epochs: losses summed so far, best, idle ones.
        self.progress = {
            "round2_at": round(self.total_steps * (1.0 - self.schedule.round2_share)),
            "rate": self.schedule.rate,
            "loss_sum": 0.0,
            "best": math.inf,
            "idle": 0,
            "over": False,
        }

    def step(self, number: int) -> dict[str, float]:
        if self.schedule.round2_share and number == self.progress["round2_at"] and self.wants_factor():
            self.freeze()
        rate = self._rate(number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.ahead.batch(number).to(self.device)
        self.network.train()
        # What dropout leaves out follows from the step alone.
        torch.manual_seed(self.plan.seed * 1_000_003 + number)
        outputs = self.network(normalise(batch.crops))
        loss = self.network.loss(outputs, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DataError(f"the loss is no number any more at step {number}: this arm does not converge here.")
        self._count(number, value)
        error = (self.network.magnification_x(outputs.detach()) - batch.level_x).abs().median()
        return {"loss": value, "median_error_x": float(error)}

    def is_over(self) -> bool:
        return bool(self.progress["over"])

    def wants_factor(self) -> bool:
        """Whether the network has a scaling factor that is not frozen yet."""
        return isinstance(self.network, PaperNetwork) and not bool(self.network.net.scaling.is_frozen)

    @torch.no_grad()
    def freeze(self) -> None:
        """The paper's m: the mean of the factor over training batches, in evaluation mode as in the first code."""
        assert isinstance(self.network, PaperNetwork)
        self.network.eval()
        net = self.network.net
        factors = []
        for i in range(_FACTOR_BATCHES):
            batch: PatchBatch = self.sampler.batch(10_000_000 + i, self.batch).to(self.device)
            factors.append(float(net.scaling.batch_factor(net.pre_activation(normalise(batch.crops)))))
        net.scaling.freeze(sum(factors) / len(factors))

    def _rate(self, number: int) -> float:
        if self.schedule.kind != "cosine":
            return float(self.progress["rate"])
        warmup = max(1, round(self.total_steps * _WARMUP_SHARE))
        if number < warmup:
            return self.schedule.rate * (number + 1) / warmup
        done = (number - warmup) / max(1, self.total_steps - warmup)
        return self.schedule.rate * 0.5 * (1.0 + math.cos(math.pi * done))

    def _count(self, number: int, loss: float) -> None:
        """At the end of an epoch: halve the rate, or end the round, when the training loss has stood still."""
        now = self.progress
        now["loss_sum"] += loss
        if self.schedule.kind != "plateau" or (number + 1) % self.steps_an_epoch:
            return
        now["idle"] = 0 if now["loss_sum"] < now["best"] else now["idle"] + 1
        now["best"] = min(now["best"], now["loss_sum"])
        now["loss_sum"] = 0.0
        if now["idle"] and now["idle"] % (self.schedule.patience + 1) == 0:
            now["rate"] = max(self.schedule.least_rate, now["rate"] * 0.5)
        if now["idle"] >= _CONVERGED_EPOCHS:
            if self.wants_factor() and number + 1 < now["round2_at"]:
                now.update(round2_at=number + 1, idle=0, best=math.inf)
            else:
                now["over"] = True


def _card(
    plan: Plan, facts: Facts, task: _Patches, step: int, folder: Path, training: Sequence[Patch]
) -> dict[str, Any]:
    system: System = task.system
    return {
        "name": plan.system,
        "plan": _plain(plan),
        "schedule": task.schedule.as_dict(),
        "facts": facts.as_dict(),
        "about": system.about,
        "starting_weights": system.weights,
        "steps_done": step,
        "steps_planned": task.total_steps,
        "samples_seen": step * task.batch,
        "manifest_sha256": hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest(),
        "training_data": {
            "patches": len(training),
            "slides": len({p.slide_id for p in training}),
            "patients": len({p.patient for p in training}),
        },
    }


def _plain(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in Plan.__slots__} | {"levels_x": list(plan.levels_x)}


def _digest(patches: Sequence[Patch]) -> str:
    return hashlib.sha256("\n".join(f"{p.path} {p.sha256}" for p in patches).encode()).hexdigest()


def _draw(n: int, most: int, seed: int) -> list[int]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return [int(i) for i in order[:most]]
