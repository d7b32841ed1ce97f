"""Which slides a folder holds, and what is known of them beside their files.

A folder with a `catalog.csv` (see `hagnifinder.data.slides`) is a collection of pictures of known scale. Any other
folder is searched for slides; `slides.csv` in it (or in the folder of the data set, where `--select` writes it) may
name `file, patient, organ, mpp_um` for some of them.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hagnifinder.data.slides import group_of, read_catalog
from hagnifinder.errors import DataError
from hagnifinder.wholeslide.reader import PICTURE_SUFFIXES, SLIDE_SUFFIXES

TABLE_NAME = "slides.csv"


@dataclass(frozen=True, slots=True)
class Source:
    """One slide to cut.

    Attributes:
        path: the file.
        slide_id: a name that no other source has and that can be a folder's.
        patient: the unit of every split.
        organ: organ or project; empty when not known.
        dataset: the collection it came from; empty for slides of one's own.
        mpp_um: µm per pixel as a person states it; None when only the file can say.
    """

    path: Path
    slide_id: str
    patient: str
    organ: str = ""
    dataset: str = ""
    mpp_um: float | None = None


def find_sources(folder: Path, out: Path, mpp_um: float | None) -> list[Source]:
    """All slides of a folder, sorted by name.

    Args:
        folder: slides, or a collection with a catalog.csv; a single file is taken too.
        out: folder of the data set, whose `slides.csv` is read when `folder` has none.
        mpp_um: of files whose table says nothing.

    Raises:
        DataError: when there is no slide, or a table cannot be used.
    """
    if (folder / "catalog.csv").is_file():
        return _of_catalog(folder)
    if folder.is_file():
        paths = [folder]
    else:
        wanted = SLIDE_SUFFIXES | PICTURE_SUFFIXES | {".partial", ".part"}
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())
    if not paths:
        raise DataError(f"{folder} holds no slide: .svs, .tif, .ndpi, .mrxs and the like, or large plain pictures.")
    table = next((p for p in (folder / TABLE_NAME, out / TABLE_NAME) if p.is_file()), None)
    rows = _read_table(table) if table else {}
    stems = Counter(p.stem for p in paths)
    sources = []
    for path in paths:
        relative = path.relative_to(folder) if path != folder else Path(path.name)
        slide_id = path.stem if stems[path.stem] == 1 else "__".join(relative.with_suffix("").parts)
        row = rows.get(path.name.removesuffix(".partial"), {})
        sources.append(
            Source(
                path,
                slide_id,
                row.get("patient") or group_of(path.stem, "slide"),
                row.get("organ") or "",
                "",
                _number(row.get("mpp_um"), path.name) or mpp_um,
            )
        )
    return sources


def _of_catalog(folder: Path) -> list[Source]:
    images = read_catalog(folder)
    root = folder.resolve()
    # Scale quality C is not documented: it may train a model for use, but measures nothing.
    known = [image for image in images if image.scale_quality != "C"]
    return sorted(
        (
            Source(
                image.path,
                "__".join(image.path.relative_to(root).with_suffix("").parts),
                image.group,
                _first_word(image.organ),
                image.dataset,
                image.mpp_um,
            )
            for image in known
        ),
        key=lambda source: source.slide_id,
    )


def _first_word(organ: str) -> str:
    """The organ without the diagnosis in brackets behind it."""
    return organ.split("(")[0].split(",")[0].strip()


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table.") from error
    if rows and "file" not in rows[0]:
        raise DataError(f"{path} needs a column file.")
    return {row["file"]: {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in rows}


def _number(text: str | None, name: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{TABLE_NAME} says mpp_um = {text!r} of {name}, which is no number.") from error
