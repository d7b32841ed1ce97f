"""A rate limit that holds at the server's end of the wire, for all processes of a user together.

N slots, one lock file each. A request holds a slot until its answer has ended, and a slot rests for one second after
that. The server got the request before it answered, so two requests of one slot reach it more than a second apart,
however unevenly the network delays them: no one-second window at the server can hold more than N. A clock at our end
alone could not promise that, as requests sent apart may arrive together.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import logging
import os
import random
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from harvester.errors import FetchError, UsageError

REST_S = 1.05
"""Rest of a slot after an answer: the second of the rule and a margin for clocks that run unevenly."""

_POLL_S = 0.02

# at DEBUG it writes four lines for every look at a slot
logging.getLogger("filelock").setLevel(logging.INFO)

_BUSY = "busy"


class RateLimiter:
    """At most `per_second` requests in any one-second window at the server, however many processes run.

    Args:
        service: What is limited, e.g. "eutils.ncbi.nlm.nih.gov" and a hash of the key; never the key itself.
        per_second: Number of slots.
        folder: Where the slots lie; a folder of this user in the system's temporary one by default.
        sleep: Waits; raises to give up.

    Raises:
        UsageError: when the folder of slots can't be made or belongs to somebody else.
    """

    def __init__(
        self,
        service: str,
        per_second: int,
        *,
        folder: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        base = folder if folder is not None else _own_folder()
        self._folder = base / hashlib.sha256(service.encode()).hexdigest()[:24]
        self._slots = [self._folder / f"slot-{i}" for i in range(per_second)]
        # threads of this process queue here instead of all polling the files
        self._turns = threading.BoundedSemaphore(per_second)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise UsageError(f"Could not keep the request limit in {self._folder}: {problem.strerror}.") from problem

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and hold it; put exactly one request and the reading of its answer inside."""
        with self._turns:
            path, lock = self._take()
            try:
                _write(path, _BUSY)
                yield
            finally:
                # the system-wide monotonic clock; a file from before a restart is caught in _rest_left
                with suppress(FetchError):
                    _write(path, repr(time.monotonic()))
                lock.release()

    def _take(self) -> tuple[Path, FileLock]:
        while True:
            best: tuple[float, Path, FileLock] | None = None
            for path in random.sample(self._slots, len(self._slots)):
                lock = FileLock(path.with_suffix(".lock"), timeout=0)
                try:
                    lock.acquire()
                except Timeout:
                    continue
                left = _rest_left(path)
                if best is None or left < best[0]:
                    if best is not None:
                        best[2].release()
                    best = (left, path, lock)
                else:
                    lock.release()
                if left <= 0:
                    break
            if best is None:
                self._sleep(_POLL_S * random.uniform(0.5, 1.5))
                continue
            left, path, lock = best
            try:
                # nobody may use it earlier anyway, so it is held while it rests
                deadline = time.monotonic() + left
                while (left := deadline - time.monotonic()) > 0:
                    self._sleep(left)
            except BaseException:
                lock.release()
                raise
            return path, lock


def _rest_left(path: Path) -> float:
    """Return how long a slot just locked must still rest, in seconds.

    A slot whose holder died in mid-request, or whose time can't be, counts from now. The first finder writes that down,
    as it may yet choose another slot.
    """
    now = time.monotonic()
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError):
        text = _BUSY
    try:
        ended = float(text)
    except ValueError:
        ended = float("nan")
    if not 0.0 <= ended <= now:
        ended = now
        _write(path, repr(now))
    return ended + REST_S - now


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "ascii")
    except OSError as problem:
        raise FetchError(f"Could not keep the request limit in {path.parent}: {problem.strerror}.") from problem


def _own_folder() -> Path:
    """Return this user's folder of slots; a folder that somebody else prepared in a shared place is refused."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"histology-harvester-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        is_ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if not stat.S_ISDIR(found.st_mode) or not is_ours:
            raise PermissionError(errno.EACCES, "it belongs to somebody else")
    except OSError as problem:
        raise UsageError(f"Could not keep the request limit in {folder}: {problem.strerror}.") from problem
    return folder
