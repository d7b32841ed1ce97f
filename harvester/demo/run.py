"""The demonstration: draw articles, serve them on this machine, harvest them as ever, compare with the truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from harvester.demo.articles import DEMO_QUERY, draw_articles, truth_as_json
from harvester.demo.plan import PLAN, ArticlePlan
from harvester.demo.served import ServedArticle
from harvester.demo.server import StandIn
from harvester.demo.summary import SNAPSHOT_QUERY, compare, contact_sheet, expected_panels, sentences
from harvester.errors import MalformedArticle
from harvester.geometry import RgbImage

DEMO_PORT = 48112
"""Tried first, so that a second demonstration meets the same addresses and leaves the catalog as it is."""
SHEET_NAME, TRUTH_NAME = "contact-sheet.png", "truth.json"

Harvest = Callable[[str, Path], int]
"""Harvests a query into a folder by the ordinary way and returns the exit code."""
ReadRows = Callable[[Path, str], Sequence[Mapping[str, Any]]]
"""Returns the rows of one SELECT on the catalog of a harvest."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block, and without an API key, which no local service should see."""
    before = {name: os.environ.get(name) for name in (*values, "NCBI_API_KEY")}
    os.environ.pop("NCBI_API_KEY", None)
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_demo(
    out: Path,
    harvest: Harvest,
    read_rows: ReadRows,
    *,
    say: Callable[[str], None],
    echo: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
    seed: int = 1,
    plan: Sequence[ArticlePlan] = PLAN,
) -> int:
    """Run the whole way on drawn articles and print what came out.

    Args:
        out: Folder of the harvest; also gets the contact sheet and the truth.
        harvest: What `harvester run` does, given query and folder; it prints the funnel.
        read_rows: Reads the catalog afterwards.
        say: Prints talk (standard error).
        echo: Prints results (standard output).
        progress: Told (articles drawn, articles in all).
        seed, plan: What is drawn.

    Returns:
        The exit code of the harvest.
    """
    say("Drawing articles: H&E-like tissue at known scale, beside other stains, charts and photographs.")
    articles = draw_articles(seed, plan=plan, progress=progress)
    with _serve([article.served for article in articles]) as services, environment(services.environment()):
        say(
            f"Serving {len(articles)} article versions on {services.bucket_url.rsplit('/', 1)[0]}, and harvesting them."
        )
        code = harvest(DEMO_QUERY, out)
        asked = len(services.requests)
    out.mkdir(parents=True, exist_ok=True)
    (out / TRUTH_NAME).write_text(truth_as_json(articles), encoding="utf-8")
    truth = [panel for article in articles for panel in article.truth]
    compared = compare(read_rows(out, SNAPSHOT_QUERY), truth)
    say(f"The services answered {asked} requests.")
    echo("")
    for line in sentences(compared, expected_panels(articles)):
        echo(line)
    if compared:
        title = f"{len(compared)} snapshots from drawn articles: magnification predicted from the image, and true"
        sheet = contact_sheet(compared, lambda path: _read_picture(out / path), title=title)
        cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))[1].tofile(out / SHEET_NAME)
        echo(f"Look at {out / SHEET_NAME}; the truth is in {out / TRUTH_NAME}.")
    echo("")
    echo("Next, with real articles (your e-mail goes to the services, as they ask):")
    echo("  export HARVESTER_EMAIL=you@example.org")
    echo("  harvester run 'colorectal adenoma' --histology --limit 20 --out runs/adenoma")
    return code


def _serve(articles: Sequence[ServedArticle]) -> StandIn:
    try:
        return StandIn(articles, port=DEMO_PORT)
    except OSError:
        return StandIn(articles)


def _read_picture(path: Path) -> RgbImage:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise MalformedArticle(f"{path} is no picture any more.", reason="image_unreadable")
    return np.asarray(pixels[..., ::-1], np.uint8)
