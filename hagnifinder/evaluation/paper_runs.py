"""The runs that the paper's tables are made of: whatever `hagnifinder evaluate --out` left below a folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagnifinder.errors import DataError
from hagnifinder.evaluation.systems import Answer, Scores, score

_LARGEST_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """One system tested under one protocol.

    Attributes:
        system, arm, protocol: names.
        samples: crops it was trained on.
        data: SHA-256 of the manifest it was trained on.
        scores: of its stored answers.
        controls: rows of the controls that were tested with it, if any.
        answers: one for each test crop.
    """

    system: str
    arm: str
    protocol: str
    samples: int
    data: str
    scores: Scores
    controls: tuple[Scores, ...]
    answers: tuple[Answer, ...]

    @property
    def name(self) -> str:
        """The system, with its arm where it is none of the usual ones."""
        return self.system if self.arm in ("default", "sane") else f"{self.system} ({self.arm})"


def read_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """All runs below a folder, by protocol, name and samples, and the results that could not be read.

    Raises:
        DataError: when there is none, or they are of several data sets: those cannot stand in one table.
    """
    runs, damaged = [], []
    for path in sorted(folder.rglob("results.json")):
        try:
            runs.append(_read(path))
        except (OSError, UnicodeDecodeError, csv.Error, ValueError, KeyError, TypeError, AttributeError, IndexError):
            damaged.append(path.parent.relative_to(folder).as_posix())
    if not runs:
        raise DataError(f"{folder} holds no run that can be read: hagnifinder evaluate --out writes them.")
    if len({run.data for run in runs}) > 1:
        raise DataError(f"{folder} holds runs of several data sets, which cannot stand in one table.")
    return sorted(runs, key=lambda r: (r.protocol, r.system, r.arm, r.samples)), damaged


def headline(runs: Sequence[Run]) -> Run:
    """The run whose answers the figures show: the paper's network before others, patients apart before the leak.

    What it reached plays no part.
    """
    order = ("hagnifinder-r50", "hagnifinder-r18", "hagnifinder-v11")
    rank = {name: i for i, name in enumerate(order)}

    def key(run: Run) -> tuple[bool, int, int, bool]:
        usual = run.arm in ("default", "sane")
        return (run.protocol != "P2", -run.samples, rank.get(run.system, len(order)), not usual)

    ours = [run for run in runs if run.system in order]
    return min(ours or runs, key=key)


def _read(path: Path) -> Run:
    if max(path.stat().st_size, path.with_name("answers.csv").stat().st_size) > _LARGEST_BYTES:
        raise ValueError("larger than any result")
    result = json.loads(path.read_text(encoding="utf-8"))
    card = result["card"]
    with path.with_name("answers.csv").open(newline="", encoding="utf-8") as lines:
        answers = tuple(_answer(row) for row in csv.DictReader(lines))
    if not answers:
        raise ValueError("no answers")
    rows = tuple(_scores(row) for row in result["rows"])
    return Run(
        system=str(card["plan"]["system"]),
        arm=str(card["plan"]["arm"]),
        protocol=str(result["protocol"]),
        samples=int(card["samples_seen"]),
        data=str(card["manifest_sha256"]),
        scores=score(rows[0].name, answers),
        controls=rows[1:],
        answers=answers,
    )


def _answer(row: dict[str, str]) -> Answer:
    level_x, mpp_um, said_x = (float(row[name]) for name in ("level_x", "mpp_um", "said_x"))
    if not (all(map(math.isfinite, (level_x, mpp_um, said_x))) and min(level_x, mpp_um, said_x) > 0):
        raise ValueError("no magnification")
    return Answer(row["path"], row["slide_id"], row["patient"], row["organ"], level_x, mpp_um, said_x)


def _scores(row: dict[str, Any]) -> Scores:
    numbers = {k: math.nan if row[k] is None else float(row[k]) for k in ("median_log2", "p90_log2", "mae_um")}
    return Scores(
        name=str(row["name"]),
        patches=int(row["patches"]),
        slides=int(row["slides"]),
        acc={k: (float(row["acc"][k][0]), float(row["acc"][k][1]), float(row["acc"][k][2])) for k in ("0.5", "1", "5")},
        within={str(k): float(v) for k, v in row["within"].items()},
        median_log2=numbers["median_log2"],
        p90_log2=numbers["p90_log2"],
        mae_um=numbers["mae_um"],
        r2=math.nan if row["r2"] is None else float(row["r2"]),
        kappa=math.nan if row["kappa"] is None else float(row["kappa"]),
        four={str(k): (float(a), float(b)) for k, (a, b) in row["four"].items()},
    )
