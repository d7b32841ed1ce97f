"""`harvester review`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free one.")
@click.option("--reviewer", metavar="NAME", help="Whose verdicts they are; default: your account's name.")
@click.option("--blind", is_flag=True, help="Hide estimate, caption and witnesses until you have committed yourself.")
def review(harvest: Path, port: int, reviewer: str | None, blind: bool) -> None:
    """Look at the snapshots in a local web page; accept, reject or correct them.

    \b
    harvester review runs/adenoma --reviewer ann
    """
    from harvester.catalog import Catalog
    from harvester.progress import Progress, say
    from harvester.review.queue import Queue
    from harvester.review.serve import account_name, listen, serve

    with Catalog.open(harvest) as catalog, listen(port) as door:
        queue = Queue(catalog, blind=blind)
        with Progress("snapshots in the queue") as progress:
            queue.refresh(progress.advance)
        serve(catalog, queue, door, reviewer=(reviewer or account_name()), blind=blind, echo=click.echo)
        say("The review page is closed; every verdict is kept.")
