"""One process that answers items in batches, whoever sent them: the model's process.

It takes whatever has arrived up to a batch, so a slow article never holds up the others. An item that kills the process
is found by sending what was lost once more, one by one.
"""

from __future__ import annotations

import contextlib
import multiprocessing as mp
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from harvester.engines.local import start_deaf
from harvester.errors import HarvestError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Handler = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Answered(Generic[Item, Answer]):
    """An item with its answer; `answer` is None and `error` a sentence when there is none."""

    item: Item
    answer: Answer | None
    error: str | None = None


def _serve(connection: Connection, factory: Callable[[], tuple[Handler, Any]], batch: int) -> None:
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            handler, about = factory()
        except Exception as error:
            connection.send(("failed", f"{error}"))
            return
        connection.send(("ready", about))
        while True:
            items = [connection.recv()]
            while len(items) < batch and connection.poll():
                items.append(connection.recv())
            for item_answer in _answer(handler, items):
                connection.send(("answer", item_answer))


def _answer(handler: Handler, items: list[Any]) -> list[tuple[Any, str | None]]:
    try:
        return [(answer, None) for answer in handler(items)]
    except Exception as error:
        if len(items) == 1:
            return [(None, f"{type(error).__name__}: {error}"[:500])]
    return [pair for item in items for pair in _answer(handler, [item])]


class BatchWorker(Generic[Item, Answer]):
    """Feeds one process and collects its answers in the order sent; at most `limit` items are with it at a time.

    Args:
        factory: Picklable; called in the process, returns the function that answers a list of items and something to
            say about it (see `about`). An exception it raises reaches the caller of `start` as a HarvestError.
        batch: Most items answered in one call.
        limit: Most items with the process; what comes on top waits here, so the pipe can never fill and block.
    """

    def __init__(self, factory: Callable[[], tuple[Handler, Any]], *, batch: int = 16, limit: int = 64) -> None:
        self._factory = factory
        self._batch = batch
        self._limit = limit
        self._waiting: deque[Item] = deque()
        self._sent: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self.about: Any = None
        self._start()

    def __enter__(self) -> BatchWorker[Item, Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        context = mp.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._factory, self._batch), daemon=True, name="harvester-model"
        )
        start_deaf(self._process)
        theirs.close()
        try:
            kind, about = self.connection.recv()
        except (EOFError, OSError):
            self._stop()
            raise HarvestError(f"The model's process could not start (exit code {self._process.exitcode}).") from None
        if kind == "failed":
            self._stop()
            raise HarvestError(str(about))
        self.about = about

    def _stop(self) -> None:
        self.connection.close()
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    @property
    def n_open(self) -> int:
        """Items given and not yet answered."""
        return len(self._waiting) + len(self._sent) + len(self._suspects)

    def submit(self, items: Sequence[Item]) -> None:
        """Add items; returns at once."""
        self._waiting.extend(items)
        self._feed()

    def _feed(self) -> None:
        # what was with a process when it died goes alone, so that the culprit is found
        limit, queue = (1, self._suspects) if self._suspects else (self._limit, self._waiting)
        with contextlib.suppress(OSError):
            while queue and len(self._sent) < limit:
                self.connection.send(queue[0])
                self._sent.append(queue.popleft())

    def poll(self, timeout_s: float = 0.0) -> list[Answered[Item, Answer]]:
        """Return the answers that have arrived, waiting up to `timeout_s` seconds for the first."""
        answers: list[Answered[Item, Answer]] = []
        try:
            while self._sent and self.connection.poll(0.0 if answers else timeout_s):
                _, (answer, error) = self.connection.recv()
                answers.append(Answered(self._sent.popleft(), answer, error))
        except (EOFError, OSError):
            answers.extend(self._replace())
        self._feed()
        return answers

    def _replace(self) -> list[Answered[Item, Answer]]:
        self._stop()
        code = self._process.exitcode
        lost, self._sent = list(self._sent), deque()
        self._start()
        if len(lost) == 1:
            return [Answered(lost[0], None, f"the model's process died on it (exit code {code})")]
        self._suspects.extend(lost)
        return []
