"""Trains and scores compared systems on one built data set with equal budgets; can be stopped and goes on.

    python -m tests.benchmarks.bench_paper data/hagni40 --out runs/paper --samples 640 [--systems wang ...] [--most 400]
    hagnifinder paper runs/paper --data data/hagni40 --out results/paper

Each system is trained under P1 and P2 and tested under P1, P2 and P4 with the program's own commands; what is there is
not made again. The first system asked for is tested with the controls, too. `--speed` prints crops a second of the
loader alone, of the step alone, and of both together as in training, and writes them beside the runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from hagnifinder.baselines.registry import SYSTEMS
from hagnifinder.baselines.system import Facts
from hagnifinder.cli import main as hagnifinder
from hagnifinder.data.batches import PatchBatch, PatchSampler, ReadAhead
from hagnifinder.data.patches import read_manifest
from hagnifinder.files import write_atomically
from hagnifinder.preprocess import normalise

TESTED_UNDER = {"P1": ("P1",), "P2": ("P2", "P4")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, nargs="+", default=[640])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), help="system or system/arm")
    parser.add_argument("--most", type=int)
    parser.add_argument("--splits", nargs="+", default=["P1", "P2"])
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--speed", action="store_true")
    asked = parser.parse_args()
    if asked.speed:
        rows = {name: rates(name, asked.data) for name in asked.systems}
        write_atomically(asked.out / "speed.json", (json.dumps(rows, indent=2) + "\n").encode())
        return
    for samples, name, split in itertools.product(asked.samples, asked.systems, asked.splits):
        run_one(name, split, samples, asked.data, asked.out, asked.most, asked.controls and name == asked.systems[0])


def run_one(name: str, split: str, samples: int, data: Path, out: Path, most: int | None, with_controls: bool) -> None:
    system, _, arm = name.partition("/")
    folder = out / f"{name.replace('/', '-')}-{split}-{samples}"
    weights = folder / f"{system}.safetensors"
    if not weights.exists():
        words = ["train", system, data, "--out", folder, "--resume", "--protocol", split, "--samples", samples]
        run([*words, "--threads", "1", "--device", "cpu", *(["--arm", arm] if arm else [])])
    for protocol in TESTED_UNDER[split]:
        if not (folder / protocol / "results.json").exists():
            words = ["evaluate", weights, data, "--protocol", protocol, "--out", folder / protocol]
            run([*words, *(["--most", most] if most else []), *(["--controls"] if with_controls else [])])


def run(words: Sequence[object]) -> None:
    started = time.monotonic()
    hagnifinder([str(word) for word in words], standalone_mode=False)
    print(f"{time.monotonic() - started:6.0f} s  hagnifinder {' '.join(map(str, words))}", flush=True)


def rates(name: str, data: Path, size: int = 16, n: int = 3) -> dict[str, float]:
    """Crops a second of the loader alone, of the step alone, and of a step that asks the loader, in one run."""
    system = SYSTEMS[name]
    patches = read_manifest(data)
    levels = tuple(sorted({p.level_x for p in patches}))
    sampler = PatchSampler(data, patches, levels, (), system.crop_of(next(iter(system.arms))))
    network = system.build(Facts(levels, (), pretrained=False)).train()

    def step(batch: PatchBatch) -> None:
        network.loss(network(normalise(batch.crops)), batch).backward()

    step(sampler.batch(100, size))
    at = time.perf_counter()
    batches = [sampler.batch(number, size) for number in range(n)]
    loader_s = time.perf_counter() - at
    at = time.perf_counter()
    for batch in batches:
        step(batch)
    step_s = time.perf_counter() - at
    ahead = ReadAhead(sampler, size, n)
    at = time.perf_counter()
    for number in range(n):
        step(ahead.batch(number))
    both_s = time.perf_counter() - at
    ahead.close()
    seconds = {"loader_per_s": loader_s, "step_per_s": step_s, "both_per_s": both_s}
    found = {key: round(n * size / s, 1) for key, s in seconds.items()}
    print(name, found, flush=True)
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    main()
