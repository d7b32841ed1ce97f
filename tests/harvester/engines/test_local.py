"""The pool survives what its tasks do to it, and says what became of each."""

from __future__ import annotations

import time

import pytest

from harvester.engines.local import Done, Failed, WorkerPool
from tests.harvester.engines.chores import chore


def run_all(pool, tasks):
    waiting, reports, end = list(tasks), {}, time.monotonic() + 60
    while (waiting or pool.n_busy) and time.monotonic() < end:
        while waiting and pool.has_room:
            pool.submit(waiting.pop(0))
        for report in pool.poll(0.05):
            reports[report.task] = report
    return reports


def test_a_hanging_crashing_raising_or_greedy_task_costs_only_itself():
    tasks = ["a", "hang", "b", "crash", "c", "raise no luck", "d", f"eat {4 << 30}", "e"]
    with WorkerPool(chore, workers=2, task_seconds=1.0, extra_bytes=1 << 30) as pool:
        reports = run_all(pool, tasks)

    assert {t for t, r in reports.items() if isinstance(r, Done)} == {"a", "b", "c", "d", "e"}
    reasons = {t.split()[0]: r.reason for t, r in reports.items() if isinstance(r, Failed)}
    assert reasons == {"hang": "timeout", "crash": "crashed", "raise": "internal_error", "eat": "memory"}
    assert "no luck" in reports["raise no luck"].detail
    assert reports["a"].result == "A"


def test_a_full_pool_refuses_a_task_instead_of_queueing_it():
    with WorkerPool(chore, workers=1, task_seconds=5.0) as pool:
        pool.submit("a")

        assert not pool.has_room
        with pytest.raises(RuntimeError):
            pool.submit("b")


def test_workers_are_replaced_after_their_share_of_tasks():
    with WorkerPool(chore, workers=1, task_seconds=5.0, tasks_per_worker=1) as pool:
        first = pool._workers[0].process.pid
        reports = run_all(pool, ["a", "b"])

        assert len(reports) == 2
        assert pool._workers[0].process.pid != first
