"""How fast the network answers on this processor, and how far the quick ways drift from the plain one.

    python -m tests.benchmarks.bench_predict [MODEL]

Every way runs in turn, several rounds in one process, on the same drawn windows: trust the ratios, not the absolutes.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from hagnifinder.checkpoint import load_weights
from hagnifinder.model import fold_batch_norm
from hagnifinder.predict import BATCH
from hagnifinder.preprocess import WINDOW_PX, normalise
from hagnifinder.shipped import resolve
from tests.hagnifinder.drawn import draw_tissue

ROUNDS = 5


def ways(model: str) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Each way from (B, S, S, 3) uint8 windows to (B,) answers."""
    network = load_weights(resolve(model)).network
    plain = copy.deepcopy(network)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    folded = fold_batch_norm(copy.deepcopy(network)).to(memory_format=torch.channels_last)

    def bf16(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return folded(normalise(x)).float()

    found = {
        "fp32, NCHW": lambda x: plain(normalise(x).contiguous()),
        "fp32, channels last": lambda x: last(normalise(x)),
        "fp32, channels last, merged norm (used)": lambda x: folded(normalise(x)),
    }
    # Without the instructions bf16 is emulated, a hundred times slower: not worth anybody's minute.
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        found["bf16 autocast, channels last, merged norm"] = bf16
    return found


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "default"
    pictures = [draw_tissue(WINDOW_PX, WINDOW_PX, nucleus_px=4 + 3 * i, seed=i) for i in range(BATCH)]
    windows = torch.from_numpy(np.stack(pictures))
    candidates = ways(model)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    answers: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for name, way in candidates.items():
            answers[name] = way(windows)
        for _ in range(ROUNDS):
            for name, way in candidates.items():
                started = time.perf_counter()
                way(windows)
                times[name].append(time.perf_counter() - started)
    base = next(iter(candidates))
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    print(f"{'way':44} {'windows/s':>9} {'ratio':>6} {'drift mean':>10} {'max':>8}   (log2)")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        drift = (answers[name] - answers[base]).abs()
        ratio = statistics.median(times[base]) / middle
        print(f"{name:44} {BATCH / middle:9.1f} {ratio:6.2f} {float(drift.mean()):10.1e} {float(drift.max()):8.1e}")
    if len(candidates) == 3:
        print("bf16: this processor has no instructions for it; not run")


if __name__ == "__main__":
    main()
