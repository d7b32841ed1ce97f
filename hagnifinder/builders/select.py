"""A choice of slides like the paper's from a file list of the Genomic Data Commons: 128 of 13 projects, by seed.

The list is the JSON answer of the portal's files endpoint (or of its "JSON" button) with the fields `file_id,
file_name, md5sum, file_size, experimental_strategy, cases.submitter_id, cases.project.project_id`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hagnifinder.builders.sources import TABLE_NAME
from hagnifinder.data.slides import group_of
from hagnifinder.errors import DataError
from hagnifinder.files import write_atomically

N_SLIDES, N_PROJECTS = 128, 13
GDC_MANIFEST = "gdc_manifest.txt"
_DIAGNOSTIC = re.compile(r"-DX[0-9A-Z]+[.-]")
_ID = re.compile(r"[0-9a-fA-F-]{36}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One diagnostic slide of the list."""

    file_id: str
    name: str
    md5: str
    size: int
    project: str
    patient: str


def read_list(path: Path) -> list[Listed]:
    """The diagnostic slides of a file list, sorted by name; a patient's first one only.

    A slide whose entry states an objective other than 40x is left out; most state none, and `build` looks again.

    Raises:
        DataError: when the file is no such list, or holds no diagnostic slide.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        hits = found["data"]["hits"] if isinstance(found, dict) else found
        slides = [slide for hit in hits if (slide := _of_hit(hit)) is not None]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path} is no file list of the Genomic Data Commons (JSON).") from error
    if not slides:
        raise DataError(f"{path} lists no diagnostic slide (-DX in its name) with its id, size, md5 and project.")
    first: dict[str, Listed] = {}
    for slide in sorted(slides, key=lambda s: s.name):
        first.setdefault(slide.patient, slide)
    return list(first.values())


def choose(
    slides: Sequence[Listed], n_slides: int = N_SLIDES, n_projects: int = N_PROJECTS, seed: int = 0
) -> list[Listed]:
    """As many slides of each of so many projects as can be, by seed; the same list and seed give the same choice.

    Raises:
        DataError: when the list has too few.
    """
    by_project: dict[str, list[Listed]] = defaultdict(list)
    for slide in slides:
        by_project[slide.project].append(slide)
    if len(by_project) < n_projects or len(slides) < n_slides:
        raise DataError(
            f"the list has {len(slides)} patients of {len(by_project)} projects, "
            f"{n_slides} of {n_projects} are asked for: give --slides and --projects."
        )
    rng = np.random.default_rng(seed)
    names = sorted(by_project)
    names = [names[i] for i in sorted(rng.choice(len(names), n_projects, replace=False))]
    shuffled = {name: [by_project[name][i] for i in rng.permutation(len(by_project[name]))] for name in names}
    chosen: list[Listed] = []
    while len(chosen) < n_slides:
        left = [name for name in names if shuffled[name]]
        if not left:
            raise DataError(f"the {n_projects} projects drawn have {len(chosen)} patients only: try another --seed.")
        # One of each in turn; the last turn is short, and which projects it leaves out is chance.
        turn = left if n_slides - len(chosen) >= len(left) else [left[i] for i in sorted(rng.permutation(len(left)))]
        chosen += [shuffled[name].pop() for name in turn[: n_slides - len(chosen)]]
    return sorted(chosen, key=lambda s: s.name)


def write_choice(chosen: Sequence[Listed], out: Path) -> Path:
    """Write what gdc-client downloads, and the table that `build` reads patients and projects from.

    Returns:
        The manifest for gdc-client.
    """
    lines = ["id\tfilename\tmd5\tsize\tstate"]
    lines += [f"{s.file_id}\t{s.name}\t{s.md5}\t{s.size}\treleased" for s in chosen]
    write_atomically(out / GDC_MANIFEST, ("\n".join(lines) + "\n").encode())
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "patient", "organ"])
    writer.writerows((s.name, s.patient, s.project) for s in chosen)
    write_atomically(out / TABLE_NAME, table.getvalue().encode())
    return out / GDC_MANIFEST


def _of_hit(hit: dict[str, Any]) -> Listed | None:
    name = str(hit["file_name"])
    case = hit["cases"][0]
    strategy = hit.get("experimental_strategy", "Diagnostic Slide")
    power = hit.get("magnification")
    if (
        strategy != "Diagnostic Slide"
        or not _DIAGNOSTIC.search(name)
        or Path(name).name != name
        or any(c in name for c in "\t\r\n")
        or not _ID.fullmatch(str(hit["file_id"]))
        or (power is not None and float(power) != 40.0)
    ):
        return None
    patient = str(case.get("submitter_id") or group_of(name, "TCGA"))
    return Listed(
        str(hit["file_id"]),
        name,
        str(hit["md5sum"]),
        int(hit["file_size"]),
        str(case["project"]["project_id"]),
        patient,
    )
