"""`harvester merge` and `harvester gc`: thin."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harvester.opening import open_to_write, require_harvest


@click.command()
@click.argument("harvests", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR...")
@click.option(
    "--out",
    "out_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The joined harvest's folder. One that is there is joined with the others.",
)
def merge(harvests: tuple[Path, ...], out_dir: Path) -> None:
    """Join harvests made apart, for instance by jobs with --shard, into one.

    Those in DIR... are only read. An article that several hold is taken from the one that has all its files and the
    newest reading; every review is kept. The order makes no difference, nor does joining twice.

    \b
    harvester merge parts/1 parts/2 parts/3 parts/4 --out runs/renal
    """
    from harvester.merge import merge as merge_harvests
    from harvester.merge import open_sources
    from harvester.progress import Progress, say

    settings = {"harvests": [str(path) for path in harvests]}
    with (
        open_sources(harvests, out_dir) as sources,
        open_to_write(out_dir, "merge", settings) as (_, catalog),
        Progress("articles joined") as progress,
    ):
        outcome = merge_harvests(sources, catalog, progress.advance)
    for note in outcome.notes:
        say(note)
    say(outcome.line())


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Name what would be removed; remove nothing.")
def gc(harvest: Path, dry_run: bool) -> None:
    """Remove files that nothing in the catalog refers to any more: old crops, parts of transfers, old files of PMC.

    Retracted, removed and superseded articles stay, and so does every file of your own.

    \b
    harvester gc runs/renal --dry-run
    harvester gc runs/renal
    """
    from contextlib import nullcontext

    from harvester.catalog import Catalog
    from harvester.fetch.store import Store
    from harvester.gc import collect_garbage

    require_harvest(harvest)
    is_frozen = dry_run and not os.access(harvest, os.W_OK)
    with nullcontext() if is_frozen else Store(harvest).lock(), Catalog.open(harvest) as catalog:
        click.echo(collect_garbage(catalog, harvest, dry_run=dry_run).text())
