"""From what a person names to the files to look at, one at a time: the list is never held."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAX_NAME_BYTES = 65_536
"""A longer line in a list of names is no name."""

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".btf", ".bmp", ".gif", ".webp", ".jp2", ".ppm", ".pgm", ".tga"}
    | {".heic", ".heif"}
    | {".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".vmu", ".svslide"}
)
"""Endings of the names that are looked at when a folder is given; in a list or pattern every file counts. A DICOM slide
is many files: name one of them."""

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Missing:
    """Something named that gives no file, with a sentence for the person who named it."""

    sentence: str


def expand(names: Iterable[str]) -> Iterator[str | Missing]:
    """Turn files, folders and patterns into file names, in order, as they are asked for.

    A name that exists is taken as it is, even with brackets in it. A folder gives the pictures in it and below, each
    folder's files before its subfolders, sorted; links to folders are not followed. Otherwise `*`, `?`, `[...]` and
    `**` are read as in a shell, since a quoted pattern arrives whole.
    """
    for name in names:
        if "\0" in name:
            yield Missing(f"{name!r} is no file's name.")
        elif Path(name).is_dir():
            yield from _walk(name)
        elif os.path.lexists(name):
            yield name
        elif _PATTERN.search(name):
            yield from _match(name)
        else:
            yield Missing(f"{name} does not exist.")


def read_names(lines: IO[bytes]) -> Iterator[str]:
    """Read file names, one a line, as they arrive; empty lines are passed over, any bytes may be a name."""
    while line := lines.readline(MAX_NAME_BYTES):
        if name := line.rstrip(b"\r\n"):
            yield os.fsdecode(name)


def _walk(folder: str) -> Iterator[str | Missing]:
    closed: list[OSError] = []
    found = False
    for root, folders, files in os.walk(folder, onerror=closed.append):
        folders.sort()
        for file in sorted(files):
            if Path(file).suffix.lower() in SUFFIXES:
                found = True
                yield str(Path(root) / file)
    for error in closed:
        yield Missing(f"{error.filename} cannot be opened: {error.strerror}.")
    if not found and not closed:
        yield Missing(f"There is no picture in {folder}.")


def _match(pattern: str) -> Iterator[str | Missing]:
    found = False
    # Path.glob takes no absolute pattern before Python 3.13.
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207
        if Path(name).is_file():
            found = True
            yield name
    if not found:
        yield Missing(f"{pattern} matches no file.")
