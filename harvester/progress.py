"""What a run says while it works, to standard error: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_EVERY_S = 10.0


def say(message: str) -> None:
    """Write one line to standard error."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the one place that talks


def duration(seconds: float) -> str:
    """Return seconds as people say them: 45 s, 12 min, 3.4 h.

    >>> duration(45), duration(750), duration(12345)
    ('45 s', '12 min', '3.4 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@dataclass(slots=True)
class Progress:
    """Counts of a run with a rate and the time left.

    Attributes:
        unit: What is counted, in the plural.
        total: How many there will be, None when not known.
        counts: What was found on the way, shown behind the rate.
    """

    unit: str
    total: int | None = None
    n_done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    clock: Callable[[], float] = time.monotonic
    _started: float = 0.0
    _last_line: float = 0.0
    _said: int = 0
    _bar: RichProgress | None = None
    _task: TaskID | None = None

    def __enter__(self) -> Progress:
        self._started = self._last_line = self.clock()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                SpinnerColumn(),
                TextColumn(self.unit),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self.total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self.n_done and self._said != self.n_done:
            say(self.line())

    def grow(self, n: int = 1) -> None:
        """There is more to do than was known."""
        self.total = (self.total or 0) + n
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self.total)

    def advance(self, n: int = 1, **counts: int) -> None:
        """Note that `n` more are done, and what they gave."""
        self.n_done += n
        self.counts.update(counts)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.n_done, description=self._found())
        elif self.clock() - self._last_line >= LINE_EVERY_S:
            self._last_line, self._said = self.clock(), self.n_done
            say(self.line())

    def _found(self) -> str:
        return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in self.counts.items() if n)

    def line(self) -> str:
        """Return one line a person can act on: done, rate, time left, what was found."""
        elapsed = max(self.clock() - self._started, 1e-9)
        rate = self.n_done / elapsed
        of = f" of {self.total:,}" if self.total is not None else ""
        parts = [f"{self.n_done:,}{of} {self.unit} ({60 * rate:,.0f}/min)"]
        if self.total is not None and 0 < self.n_done < self.total:
            parts.append(f"{duration((self.total - self.n_done) / rate)} left")
        if found := self._found():
            parts.append(found)
        return ", ".join(parts)
