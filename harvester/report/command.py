"""`harvester report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--out", "out_file", type=click.Path(dir_okay=False, path_type=Path), help="Default: DIR/report.html.")
@click.option(
    "--no-pictures", is_flag=True, help="Leave the pictures out, so that nothing of the articles is passed on."
)
@click.option("--seed", default="1", show_default=True, help="Draws other pictures and other points of the plots.")
def report(harvest: Path, out_file: Path | None, no_pictures: bool, seed: str) -> None:
    """Write one self-contained HTML file about a harvest: what was found, what was lost, what can be trusted.

    \b
    harvester report runs/adenoma --out adenoma.html
    """
    from harvester.report.write import write_report

    path = write_report(harvest, out_file or harvest / "report.html", pictures=not no_pictures, seed=seed)
    click.echo(str(path))
