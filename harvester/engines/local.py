"""A pool of supervised worker processes: one task at a time each, with a time limit, a memory limit and a fresh start.

`ProcessPoolExecutor` gives up as a whole when one worker dies, and can't stop a task that hangs. Here a worker that
hangs, eats memory or crashes is replaced, and only its task is reported as failed. Processes are spawned, never forked:
MuPDF and torch are not safe to fork, and MuPDF is not safe to share between threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

START_SECONDS = 120.0
"""A worker that has not imported its function by then (a very slow disk) is taken for hung."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Task, Result]):
    """A task that came back with its result."""

    task: Task
    result: Result


@dataclass(frozen=True, slots=True)
class Failed(Generic[Task]):
    """A task that did not: `reason` is timeout, memory, crashed or internal_error; `detail` a sentence."""

    task: Task
    reason: str
    detail: str


def memory_in_use() -> int:
    """Return the address space of this process in bytes, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo file
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def limit_memory(extra_bytes: int) -> None:
    """Let this process grow by `extra_bytes` of address space and no further (Linux; elsewhere no limit is set)."""
    base = memory_in_use()
    if base and extra_bytes > 0:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = base + extra_bytes
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard < 0 else min(soft, hard), hard))


def start_deaf(process: Any) -> None:
    """Start a process that Ctrl-C does not reach, not even while it imports: the parent stops it in its own order."""
    if threading.current_thread() is not threading.main_thread():
        process.start()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, function: Callable[[Any], Any], warm_up: Callable[[], None], extra: int) -> None:
    """Run in the worker: answer one task at a time until the pipe closes."""
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        warm_up()
        limit_memory(extra)
        connection.send(("ready", None))
        while True:
            task = connection.recv()
            try:
                reply = ("done", function(task))
            except MemoryError:
                reply = ("memory", "it needed more memory than one article is given")
            except Exception as error:
                # the one broad catch: a fault in our own code costs its article, never the run
                reply = ("internal_error", f"{type(error).__name__}: {error}"[:500])
            connection.send(reply)


def _nothing() -> None:
    """Warm up nothing."""


class _Worker(Generic[Task]):
    def __init__(self, function: Callable[[Task], Any], warm_up: Callable[[], None], extra_bytes: int) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, function, warm_up, extra_bytes), daemon=True, name="harvester-worker"
        )
        start_deaf(self.process)
        theirs.close()
        self.task: Task | None = None
        self.is_ready = False
        self.n_done = 0
        self.deadline = time.monotonic() + START_SECONDS

    def stop(self) -> None:
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


class WorkerPool(Generic[Task, Result]):
    """Hands tasks to worker processes and collects what becomes of them; never blocks on a single task.

    Args:
        function: Picklable, called in the worker with one task.
        workers: Number of processes.
        task_seconds: Wall time for one task before its worker is killed.
        extra_bytes: Memory a worker may add to what it holds after its imports; 0 for no limit.
        warm_up: Picklable; imports what the tasks need, before the memory limit is set.
        tasks_per_worker: A worker is replaced after so many, which bounds what leaks in native libraries can add up to.
    """

    def __init__(
        self,
        function: Callable[[Task], Result],
        *,
        workers: int,
        task_seconds: float,
        extra_bytes: int = 0,
        warm_up: Callable[[], None] = _nothing,
        tasks_per_worker: int = 200,
    ) -> None:
        self._function = function
        self._warm_up = warm_up
        self._task_seconds = task_seconds
        self._extra_bytes = extra_bytes
        self._tasks_per_worker = tasks_per_worker
        self._workers: list[_Worker[Task]] = [self._new() for _ in range(max(1, workers))]

    def __enter__(self) -> WorkerPool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def _new(self) -> _Worker[Task]:
        return _Worker(self._function, self._warm_up, self._extra_bytes)

    @property
    def n_busy(self) -> int:
        """Tasks handed out and not yet reported."""
        return sum(worker.task is not None for worker in self._workers)

    @property
    def has_room(self) -> bool:
        """Whether `submit` would be taken now."""
        return any(worker.task is None for worker in self._workers)

    @property
    def connections(self) -> list[Connection]:
        """Pipes to wait on together with others."""
        return [worker.connection for worker in self._workers]

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker.

        Raises:
            RuntimeError: when every worker is busy; ask `has_room` first.
        """
        idle = [worker for worker in self._workers if worker.task is None]
        if not idle:
            raise RuntimeError("no idle worker")
        worker = max(idle, key=lambda w: w.is_ready)
        worker.task = task
        if worker.is_ready:
            self._send(worker)

    def _send(self, worker: _Worker[Task]) -> None:
        worker.deadline = time.monotonic() + self._task_seconds
        with contextlib.suppress(OSError):  # a worker that died is noticed by poll()
            worker.connection.send(worker.task)

    def poll(self, timeout_s: float = 0.1) -> list[Done[Task, Result] | Failed[Task]]:
        """Return what finished, failed or ran out of time within `timeout_s` seconds."""
        ready = wait(self.connections, timeout_s)
        reports: list[Done[Task, Result] | Failed[Task]] = []
        for index, worker in enumerate(self._workers):
            report = self._listen(worker) if worker.connection in ready else None
            if (
                report is None
                and time.monotonic() > worker.deadline
                and (worker.task is not None or not worker.is_ready)
            ):
                report = ("timeout", f"it took longer than {self._task_seconds:.0f} s")
                worker.stop()
            if report is None:
                continue
            task, (kind, value) = worker.task, report
            worker.task = None
            if worker.process.exitcode is not None or worker.n_done >= self._tasks_per_worker:
                worker.stop()
                self._workers[index] = self._new()
            if task is not None:
                reports.append(Done(task, value) if kind == "done" else Failed(task, kind, str(value)))
        return reports

    def _listen(self, worker: _Worker[Task]) -> tuple[str, Any] | None:
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            worker.stop()
            code = worker.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            if not worker.is_ready and worker.task is None:
                raise RuntimeError(f"a worker process could not start ({how})") from None
            return ("crashed", f"the process reading it died ({how})")
        if kind == "ready":
            worker.is_ready = True
            worker.deadline = float("inf")
            if worker.task is not None:
                self._send(worker)
            return None
        worker.n_done += 1
        worker.deadline = float("inf")
        return kind, value
