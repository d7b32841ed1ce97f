"""Makes the report of a harvest and puts it in its place."""

from __future__ import annotations

import os
from pathlib import Path

from harvester.catalog import Catalog
from harvester.errors import FetchError, UsageError
from harvester.progress import Progress, say
from harvester.report.facts import read_facts
from harvester.report.page import build_page
from harvester.report.pictures import Album, add_refused, add_snapshots
from harvester.report.trust import People
from harvester.review.agreement import blind_report, pair_agreements

MAX_BYTES = 5_000_000


def write_report(root: Path, out_file: Path, *, pictures: bool = True, seed: str = "1") -> Path:
    """Write the report of the harvest in `root` to a file, whole or not at all, and return its path.

    Raises:
        CatalogError: when there is no catalog that can be read.
        UsageError: when the folder of the file is not there.
        FetchError: when the file can't be written.
    """
    if not out_file.parent.is_dir():
        raise UsageError(f"The folder {out_file.parent} is not there; make it, or choose another --out.")
    with Catalog.open(root) as catalog:
        facts = read_facts(catalog, seed)
        album = Album()
        if pictures:
            add_snapshots(album, root, (*facts.scan.worst.items(), *facts.scan.kept.items()))
            with Progress("articles read again for refused panels") as progress:
                add_refused(album, catalog, root, facts.refused, progress.advance)
        people = People(blind_report(catalog), pair_agreements(catalog))
    page = build_page(facts, album, people, root.resolve().name).encode("utf-8", "replace")
    if len(page) > MAX_BYTES:
        raise FetchError(
            f"The report would take {len(page):,} bytes, above {MAX_BYTES:,}; leave pictures out with --no-pictures."
        )
    part = out_file.with_name(f".{out_file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(page)
        part.replace(out_file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FetchError(f"{out_file} can't be written: {error.strerror or error}.") from error
    say(f"{len(page) / 1e6:.1f} MB, {len(album.addresses)} pictures.")
    return out_file
