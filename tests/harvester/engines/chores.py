"""Tasks for workers in the tests; importable, because worker processes are spawned."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from harvester.magnification import ModelInfo, SnapshotItem
from harvester.pipeline.read import ArticleJob, read_article
from harvester.records import ArticleResult, EstimateRow
from tests.harvester.small_harvest import make_estimate


def chore(task: str) -> str:
    """Do what the task says: echo it, hang, crash, raise or eat memory."""
    kind, _, rest = task.partition(" ")
    if kind == "hang":
        time.sleep(600)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "raise":
        raise ValueError(rest)
    if kind == "eat":
        return str(len(bytearray(int(rest))))
    if kind == "crash-once":
        flag = Path(rest)
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return task.upper()


def echo_factory():
    """Return a batch function that notes how many came together."""

    def answer(items: Sequence[str]) -> list[str]:
        if "raise" in items:
            raise ValueError("cannot answer")
        if "die" in items:
            os._exit(3)
        return [f"{item} of {len(items)}" for item in items]

    return answer, "ready to echo"


def broken_factory():
    """Fail to load."""
    raise RuntimeError("no weights here")


def poisoned_reader(job: ArticleJob) -> ArticleResult:
    """Read an article as ever, but hang or die at the ones whose title says so."""
    title = job.files.pdf.read_bytes().partition(b"%%EOF")[2]
    if b"hangs" in title:
        time.sleep(600)
    if b"crashes" in title:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"eats" in title:
        bytearray(8 << 30)
    return read_article(job)


class NoEstimates:
    """Stands in for the models: says nothing, loads nothing."""

    model_ids = ("none@0",)

    def __call__(self):
        return (lambda items: [[] for _ in items]), []


class Says:
    """Stands in for a model: the same pixel size of every snapshot."""

    def __init__(self, model_id: str, mpp_um: float) -> None:
        self.model_ids, self.mpp_um = (model_id,), mpp_um

    def __call__(self):
        return self.answer, [ModelInfo(self.model_ids[0], self.model_ids[0].partition("@")[0], "1", "cd" * 32, {})]

    def answer(self, items: Sequence[SnapshotItem]) -> list[list[EstimateRow]]:
        return [[make_estimate(item.snapshot_id, self.mpp_um, model_id=self.model_ids[0])] for item in items]
