"""A data set from many slides: in parallel, resumable, the same bytes however often it was interrupted.

OUT/build.json        the settings
OUT/parts/*.json      one a finished slide; a slide without is cut again from its beginning
OUT/patches/          PNG, a folder a slide
OUT/refused/          a few patches that were refused for background, to be looked at
OUT/manifest.csv      a row a patch; rows with `refused` are no part of the data set
OUT/quarantine.csv    slides that could not be used, each with its reason
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hagnifinder.builders.cut import Settings, cut_slide
from hagnifinder.builders.quality import HistoQc
from hagnifinder.builders.sources import Source
from hagnifinder.data.patches import MANIFEST_NAME, Patch, manifest_bytes
from hagnifinder.errors import DataError
from hagnifinder.files import write_atomically

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build came to.

    Attributes:
        slides, patients, patches: of the data set.
        per_level: patches of each nominal level.
        new_slides: cut by this very run.
        quarantined: reason for each slide that could not be used.
        unfinished: slides among them that a later run may use, such as unfinished downloads.
    """

    slides: int
    patients: int
    patches: int
    per_level: dict[float, int]
    new_slides: int
    quarantined: dict[str, str]
    unfinished: int


def build(
    sources: Sequence[Source],
    settings: Settings,
    out: Path,
    *,
    histoqc: Path | None = None,
    workers: int = 1,
    say: Progress = lambda line: None,
) -> Summary:
    """Cut every slide that has not been cut yet, then write the manifest of all.

    Raises:
        DataError: when the folder holds a data set of other settings, the HistoQC folder is none, or a worker was
            killed.
    """
    if histoqc is not None:
        HistoQc(histoqc)
    _claim(out, settings, histoqc)
    prints = {source.slide_id: _fingerprint(source, histoqc) for source in sources}
    done = {source.slide_id: _read_part(out, source, prints) for source in sources}
    todo = [source for source in sources if done[source.slide_id] is None]
    quarantined: dict[str, str] = {}
    cut = _in_order(todo, settings, out, histoqc, prints, workers)
    for number, (source, refusal) in enumerate(cut, start=1):
        if refusal:
            quarantined[source.slide_id] = refusal
            say(f"{source.path.name}: {refusal}.")
        else:
            done[source.slide_id] = part = _read_part(out, source, prints)
            count = sum(p.is_kept for p in part or [])
            say(f"{number} of {len(todo)} slides: {count:,} patches of {source.slide_id}")
    patches = [patch for name in sorted(done) for patch in done[name] or []]
    kept = [patch for patch in patches if patch.is_kept]
    write_atomically(out / MANIFEST_NAME, manifest_bytes(patches))
    write_atomically(out / "quarantine.csv", _table(["slide_id", "reason"], sorted(quarantined.items())))
    return Summary(
        slides=len({p.slide_id for p in kept}),
        patients=len({p.patient for p in kept}),
        patches=len(kept),
        per_level=dict(sorted(Counter(p.level_x for p in kept).items())),
        new_slides=len(todo) - len(quarantined),
        quarantined=quarantined,
        unfinished=sum("unfinished download" in reason for reason in quarantined.values()),
    )


def _in_order(
    todo: Sequence[Source],
    settings: Settings,
    out: Path,
    histoqc: Path | None,
    prints: dict[str, str],
    workers: int,
) -> Iterator[tuple[Source, str]]:
    """Cut slides and yield each with its refusal, or with nothing when it was cut; few are in flight at a time."""
    if workers <= 1:
        for source in todo:
            yield source, _cut_one(source, settings, out, histoqc, prints[source.slide_id])
        return
    waiting = iter(todo)
    # A fresh interpreter each: forks of a program with threads may stand still for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: dict[Future[str], Source] = {}
        try:
            while True:
                for source in islice(waiting, 2 * workers - len(running)):
                    job = pool.submit(_cut_one, source, settings, out, histoqc, prints[source.slide_id])
                    running[job] = source
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for job in finished:
                    yield running.pop(job), job.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker was killed, most likely for want of memory: build again with fewer workers."
            ) from (error)
        finally:
            for job in running:
                job.cancel()


def _cut_one(source: Source, settings: Settings, out: Path, histoqc: Path | None, fingerprint: str) -> str:
    """Cut one slide and write its part; the reason when it cannot be used, else nothing."""
    for folder in ("patches", "refused"):
        # What an interrupted run left of it.
        shutil.rmtree(out / folder / source.slide_id, ignore_errors=True)
    try:
        report = cut_slide(source, settings, out, histoqc)
    except (DataError, MemoryError) as error:
        for folder in ("patches", "refused"):
            shutil.rmtree(out / folder / source.slide_id, ignore_errors=True)
        return str(error).rstrip(".") or "it needs more memory than there is"
    part: dict[str, Any] = {
        "fingerprint": fingerprint,
        "slide": {k: v for k, v in asdict(report).items() if k != "patches"},
        "patches": [asdict(patch) for patch in report.patches],
    }
    write_atomically(_part_path(out, source), json.dumps(part, ensure_ascii=False).encode())
    return ""


def _claim(out: Path, settings: Settings, histoqc: Path | None) -> None:
    """Make the folder one of these settings, or refuse one of others."""
    path = out / "build.json"
    ours = {**asdict(settings), "mask": "histoqc" if histoqc else "own"}
    try:
        theirs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else ours
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: use another folder.") from error
    if theirs != ours:
        raise DataError(f"{out} holds a data set built with other settings (build.json): use another folder.")
    write_atomically(path, (json.dumps(ours, indent=2, sort_keys=True) + "\n").encode())


def _fingerprint(source: Source, histoqc: Path | None) -> str:
    """What a part depends on besides the settings: a file that was replaced is cut again."""
    paths = [source.path]
    if histoqc is not None:
        paths.append(HistoQc(histoqc).mask_path(source.path.name))
    seen = []
    for path in paths:
        try:
            found = path.stat()
            seen.append([found.st_size, found.st_mtime_ns])
        except OSError:
            seen.append([0, 0])
    return json.dumps([seen, source.patient, source.organ, source.dataset, source.mpp_um], ensure_ascii=False)


def _part_path(out: Path, source: Source) -> Path:
    return out / "parts" / f"{source.slide_id}.json"


def _read_part(out: Path, source: Source, prints: dict[str, str]) -> list[Patch] | None:
    try:
        part = json.loads(_part_path(out, source).read_text(encoding="utf-8"))
        patches = [Patch.from_row(row) for row in part["patches"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_whole = part.get("fingerprint") == prints[source.slide_id] and all(
        (out / patch.path).is_file() for patch in patches if patch.is_kept
    )
    return patches if is_whole else None


def _table(header: list[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
