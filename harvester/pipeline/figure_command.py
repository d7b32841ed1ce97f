"""`harvester figures`: thin."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", "out_dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the pictures."
)
def figures(paths: tuple[Path, ...], out_dir: Path) -> None:
    """Draw every figure of articles with its panels, letters and caption parts, on one page to look through.

    PATHS are PDFs, images, or folders that hold them; JATS XML and media beside a PDF are used. Nothing is stored.

    \b
    harvester figures papers/ --out looks
    """
    from harvester.pipeline.figure_sheets import draw_figures
    from harvester.progress import say

    drawn = draw_figures(paths, out_dir)
    say(f"{drawn.n_figures:,} figures, {drawn.n_panels:,} panels, {drawn.n_skips:,} left out: {drawn.page}")
