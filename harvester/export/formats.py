"""How a data set lies on disk: one writer a format, each fed one record at a time.

Every format has `snapshots.csv` (all columns) and `ATTRIBUTION.csv` (the credit of every image). `csv` keeps the images
in `images/`; `imagefolder` in `SPLIT/KIND/`, with a `metadata.jsonl` in each split as Hugging Face datasets reads it,
while torchvision's ImageFolder finds the kind as the class.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from harvester.export.columns import COLUMNS, image_name

TABLE_NAME = "snapshots.csv"
CREDITS_NAME = "ATTRIBUTION.csv"
METADATA_NAME = "metadata.jsonl"

CREDITS = (
    "file_name", "citation", "title", "article_id", "doi", "article_url", "licence_code", "licence_name", "licence_url",
    "copyright_line", "changes",
)  # fmt: skip
CHANGES = "cropped to one region of one panel of the named figure; pixels unchanged"

TYPED_BYTES = 8 << 20
"""Hugging Face datasets takes the types of a metadata.jsonl from its first 10 MB and refuses splits that differ in
them: a column has to have a value before this place in every split, or in none at all."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Writer(Protocol):
    """What a format has to offer; used in a `with` block."""

    dropped_columns: tuple[str, ...]

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def add(self, record: Mapping[str, Any], picture: bytes) -> None: ...
    def finish(self) -> None: ...


def open_writer(format_name: str, folder: Path) -> Writer:
    """Return the writer of a format, on an empty folder that exists."""
    return {"csv": CsvWriter, "imagefolder": ImageFolderWriter}[format_name](folder)


class CsvWriter:
    """Images in `images/`, a row each in snapshots.csv and ATTRIBUTION.csv."""

    dropped_columns: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = ExitStack()
        self._table = _open_csv(self.files, folder / TABLE_NAME, COLUMNS)
        self._credits = _open_csv(self.files, folder / CREDITS_NAME, CREDITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.files.close()

    def image_path(self, record: Mapping[str, Any]) -> str:
        """Return where the image of a record goes, relative to the data set."""
        return f"images/{image_name(record['snapshot_id'], record['image_sha256'])}"

    def add(self, record: Mapping[str, Any], picture: bytes) -> None:
        """Write one image and what is known of it."""
        relative = self.image_path(record)
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        row = {**record, "file_name": relative, "changes": CHANGES}
        self._table.writerow([_cell(row[name]) for name in COLUMNS])
        self._credits.writerow([_cell(row[name]) for name in CREDITS])

    def finish(self) -> None:
        """Close the files; nothing may be added afterwards."""
        self.files.close()


class ImageFolderWriter(CsvWriter):
    """Images in `SPLIT/KIND/`, a line each in `SPLIT/metadata.jsonl`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._lines: dict[str, TextIO] = {}
        self._n_bytes: dict[str, int] = {}
        self._early: dict[str, set[str]] = {}
        self._ever: dict[str, set[str]] = {}

    def image_path(self, record: Mapping[str, Any]) -> str:
        return f"{record['split']}/{record['kind']}/{image_name(record['snapshot_id'], record['image_sha256'])}"

    def add(self, record: Mapping[str, Any], picture: bytes) -> None:
        super().add(record, picture)
        split = record["split"]
        if split not in self._lines:
            path = self.folder / split / METADATA_NAME
            self._lines[split] = self.files.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            self._n_bytes[split], self._early[split], self._ever[split] = 0, set(), set()
        line = json.dumps({**record, "file_name": self.image_path(record).removeprefix(f"{split}/")}) + "\n"
        filled = {name for name, value in record.items() if value is not None}
        self._ever[split] |= filled
        self._n_bytes[split] += len(line)
        if self._n_bytes[split] < TYPED_BYTES:
            self._early[split] |= filled
        self._lines[split].write(line)

    def finish(self) -> None:
        super().finish()
        untyped = {
            name
            for name in COLUMNS
            if any(name in ever for ever in self._ever.values())
            and not all(name in early for early in self._early.values())
        }
        self.dropped_columns = tuple(name for name in COLUMNS if name in untyped)
        for split in self._lines if untyped else ():
            _drop_columns(self.folder / split / METADATA_NAME, untyped)


def _drop_columns(path: Path, names: set[str]) -> None:
    narrow = path.with_suffix(".tmp")
    with path.open(encoding="utf-8") as source, narrow.open("w", encoding="utf-8", newline="\n") as target:
        for line in source:
            kept = {name: value for name, value in json.loads(line).items() if name not in names}
            target.write(json.dumps(kept) + "\n")
    narrow.replace(path)


def _open_csv(files: ExitStack, path: Path, names: Iterable[str]) -> Any:
    writer = csv.writer(files.enter_context(path.open("w", encoding="utf-8", newline="")), lineterminator="\n")
    writer.writerow(names)
    return writer


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula.

    Source: OWASP, "CSV Injection": a text that begins like a formula gets an apostrophe before it.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.lstrip(" \u00a0").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
