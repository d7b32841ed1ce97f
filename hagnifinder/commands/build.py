"""`hagnifinder build`: data sets like the paper's. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hagnifinder.commands.say import fail, say


@click.command()
@click.argument("kind", type=click.Choice(["hagni40", "kimia5mag"]))
@click.argument("slides", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the data set.")
@click.option("--mpp", type=click.FloatRange(min=0.05, max=20.0), help="µm per pixel of files that do not say it.")
@click.option(
    "--histoqc",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Output folder of a HistoQC run over these slides: its masks instead of our own.",
)
@click.option(
    "--tiles-per-slide",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="At most so many tiles of each size a slide; 0 for all.",
)
@click.option("--small-fields", is_flag=True, help="Count a picture smaller than a tile as one tile.")
@click.option(
    "--filter",
    "kernel",
    type=click.Choice(["mixed", "area", "bilinear", "lanczos", "hamming"]),
    default="mixed",
    show_default=True,
    help="Kernel that shrinks; mixed: another one with each patch.",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Slides at a time.")
@click.option(
    "--select",
    "file_list",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A GDC file list: choose slides, write what gdc-client downloads, cut nothing yet.",
)
@click.option("--slides", "n_slides", type=click.IntRange(min=1), default=128, show_default=True, help="With --select.")
@click.option(
    "--projects", "n_projects", type=click.IntRange(min=1), default=13, show_default=True, help="With --select."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="With --select.")
def build(
    kind: str,
    slides: Path,
    out: Path,
    mpp: float | None,
    histoqc: Path | None,
    tiles_per_slide: int,
    small_fields: bool,
    kernel: str,
    workers: int,
    file_list: Path | None,
    n_slides: int,
    n_projects: int,
    seed: int,
) -> None:
    """Build a data set like the paper's from whole slides, or from a folder with a catalog.csv.

    \b
    hagnifinder build hagni40 slides/ --out data/hagni40 --select files.json
    hagnifinder build hagni40 slides/ --out data/hagni40 --workers 8
    """
    from hagnifinder.builders.cut import Settings
    from hagnifinder.builders.run import build as run
    from hagnifinder.builders.select import choose, read_list, write_choice
    from hagnifinder.builders.sources import find_sources
    from hagnifinder.errors import DataError

    try:
        if file_list is not None:
            chosen = choose(read_list(file_list), n_slides, n_projects, seed)
            manifest = write_choice(chosen, out)
            size = sum(s.size for s in chosen) / 1e9
            say(f"{len(chosen)} slides of {len({s.project for s in chosen})} projects, {size:,.0f} GB. Then:")
            click.echo(f"gdc-client download -m {manifest} -d {slides}")
            click.echo(f"hagnifinder build {kind} {slides} --out {out}")
            return
        sources = find_sources(slides, out, mpp)
        settings = Settings(kind, tiles_per_slide, small_fields, kernel)
        summary = run(sources, settings, out, histoqc=histoqc, workers=workers, say=say)
    except DataError as error:
        fail(str(error))
    except OSError as error:
        say(f"The build stopped: {error.strerror or error}. The same command goes on.")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on.")
        sys.exit(1)
    levels = summary.per_level
    say(
        f"{summary.patches:,} patches of {summary.slides} slides of {summary.patients} patients "
        f"({summary.new_slides} slides new), {len(levels)} levels"
        + (f" from {min(levels):g}x to {max(levels):g}x." if levels else ".")
    )
    if summary.quarantined:
        say(f"{len(summary.quarantined)} slides could not be used; {out / 'quarantine.csv'} says why of each.")
    if summary.unfinished or not summary.patches:
        sys.exit(1)
