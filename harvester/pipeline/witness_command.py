"""`harvester witnesses`: thin."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--out", "out_dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the sheets."
)
@click.option("--limit", type=click.IntRange(min=1), default=60, show_default=True, help="Panels to draw.")
@click.option("--all", "every", is_flag=True, help="Panels with words or metadata, too, not only those with a bar.")
def witnesses(harvest: Path, out_dir: Path, limit: int, every: bool) -> None:
    """Draw panels with the scale bar as found over them and what each witness says beside; conflicts first.

    \b
    harvester witnesses runs/adenoma --out runs/adenoma-witnesses
    """
    from harvester.catalog import Catalog
    from harvester.pipeline.witness_sheets import draw_sheets
    from harvester.progress import say

    with Catalog.open(harvest) as catalog:
        say(f"Written: {draw_sheets(catalog, harvest, out_dir, limit=limit, only_bars=not every)}")
