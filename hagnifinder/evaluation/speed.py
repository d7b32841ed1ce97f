"""The shipped path beside the plainest one: same pictures, same weights, same process, file to JSON."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from hagnifinder.checkpoint import load_weights
from hagnifinder.images import read_rgb
from hagnifinder.predict import Device, Predictor
from hagnifinder.shipped import resolve


class _Plain(torch.nn.Module):
    """A network as it was trained, in 32-bit floats and plain NCHW memory."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network.float().eval().to(memory_format=torch.contiguous_format)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.network(windows.float().contiguous())
        return answers


def plain_twin(name_or_path: str, device: Device = "cpu") -> Predictor:
    """A predictor of the same weights whose network is run without any of the shipped path's quickening.

    Reading, windows and judgement are the same; only merged layers, memory order, number format and back end differ.

    Raises:
        ModelError: as `Predictor.load`.
    """
    twin = Predictor.load(name_or_path, device)
    twin._network = _Plain(load_weights(resolve(name_or_path)).network).to(twin.device)
    return twin


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two paths over the same files.

    Attributes:
        shipped_s, plain_s: median seconds a picture, decoded file to JSON line.
        decode_s: median seconds a picture for reading alone, part of both.
        ratio: median over the rounds of plain over shipped time.
        largest_d_ln: largest |ln(shipped / plain)| of the estimates.
        same_verdicts: no picture is abstained from by one path only, nor guessed by one only.
    """

    files: int
    rounds: int
    shipped_s: float
    plain_s: float
    decode_s: float
    ratio: float
    largest_d_ln: float
    same_verdicts: bool


def compare(shipped: Predictor, plain: Predictor, files: Sequence[Path], rounds: int = 3) -> Comparison:
    """Time both paths in turn, after one round that does not count.

    Args:
        files: pictures that can be read.
        rounds: each judges every file once by either path.

    Raises:
        ImageError: when a file is no picture.
    """
    decoding, quick, slow = [], [], []
    for round_ in range(rounds + 1):
        started = time.perf_counter()
        for file in files:
            read_rgb(file)
        read = time.perf_counter()
        answers = _answer(shipped, files)
        done = time.perf_counter()
        plain_answers = _answer(plain, files)
        ended = time.perf_counter()
        if round_:
            decoding.append(read - started)
            quick.append(done - read)
            slow.append(ended - done)
    pairs = [(json.loads(a), json.loads(b)) for a, b in zip(answers, plain_answers, strict=True)]
    drift = [abs(math.log(a["mpp_um"] / b["mpp_um"])) for a, b in pairs if a["mpp_um"] and b["mpp_um"]]
    return Comparison(
        files=len(files),
        rounds=rounds,
        shipped_s=statistics.median(quick) / len(files),
        plain_s=statistics.median(slow) / len(files),
        decode_s=statistics.median(decoding) / len(files),
        ratio=statistics.median(b / a for a, b in zip(quick, slow, strict=True)),
        largest_d_ln=max(drift, default=0.0),
        same_verdicts=all(
            a["abstained"] == b["abstained"] and (a["mpp_um"] is None) == (b["mpp_um"] is None) for a, b in pairs
        ),
    )


def _answer(predictor: Predictor, files: Sequence[Path]) -> list[str]:
    estimates = predictor.predict_many([read_rgb(file) for file in files])
    return [json.dumps(asdict(estimate)) for estimate in estimates]
