"""The folder a data set is built in: beside its place, under another name, until it is whole.

Work is done in blocks. When a block ends, everything is flushed and `UNFINISHED` notes how far it went and how long
each growing file was; a run that finds such a folder for the same catalog and request cuts the files back to that and
goes on from there, so that an interrupted export gives the same bytes as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from harvester.errors import UsageError

RECORD_NAME = "export.json"
"""What was asked for and what came of it; also the sign that a folder is an export of ours."""
SUMS_NAME = "SHA256SUMS"
STATE_NAME = "UNFINISHED"
_LOCK_NAME = "UNFINISHED.lock"


class Workplace:
    """Files of a data set under way. All names are relative to it, with `/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, BinaryIO] = {}

    def path(self, name: str) -> Path:
        """Return the path of a file, in a folder that exists."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def append(self, name: str, text: str) -> None:
        """Add text to a file that grows from block to block."""
        file = self._open.get(name)
        if file is None:
            file = self._open[name] = self.path(name).open("ab")
        file.write(text.encode("utf-8", "replace"))

    def has(self, name: str) -> bool:
        """Return whether a growing file has begun."""
        return name in self._open

    def write(self, name: str, content: bytes, sha256: str | None = None) -> None:
        """Write a whole file and note its sum."""
        self.path(name).write_bytes(content)
        self.note_sum(name, sha256 or hashlib.sha256(content).hexdigest())

    def note_sum(self, name: str, sha256: str) -> None:
        """Add a line to the list of sums, as `sha256sum --check` reads it."""
        self.append(SUMS_NAME, f"{sha256}  {name}\n")

    def hash_file(self, name: str) -> None:
        """Note the sum of a file that grew, or was written by another hand."""
        if name in self._open:
            self._open[name].flush()
        with (self.folder / name).open("rb") as file:
            self.note_sum(name, hashlib.file_digest(file, "sha256").hexdigest())

    def grown(self) -> list[str]:
        """Return the names of the files that grew, but for the sums."""
        return sorted(name for name in self._open if name != SUMS_NAME)

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of a grown file; none when it never began."""
        if name in self._open:
            self._open[name].flush()
            with (self.folder / name).open(encoding="utf-8", newline="\n") as file:
                yield from file

    def replace(self, name: str, narrow: Path) -> None:
        """Put another file in the place of a grown one; nothing is appended to it afterwards."""
        self._open[name].close()
        narrow.replace(self.folder / name)
        self._open[name] = (self.folder / name).open("ab")

    def drop(self, name: str) -> None:
        """Remove a grown file that was only a step on the way."""
        if name in self._open:
            self._open.pop(name).close()
            (self.folder / name).unlink()

    def checkpoint(self, key: str, state: dict[str, Any]) -> None:
        """Note that a block is finished."""
        sizes = {}
        for name, file in self._open.items():
            file.flush()
            sizes[name] = file.tell()
        part = self.folder / f"{STATE_NAME}.part"
        part.write_text(json.dumps({"key": key, "sizes": sizes, "state": state}), encoding="utf-8")
        part.replace(self.folder / STATE_NAME)

    def resume(self, key: str) -> dict[str, Any] | None:
        """Return the state of the last finished block of the same work, with every grown file as it was then.

        None when there is none: then the folder is empty.
        """
        try:
            noted = json.loads((self.folder / STATE_NAME).read_text(encoding="utf-8"))
            if noted["key"] != key:
                raise ValueError("another work")
            for name, size in noted["sizes"].items():
                file = self._open[name] = (self.folder / name).open("r+b")
                if file.seek(0, 2) < size:
                    raise ValueError("shorter than it was")
                file.truncate(size)
                file.seek(size)
            return dict(noted["state"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.close()
            for path in self.folder.iterdir():
                if path.name not in (STATE_NAME, _LOCK_NAME):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            return None

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()
        self._open.clear()


def check_dest(dest: Path, harvest_id: str) -> None:
    """Refuse a place that holds something else than an earlier export of the same harvest.

    Raises:
        UsageError: in that case.
    """
    if not dest.exists() and not dest.is_symlink():
        return
    if not dest.is_dir() or dest.is_symlink():
        raise UsageError(f"{str(dest)!r} is no folder; give a new folder for the data set.")
    if not any(dest.iterdir()):
        return
    try:
        earlier = json.loads((dest / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = None
    if not isinstance(earlier, dict) or earlier.get("harvest") != harvest_id:
        raise UsageError(f"{str(dest)!r} is not empty and no earlier export of this harvest; give a new folder.")


@contextmanager
def built_beside(dest: Path) -> Iterator[Workplace]:
    """Give the folder beside `dest` that takes its place when the block ends well.

    After anything else it stays, so that the next run goes on from there; nothing at `dest` is touched.

    Raises:
        UsageError: another export is writing there, or a folder of somebody's has its name.
    """
    place = dest.resolve()
    folder = place.with_name(f".{place.name}.unfinished")
    old = place.with_name(f".{place.name}.replaced")
    if folder.exists() and not (folder / STATE_NAME).exists():
        raise UsageError(f"{str(folder)!r} is in the way of the export; move it or give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STATE_NAME).exists():
        (folder / STATE_NAME).touch()
    lock = FileLock(folder / _LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(f"Another export is writing to {str(dest)!r}; wait for it to end.") from error
    workplace = Workplace(folder)
    try:
        yield workplace
        workplace.close()
        lock.release()
        (folder / _LOCK_NAME).unlink(missing_ok=True)
        _take_place(folder, place, old)
    finally:
        workplace.close()
        lock.release()


def discard(workplace: Workplace) -> None:
    """Remove a folder in which nothing came to be."""
    workplace.close()
    shutil.rmtree(workplace.folder)


def _take_place(folder: Path, place: Path, old: Path) -> None:
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    try:
        state = (folder / STATE_NAME).read_bytes()
        (folder / STATE_NAME).unlink()
        folder.rename(place)
    except BaseException:
        if folder.exists():
            (folder / STATE_NAME).write_bytes(state)
        if old.exists() and not place.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
