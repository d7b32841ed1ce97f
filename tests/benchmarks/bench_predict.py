"""How fast pictures are answered on this processor, and how far the shipped path drifts from the plain one.

    python -m tests.benchmarks.bench_predict [MODEL...] [--files FOLDER] [--rounds N]

First the whole way, file to JSON, by the shipped path and by the same weights in plain fp32 NCHW, in turn in one
process; then load time and memory in a fresh process; then the network alone, in several ways, on the same windows.
Trust the ratios, not the absolutes.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hagnifinder.checkpoint import load_weights
from hagnifinder.evaluation.speed import compare, plain_twin
from hagnifinder.inputs import Missing, expand
from hagnifinder.model import fold_batch_norm
from hagnifinder.predict import BATCH, Predictor
from hagnifinder.preprocess import WINDOW_PX, normalise
from hagnifinder.shipped import resolve
from tests.hagnifinder.drawn import draw_tissue

SIZES = ((500, 500), (531, 709), (768, 1024), (251, 317))
"""Height and width of the drawn pictures: those of published panels."""

FRESH = """
import resource, sys, time
began = time.perf_counter()
from hagnifinder.images import read_rgb
from hagnifinder.predict import Predictor
imported = time.perf_counter()
predictor = Predictor.load(sys.argv[1], "cpu")
loaded = time.perf_counter()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
predictor.predict(read_rgb(sys.argv[2]))
first = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = (imported - began, loaded - imported, first - loaded)
print("|", " | ".join(f"{t:.2f}" for t in times), f"| {before / 1024:.0f} | {peak / 1024:.0f} |")
"""


def draw_files(folder: Path) -> list[Path]:
    files = []
    for number, (height, width) in enumerate(SIZES):
        files.append(folder / f"{number}.png")
        Image.fromarray(draw_tissue(height, width, nucleus_px=8 + 6 * number, seed=number)).save(files[-1])
    return files


def ways(model: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Each way from (B, S, S, 3) uint8 windows to the network's output."""
    network = load_weights(resolve(model)).network.eval()
    plain = copy.deepcopy(network)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    folded = fold_batch_norm(copy.deepcopy(network)).to(memory_format=torch.channels_last)
    statistics_ = {"mean": network.MEAN, "std": network.STD} if hasattr(network, "MEAN") else {}

    def ready(x: torch.Tensor) -> torch.Tensor:
        return normalise(x, **statistics_)

    def bf16(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return folded(ready(x)).float()

    found = {
        "fp32, NCHW": lambda x: plain(ready(x).contiguous()),
        "fp32, channels last": lambda x: last(ready(x)),
        "fp32, channels last, merged norm": lambda x: folded(ready(x)),
    }
    # Without the instructions bf16 is emulated, a hundred times slower: not worth anybody's minute.
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        found["bf16 autocast, channels last, merged norm"] = bf16
    return found


def bench_whole_way(model: str, files: list[Path], rounds: int) -> None:
    shipped = Predictor.load(model, "cpu")
    c = compare(shipped, plain_twin(model), files, rounds)
    print(f"### {shipped.model_id}: file to JSON, {c.files} pictures, {c.rounds} rounds\n")
    print(
        "| path | ms a picture | of it reading | ratio | largest abs. d ln | same verdicts |\n|---|---|---|---|---|---|"
    )
    print(f"| plain fp32 NCHW | {1000 * c.plain_s:.0f} | {1000 * c.decode_s:.0f} | 1 | | |")
    verdicts = "yes" if c.same_verdicts else "no"
    print(f"| shipped | {1000 * c.shipped_s:.0f} | {1000 * c.decode_s:.0f} | {c.ratio:.2f} ", end="")
    print(f"| {c.largest_d_ln:.1e} | {verdicts} |\n")


def bench_fresh(model: str, file: Path) -> None:
    print("| import s | load s | first picture s | MiB loaded | MiB at most |\n|---|---|---|---|---|")
    command = [sys.executable, "-c", FRESH, model, str(file)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def bench_network(model: str, rounds: int) -> None:
    side_px = int(load_weights(resolve(model)).card.get("input_px", WINDOW_PX))
    pictures = [draw_tissue(side_px, side_px, nucleus_px=4 + 3 * i, seed=i) for i in range(BATCH)]
    windows = torch.from_numpy(np.stack(pictures))
    candidates = ways(model)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    answers: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for name, way in candidates.items():
            answers[name] = way(windows)
        for _ in range(rounds):
            for name, way in candidates.items():
                started = time.perf_counter()
                way(windows)
                times[name].append(time.perf_counter() - started)
    base = next(iter(candidates))
    print("| network alone | windows/s | ratio | drift of the output, mean | largest |\n|---|---|---|---|---|")
    for name, seconds in times.items():
        drift = (answers[name] - answers[base]).abs()
        ratio = statistics.median(b / s for b, s in zip(times[base], seconds, strict=True))
        print(f"| {name} | {BATCH / statistics.median(seconds):.1f} | {ratio:.2f} ", end="")
        print(f"| {float(drift.mean()):.1e} | {float(drift.max()):.1e} |")
    if len(candidates) == 3:
        print("\nbf16: this processor has no instructions for it; not run")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["default"])
    parser.add_argument("--files", help="a folder or pattern of pictures, instead of drawn ones")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        named = expand([options.files]) if options.files else ()
        files = [Path(f) for f in named if not isinstance(f, Missing)] or draw_files(Path(folder))
        for model in options.models:
            bench_whole_way(model, files, options.rounds)
            bench_fresh(model, files[0])
            bench_network(model, options.rounds)


if __name__ == "__main__":
    main()
