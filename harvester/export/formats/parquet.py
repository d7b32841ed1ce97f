"""Parquet shards with the images inside, as Hugging Face datasets opens them with a typed image column.

Source: the features of a data set as JSON under the key "huggingface" of the schema's metadata, as written by the
library itself; an image is a struct of bytes and path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from harvester.export.columns import COLUMNS, image_stem
from harvester.export.formats.writer import Writer
from harvester.export.splits import SPLITS
from harvester.export.workplace import Workplace

GROUP_ROWS = 100
"""Rows of a row group, which is what a reader has to hold: the hub advises 100 for images."""
GROUP_BYTES = 32 << 20

_ARROW = {"text": ("string", pa.string()), "number": ("float64", pa.float64()), "whole": ("int64", pa.int64()),
          "yes_no": ("bool", pa.bool_())}  # fmt: skip


def schema() -> Any:
    """Return the Arrow schema of a shard: the image, then every column but the name of a file that is not there."""
    names = [name for name in COLUMNS if name != "file_name"]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {name: {"dtype": _ARROW[COLUMNS[name][0]][0], "_type": "Value"} for name in names}
    fields = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    fields += [pa.field(name, _ARROW[COLUMNS[name][0]][1], metadata={"meaning": COLUMNS[name][1]}) for name in names]
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


class ParquetWriter(Writer):
    """Shards `data/SPLIT-NUMBER.parquet`, one a split in each block."""

    has_table: ClassVar[bool] = False

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._schema = schema()
        self._block = 0
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._n_bytes: dict[str, int] = {}
        self._files: dict[str, Any] = {}

    def begin(self, block: int) -> None:
        """Start new shards."""
        self._block = block

    def _shard(self, split: str) -> str:
        return f"data/{split}-{self._block:05d}.parquet"

    def add(self, record: Mapping[str, Any], png: bytes) -> None:
        """Add one row."""
        split = record["split"]
        rows = self._rows.setdefault(split, [])
        rows.append({**record, "image": {"bytes": png, "path": f"{image_stem(record)}.png"}})
        self._n_bytes[split] = self._n_bytes.get(split, 0) + len(png)
        self._list(record, f"{self._shard(split)}/{image_stem(record)}.png")
        if len(rows) >= GROUP_ROWS or self._n_bytes[split] >= GROUP_BYTES:
            self._write(split)

    def _write(self, split: str) -> None:
        rows = self._rows[split]
        if not rows:
            return
        if split not in self._files:
            path = self.workplace.path(self._shard(split))
            self._files[split] = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._files[split].write_table(pa.Table.from_pylist(rows, schema=self._schema))
        rows.clear()
        self._n_bytes[split] = 0

    def end(self) -> None:
        """Close the shards of this block and note their sums."""
        for split in SPLITS:
            if split in self._rows:
                self._write(split)
            if split in self._files:
                self._files.pop(split).close()
                self.workplace.hash_file(self._shard(split))

    def abandon(self) -> None:
        """Close unfinished shards; they are written again."""
        for file in self._files.values():
            file.close()
        self._files.clear()
