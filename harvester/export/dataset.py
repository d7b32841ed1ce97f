"""Writes a data set: streamed, built under a temporary name beside its place and renamed when it is whole.

The same catalog and the same request give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harvester import __version__
from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.export.card import Contents, dataset_card
from harvester.export.columns import export_row
from harvester.export.formats import open_writer
from harvester.export.pictures import PictureProblem, read_picture
from harvester.export.request import REASONS, ExportRequest
from harvester.export.splits import split_key, split_of

RECORD_NAME = "export.json"
"""What was asked for and what came of it; also the sign that a folder is an export of ours."""

_UNFINISHED = "UNFINISHED"


@dataclass(slots=True)
class ExportSummary:
    """What an export wrote, or would write.

    Attributes:
        n_seen: Snapshots in the catalog; n_seen = n_rows + sum(left_out.values()).
        n_rows: Snapshots exported.
        left_out: How many stayed behind, each counted once, by reason (a key of request.REASONS).
        by_split, by_licence, by_source: How many of each among the exported.
        dropped_columns: Columns that metadata.jsonl had to leave to snapshots.csv, because a split has none.
    """

    dest: Path
    dry_run: bool
    n_seen: int = 0
    n_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    by_split: Counter[str] = field(default_factory=Counter)
    by_licence: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    dropped_columns: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the funnel of the export as plain lines."""
        verb = "would be exported" if self.dry_run else "exported"
        counts = [(f"snapshots {verb}", self.n_rows), *((f"  {k}", n) for k, n in _ordered(self.by_split).items())]
        rows = [("snapshots in the catalog", self.n_seen, "")]
        rows += [
            (f"  left out: {name}", self.left_out[name], why) for name, why in REASONS.items() if self.left_out[name]
        ]
        rows += [(name, n, "") for name, n in counts]
        wide = max(len(name) for name, _, _ in rows)
        return "\n".join(f"{name:<{wide}}  {n:>7,}  {why}".rstrip() for name, n, why in rows)


def export_dataset(
    catalog: Catalog, dest: Path, request: ExportRequest, *, tick: Callable[[], None] = lambda: None
) -> ExportSummary:
    """Write the snapshots that a request lets through to the folder `dest`.

    Args:
        dest: A new or empty folder, or an earlier export of the same harvest, which is replaced.
        tick: Called once per snapshot looked at, for a progress bar.

    Raises:
        UsageError: `dest` holds something else, or nothing is left to export.
        OSError: when the disk refuses; nothing is left at `dest` but what was there before.
    """
    harvest_id = _harvest_id(catalog)
    _check_dest(dest, harvest_id)
    summary = ExportSummary(dest, request.dry_run)
    if request.dry_run:
        for _ in _select(catalog, request, summary, tick):
            pass
        return summary
    with _built_beside(dest) as folder:
        models: set[str] = set()
        sources: set[str] = set()
        with open_writer(request.format, folder) as writer:
            for row, picture in _select(catalog, request, summary, tick):
                record = export_row(row, split_of(split_key(row)))
                record["image_sha256"] = hashlib.sha256(picture).hexdigest()
                writer.add(record, picture)
                sources.add(row["source"])
                if row["model_id"]:
                    models.add(row["model_id"])
            writer.finish()
            summary.dropped_columns = writer.dropped_columns
        if not summary.n_rows:
            raise UsageError(_nothing_left(summary))
        _write_about(catalog, folder, request, summary, harvest_id, models, sources)
    return summary


def _select(
    catalog: Catalog, request: ExportRequest, summary: ExportSummary, tick: Callable[[], None]
) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    """Yield the rows that go, with their pictures (empty in a dry run), and count all of them."""
    seen: set[str] = set()
    for row in catalog.snapshots():
        tick()
        summary.n_seen += 1
        reason = request.why_not(row)
        picture = b""
        if reason is None and row["image_sha256"] in seen:
            reason = "duplicate"
        if reason is None and not request.dry_run:
            try:
                picture = read_picture(catalog.root, row)
            except PictureProblem as problem:
                reason = str(problem)
        if reason is not None:
            summary.left_out[reason] += 1
            continue
        seen.add(row["image_sha256"])
        summary.n_rows += 1
        summary.by_split[split_of(split_key(row))] += 1
        summary.by_licence[row["licence_code"]] += 1
        summary.by_source[row["magnification_source"] or "none"] += 1
        yield row, picture


def _write_about(
    catalog: Catalog,
    folder: Path,
    request: ExportRequest,
    summary: ExportSummary,
    harvest_id: str,
    models: set[str],
    sources: set[str],
) -> None:
    """Write what the tables need beside them: the card, the models' numbers, the request."""
    found = catalog.rows("SELECT model_id, name, version, weights_sha256, card FROM model ORDER BY rank, model_id")
    cards = [
        {**row, "card": json.loads(row["card"]) if isinstance(row["card"], str) else row["card"]}
        for row in found
        if row["model_id"] in models
    ]
    counts = {
        "n_seen": summary.n_seen,
        "n_rows": summary.n_rows,
        "left_out": {name: summary.left_out[name] for name in REASONS if summary.left_out[name]},
        "by_split": _ordered(summary.by_split),
        "by_licence": _ordered(summary.by_licence),
        "by_source": _ordered(summary.by_source),
    }
    accessed = catalog.rows("SELECT MAX(started_at) AS day FROM run WHERE command IN ('run', 'crawl', 'demo')")[0][
        "day"
    ]
    contents = Contents(
        format=request.format,
        policy=request.policy,
        counts=counts,
        dropped_columns=summary.dropped_columns,
        models=cards,
        accessed=accessed[:10] if accessed and sources & {"pmc", "europepmc"} else None,
    )
    record = {
        "harvest": harvest_id,
        "program": f"histology-harvester {__version__}",
        "request": {name: value for name, value in asdict(request).items() if name != "dry_run"},
        **counts,
        "columns_only_in_snapshots_csv": list(summary.dropped_columns),
    }
    _write_text(folder / "README.md", dataset_card(contents))
    _write_text(folder / "models.json", json.dumps(cards, indent=2, sort_keys=True) + "\n")
    _write_text(folder / RECORD_NAME, json.dumps(record, indent=2) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, names deciding between equals."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))


def _nothing_left(summary: ExportSummary) -> str:
    if not summary.n_seen:
        return "The catalog holds no snapshot yet, so there is nothing to export; run 'harvester annotate' first."
    name, n = summary.left_out.most_common(1)[0]
    return f"None of {summary.n_seen:,} snapshots is left to export; {n:,} because {REASONS[name]}."


def _harvest_id(catalog: Catalog) -> str:
    """Return what tells harvests apart: the id of the first run."""
    first = catalog.rows("SELECT MIN(run_id) AS run_id FROM run")[0]["run_id"]
    return str(first or "without a run")


def _check_dest(dest: Path, harvest_id: str) -> None:
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
def _built_beside(dest: Path) -> Iterator[Path]:
    """Give an empty folder beside `dest`, which takes its place when the block ends well and is removed otherwise."""
    place = dest.resolve()
    folder = place.with_name(f".{place.name}.unfinished")
    old = place.with_name(f".{place.name}.replaced")
    if folder.exists() and not (folder / _UNFINISHED).exists():
        raise UsageError(f"{str(folder)!r} is in the way of the export; move it or give another folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _UNFINISHED).touch()
    try:
        yield folder
        (folder / _UNFINISHED).unlink()
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        folder.rename(place)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists() and not place.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
