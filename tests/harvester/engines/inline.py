"""The engines without processes, and a reader that makes rows from a PDF's bytes: for tests of what follows reading."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import pytest

from harvester.engines.batch import Answered
from harvester.engines.local import Done
from harvester.fetch.store import Store
from harvester.pipeline import annotate as loop
from harvester.pipeline.read import ArticleJob
from harvester.records import ArticleResult, EvidenceRow
from tests.harvester.small_harvest import draw_png, make_result


class InlinePool:
    """Reads each article when its report is asked for."""

    def __init__(self, function: Any, **_: object) -> None:
        self._function, self._tasks = function, deque[ArticleJob]()

    def __class_getitem__(cls, _: object) -> type[Self]:
        return cls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def n_busy(self) -> int:
        return len(self._tasks)

    @property
    def has_room(self) -> bool:
        return not self._tasks

    def submit(self, task: ArticleJob) -> None:
        self._tasks.append(task)

    def poll(self, _timeout_s: float = 0.0) -> list[Done[ArticleJob, ArticleResult]]:
        done = [Done(task, self._function(task)) for task in self._tasks]
        self._tasks.clear()
        return done


class InlineModel:
    """Answers each picture when it is asked for."""

    def __init__(self, factory: Any) -> None:
        self._handler, self.about = factory()
        self._items = deque[Any]()

    def __class_getitem__(cls, _: object) -> type[Self]:
        return cls

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def n_open(self) -> int:
        return len(self._items)

    def submit(self, items: Sequence[Any]) -> None:
        self._items.extend(items)

    def poll(self, _timeout_s: float = 0.0) -> list[Answered[Any, Any]]:
        items = list(self._items)
        self._items.clear()
        return [Answered(item, answer) for item, answer in zip(items, self._handler(items), strict=True)]


def read_quickly(job: ArticleJob) -> ArticleResult:
    """Make one figure with one to three snapshots, as many as the PDF's hash says, and a scale bar of the first."""
    assert job.files.pdf is not None
    digest = hashlib.sha256(job.files.pdf.read_bytes()).digest()
    pictures = [Store(job.root).write_snapshot(draw_png(digest[1] * 9 + n)) for n in range(1 + digest[0] % 3)]
    result = make_result(job.files.article_id, pictures)
    panel_id = result.panels[0].panel_id
    bar = EvidenceRow(
        f"{panel_id}/bar1", panel_id, "scale_bar", "10 µm", None, None, None, 10.0, "µm", 20.0, 0.5, 20.0, 0.9
    )
    return replace(result, evidence=(bar,))


def run_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `annotate` read and estimate in this process."""
    monkeypatch.setattr(loop, "WorkerPool", InlinePool)
    monkeypatch.setattr(loop, "BatchWorker", InlineModel)
    monkeypatch.setattr(loop, "read_article", read_quickly)
