"""What you know of your own pictures: a CSV file with a line a picture, kept beside the picture in the harvest."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harvester.errors import UsageError
from harvester.magnification import MPP_RANGE_UM, PixelSize
from harvester.records import Skip

COLUMNS = ("file", "case", "organ", "diagnosis", "mpp_um")
MAX_BYTES = 50_000_000
MAX_CELL = 500


@dataclass(frozen=True, slots=True)
class Label:
    """One line.

    Attributes:
        file: Path below the folder that is added, or a file name that occurs once.
        case: The group that stays on one side of a split; None when not told.
        organ, diagnosis: Words, read as a caption is.
        mpp_um: Known µm per pixel of the file's pixels.
    """

    file: str
    case: str | None = None
    organ: str | None = None
    diagnosis: str | None = None
    mpp_um: float | None = None

    @property
    def caption(self) -> str:
        """Return the words as a caption."""
        return ", ".join(word for word in (self.diagnosis, self.organ) if word)

    @property
    def pixel_size(self) -> PixelSize | None:
        """Return the known pixel size as a witness; nothing is surer."""
        return None if self.mpp_um is None else PixelSize(self.mpp_um, "known", f"{self.mpp_um:g} µm/px as told", 1.0)

    def to_json(self) -> bytes:
        """Return the line as it is kept in the harvest."""
        return (json.dumps(asdict(self), ensure_ascii=False, sort_keys=True) + "\n").encode()


def read_labels(path: Path) -> tuple[dict[str, Label], list[Skip]]:
    """Read a file of labels; a line that can't be used becomes a Skip of one sentence, the others stand.

    Raises:
        UsageError: when the file can't be read, is no UTF-8, or lacks the column "file".
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"--labels {str(path)!r} is larger than {MAX_BYTES:,} bytes.")
        text = path.read_text(encoding="utf-8-sig")
        rows = list(csv.reader(text.splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--labels {str(path)!r} can't be read as CSV in UTF-8: {error}.") from error
    head = [name.strip().lower() for name in rows[0]] if rows else []
    if "file" not in head or len(set(head)) != len(head):
        raise UsageError(f"--labels {str(path)!r} needs a first line with the columns {', '.join(COLUMNS)}.")
    found: dict[str, Label] = {}
    skips: list[Skip] = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        label = _label(head, row)
        if isinstance(label, Label) and label.file in found:
            label = f"names {label.file!r} a second time"
        if isinstance(label, str):
            sentence = f"Line {number} of {path.name} {label}; it is left out."
            skips.append(Skip(f"{path.name}:{number}", "labels", "add", "bad_label", sentence))
        else:
            found[label.file] = label
    return found, skips


def label_of_file(path: Path) -> Label | None:
    """Read a label that lies in the harvest; None when it isn't one."""
    try:
        raw = json.loads(path.read_bytes()[:MAX_BYTES])
        label = Label(**raw)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    size = label.mpp_um
    is_number = size is None or (isinstance(size, int | float) and MPP_RANGE_UM[0] <= size <= MPP_RANGE_UM[1])
    words = (label.case, label.organ, label.diagnosis)
    return label if is_number and all(word is None or isinstance(word, str) for word in words) else None


def _label(head: Sequence[str], row: Sequence[str]) -> Label | str:
    if len(row) > len(head):
        return f"has {len(row)} cells, and the first line {len(head)}"
    cells = {name: cell.strip() or None for name, cell in zip(head, row, strict=False) if name in COLUMNS}
    if any(cell and (len(cell) > MAX_CELL or not cell.isprintable()) for cell in cells.values()):
        return f"has a cell of more than {MAX_CELL} characters or with unprintable ones"
    file, size = cells.pop("file", None), cells.pop("mpp_um", None)
    if file is None:
        return "names no file"
    mpp_um = None
    if size is not None:
        try:
            mpp_um = float(size)
        except ValueError:
            mpp_um = math.nan
        if not MPP_RANGE_UM[0] <= mpp_um <= MPP_RANGE_UM[1]:
            return f"gives {size!r} as µm per pixel, not a number from {MPP_RANGE_UM[0]:g} to {MPP_RANGE_UM[1]:g}"
    return Label(file.replace("\\", "/").removeprefix("./"), mpp_um=mpp_um, **cells)
