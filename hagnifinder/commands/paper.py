"""`hagnifinder paper`: the paper's tables and figures from stored runs. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hagnifinder.commands.say import fail, say


@click.command()
@click.argument("runs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for all files.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What hagnifinder build wrote, for the figures that show patches.",
)
@click.option("--machine", default="machine not said", show_default=True, help="Where the runs were made, in words.")
def paper(runs: Path, out: Path, data: Path | None, machine: str) -> None:
    """Write the paper's tables and figures from what `hagnifinder evaluate --out` left below a folder.

    \b
    hagnifinder paper runs/ --data data/hagni40 --out results/paper
    """
    import datetime
    import json

    from hagnifinder.data.patches import read_manifest
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.evaluation.paper_page import Facts, paper_files
    from hagnifinder.evaluation.paper_runs import read_runs
    from hagnifinder.files import write_atomically

    try:
        found, damaged = read_runs(runs)
        patches = read_manifest(data, with_refused=True) if data else []
        speeds = None
        if (runs / "speed.json").is_file():
            try:
                speeds = json.loads((runs / "speed.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                damaged.append("speed.json")
        facts = Facts(datetime.datetime.now(datetime.UTC).date().isoformat(), machine, damaged, speeds)
        files = paper_files(found, data, patches, facts)
    except HagnifinderError as error:
        fail(str(error))
    for name in damaged:
        say(f"{name} cannot be read and is left out.")
    try:
        for name, content in files.items():
            write_atomically(out / name, content)
    except OSError as error:
        say(f"{out} cannot be written: {error.strerror}.")
        sys.exit(1)
    say(f"{len(found)} results; {len(files)} files in {out}.")
    click.echo(out / "index.html")
