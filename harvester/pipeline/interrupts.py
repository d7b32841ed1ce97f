"""Ctrl-C while threads work: noted, and acted on where no lock is held."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Notes the first Ctrl-C instead of raising it; the second raises at once.

    An exception thrown into the leading thread at any moment may find it inside the pool or a queue, with a lock taken
    that nobody gives back, or in a callback that swallows it: the run would hang, or go on. Outside the main thread,
    where Python delivers no signals, this does nothing.
    """

    def __init__(self) -> None:
        self._is_noted = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._is_noted and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_noted:
            raise KeyboardInterrupt
        self._is_noted = True

    def check(self) -> None:
        """Raise what was noted.

        Raises:
            KeyboardInterrupt: when Ctrl-C was pressed since the block began.
        """
        if self._is_noted:
            raise KeyboardInterrupt
