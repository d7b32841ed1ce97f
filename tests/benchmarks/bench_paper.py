"""Trains and scores every compared system on one built data set with equal budgets; can be stopped and goes on.

    python -m tests.benchmarks.bench_paper data/hagni40 --out runs/paper --samples 20000 [--systems wang ...]

Each system is trained under P1 and P2 and tested under P1, P2 and P4; `table.md` in the folder is written anew after
each of them, with controls and the paper's numbers beside ours. A system whose result is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from hagnifinder.baselines.registry import SYSTEMS
from hagnifinder.data.batches import PatchSampler
from hagnifinder.data.patches import read_manifest
from hagnifinder.evaluation import systems
from hagnifinder.files import write_atomically
from hagnifinder.preprocess import normalise
from hagnifinder.training.systems import load_system, plan_of, train_system

TESTED_UNDER = {"P1": ("P1",), "P2": ("P2", "P4")}
PAPER = {
    "hagnifinder-r18": "53.4 / 82.8 / 99.9",
    "hagnifinder-r50": "88.2 / 98.9 / 100",
}
"""ACC_0.5, ACC_1 and ACC_5 of Zhang et al. 2023, Table 2: split as P1 by their code, on 128 slides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for split, protocols in TESTED_UNDER.items():
        for name in asked.systems:
            run_one(name, split, protocols, asked.data, asked.out, asked.samples)
            write_table(asked.out)
        for protocol in protocols:
            path = asked.out / f"{protocol}-controls.json"
            if not path.exists():
                rows = [systems.score(n, found) for n, found in systems.controls(asked.data, protocol).items()]
                write_atomically(path, systems.scores_json(rows, {"samples": 0}))
    write_table(asked.out)
    print((asked.out / "table.md").read_text())


def run_one(name: str, split: str, protocols: tuple[str, ...], data: Path, out: Path, samples: int) -> None:
    wanted = [p for p in protocols if not (out / f"{p}-{name}.json").exists()]
    if not wanted:
        return
    started = time.monotonic()
    folder = out / f"{split}-{name}"
    weights = train_system(plan_of(name, protocol=split, samples=samples), data, folder, resume=True)
    trained = load_system(weights)
    facts = {"samples": trained.card["samples_seen"], "training_s": round(time.monotonic() - started)}
    facts |= rates(name, data)
    for protocol in wanted:
        patches = systems.test_patches(data, protocol, trained)
        answers = systems.answers_of(systems.predict_with(trained), data, patches, systems.crop_of(protocol))
        write_atomically(out / f"{protocol}-{name}.csv", systems.answers_csv(answers))
        write_atomically(out / f"{protocol}-{name}.json", systems.scores_json([systems.score(name, answers)], facts))


def rates(name: str, data: Path, size: int = 16) -> dict[str, float]:
    """Crops a second of the loader alone, and of forward and backward pass alone, in one run."""
    system = SYSTEMS[name]
    patches = read_manifest(data)
    crop = system.crop_of(next(iter(system.arms)))
    sampler = PatchSampler(data, patches, sorted({p.level_x for p in patches}), (), crop)
    at = time.perf_counter()
    batches = [sampler.batch(n, size) for n in range(3)]
    loader_s = (time.perf_counter() - at) / 3
    trained = plan_network(name, data)
    at = time.perf_counter()
    for batch in batches[:2]:
        loss = trained.loss(trained(normalise(batch.crops)), batch)
        loss.backward()
    step_s = (time.perf_counter() - at) / 2
    return {"loader_per_s": round(size / loader_s, 1), "step_per_s": round(size / step_s, 1)}


def plan_network(name: str, data: Path):
    from hagnifinder.baselines.system import Facts

    levels = tuple(sorted({p.level_x for p in read_manifest(data)}))
    return SYSTEMS[name].build(Facts(levels, (), pretrained=False)).train()


def write_table(out: Path) -> None:
    lines = [
        "| protocol | system | crops seen | ACC_0.5 | ACC_1 (95 %) | ACC_5 | the paper | median abs. log2 | kappa | "
        "loader, step (crops/s) |",
        "|---" * 10 + "|",
    ]
    for path in sorted(out.glob("P*.json")):
        result = json.loads(path.read_text())
        for row in result["rows"]:
            acc = row["acc"]
            paper = PAPER.get(row["name"], "none") if path.name.startswith("P1") else ""
            speed = f"{result['loader_per_s']}, {result['step_per_s']}" if "step_per_s" in result else ""
            lines.append(
                f"| {path.name[:2]} | {row['name']} | {result['samples']:,} | {acc['0.5'][0]:.1%} | {acc['1'][0]:.1%} "
                f"({acc['1'][1]:.1%} to {acc['1'][2]:.1%}) | {acc['5'][0]:.1%} | {paper} | {row['median_log2']:.3f} | "
                f"{'' if row['kappa'] is None else row['kappa']} | {speed} |"
            )
    write_atomically(out / "table.md", ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
