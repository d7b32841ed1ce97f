"""Loose image files: `csv` keeps them in `images/`, `imagefolder` in `SPLIT/KIND/`.

`imagefolder` has a `metadata.jsonl` in each split as Hugging Face datasets reads it, while torchvision's ImageFolder
finds the kind as the class. Both carry tasks for Label Studio, which serves the images from the data set's folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harvester.export.columns import COLUMNS, image_stem
from harvester.export.companions import LABEL_CONFIG, label_task
from harvester.export.formats.writer import Writer
from harvester.export.splits import SPLITS
from harvester.export.workplace import Workplace

METADATA_NAME = "metadata.jsonl"
TASKS_NAME = "label_studio/tasks.json"
CONFIG_NAME = "label_studio/config.xml"

TYPED_BYTES = 8 << 20
"""Hugging Face datasets takes the types of a metadata.jsonl from its first 10 MB and refuses splits that differ in
them: a column has to have a value before this place in every split, or in none at all."""


class CsvWriter(Writer):
    """Images in `images/`, a row each in snapshots.csv and ATTRIBUTION.csv."""

    def image_path(self, record: Mapping[str, Any]) -> str:
        """Return where the image of a record goes, relative to the data set."""
        return f"images/{image_stem(record)}.png"

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        """Write one image and what is known of it."""
        name = self.image_path(record)
        self.workplace.write(name, png, record["image_sha256"])
        self._list(record, name)
        opening = ",\n" if self.workplace.has(TASKS_NAME) else "[\n"
        self.workplace.append(TASKS_NAME, opening + json.dumps(label_task(record, name)))

    def finish(self) -> None:
        """Close the list of tasks."""
        if self.workplace.has(TASKS_NAME):
            self.workplace.append(TASKS_NAME, "\n]\n")
        self.workplace.write(CONFIG_NAME, LABEL_CONFIG.encode())


class ImageFolderWriter(CsvWriter):
    """Images in `SPLIT/KIND/`, a line each in `SPLIT/metadata.jsonl`."""

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self.dropped_columns: tuple[str, ...] = ()

    def image_path(self, record: Mapping[str, Any]) -> str:
        return f"{record['split']}/{record['kind']}/{image_stem(record)}.png"

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        super().add(record, png)
        split = record["split"]
        line = json.dumps({**record, "file_name": self.image_path(record).removeprefix(f"{split}/")})
        self.workplace.append(f"{split}/{METADATA_NAME}", line + "\n")

    def finish(self) -> None:
        super().finish()
        untyped = self._untyped_columns()
        self.dropped_columns = tuple(name for name in COLUMNS if name in untyped)
        for split in SPLITS if untyped else ():
            name = f"{split}/{METADATA_NAME}"
            if self.workplace.has(name):
                self._drop_columns(name, untyped)

    def _untyped_columns(self) -> set[str]:
        early: list[set[str]] = []
        ever: set[str] = set()
        for split in SPLITS:
            if not self.workplace.has(f"{split}/{METADATA_NAME}"):
                continue
            typed: set[str] = set()
            n_bytes = 0
            for line in self.workplace.lines(f"{split}/{METADATA_NAME}"):
                n_bytes += len(line)
                filled = {name for name, value in json.loads(line).items() if value is not None}
                ever |= filled
                if n_bytes < TYPED_BYTES:
                    typed |= filled
            early.append(typed)
        return {name for name in ever if not all(name in typed for typed in early)}

    def _drop_columns(self, name: str, untyped: set[str]) -> None:
        narrow = self.workplace.path(f"{name}.part")
        with narrow.open("w", encoding="utf-8", newline="\n") as file:
            for line in self.workplace.lines(name):
                file.write(json.dumps({k: v for k, v in json.loads(line).items() if k not in untyped}) + "\n")
        self.workplace.replace(name, narrow)
