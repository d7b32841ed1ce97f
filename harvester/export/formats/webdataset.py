"""WebDataset shards: tar files in which the files of one sample share a name and follow each other."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any, ClassVar

from harvester.export.columns import image_stem
from harvester.export.formats.writer import Writer
from harvester.export.splits import SPLITS
from harvester.export.workplace import Workplace


class WebDatasetWriter(Writer):
    """Shards `SPLIT-NUMBER.tar`, one a split in each block; a sample is KEY.png and KEY.json."""

    has_table: ClassVar[bool] = False

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._block = 0
        self._files: dict[str, tarfile.TarFile] = {}

    def begin(self, block: int) -> None:
        """Start new shards."""
        self._block = block

    def _shard(self, split: str) -> str:
        return f"{split}-{self._block:06d}.tar"

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        """Add one sample. A key ends at its first dot, so it has none."""
        split = record["split"]
        if split not in self._files:
            path = self.workplace.path(self._shard(split))
            self._files[split] = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        key = image_stem(record).replace(".", "-")
        text = json.dumps({**record, "file_name": f"{key}.png"}, sort_keys=True)
        for name, content in ((f"{key}.png", png), (f"{key}.json", text.encode())):
            # owner, group and time stay at nothing: the same samples give the same bytes
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            self._files[split].addfile(entry, io.BytesIO(content))
        self._list(record, f"{self._shard(split)}/{key}.png")

    def end(self) -> None:
        """Close the shards of this block and note their sums."""
        for split in SPLITS:
            if split in self._files:
                self._files.pop(split).close()
                self.workplace.hash_file(self._shard(split))

    def abandon(self) -> None:
        """Close unfinished shards; they are written again."""
        for file in self._files.values():
            file.close()
        self._files.clear()
