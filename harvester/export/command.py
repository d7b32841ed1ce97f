"""`harvester export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harvester.catalog import Catalog
    from harvester.export.figures import FigureReader
    from harvester.records import Figure

_FORMATS = ("imagefolder", "parquet", "webdataset", "coco", "csv", "qupath")


def share(text: str) -> float:
    """Read 0.15 or 15%."""
    return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "format", required=True, type=click.Choice(_FORMATS), help="How it lies on disk.")
@click.option("--license", "policy", default="remix", show_default=True, metavar="POLICY", help="As of `run`.")
@click.option("--include-nd", is_flag=True, help="Crops of figures whose licence forbids derivatives, too.")
@click.option(
    "--at", "at_mpp_um", type=float, metavar="MPP", help="Bring all to MPP µm/px; what is coarser stays behind."
)
@click.option("--magnification", "at_x", type=float, metavar="X", help="The same as --at 10/X.")
@click.option("--tolerance", type=share, metavar="15%", help="Only where the true µm/px is that near its label ...")
@click.option("--confidence", type=share, metavar="0.8", help="... with at least this probability.  [default: 0.8]")
@click.option("--tile", "tile_px", type=int, metavar="N", help="Cut into tiles of N x N pixels.")
@click.option("--no-overlay", is_flag=True, help="Cut round letters, bars and arrows, or leave the image out.")
@click.option("--min-he-score", type=float, default=0.0, metavar="0..1", help="Least probability of H&E.")
@click.option(
    "--min-tissue", "min_tissue_share", type=float, default=0.0, metavar="0..1", help="Least share of tissue."
)
@click.option("--mpp-min", "mpp_min_um", type=float, metavar="UM", help="Finest pixel size taken, in µm.")
@click.option("--mpp-max", "mpp_max_um", type=float, metavar="UM", help="Coarsest pixel size taken, in µm.")
@click.option("--max-interval-ratio", type=float, metavar="R", help="Widest 90 % interval taken, upper over lower end.")
@click.option(
    "--agreement", "agreements", multiple=True, metavar="A", help="single, agree, reviewed, conflict or reviews_differ."
)
@click.option(
    "--scale-from",
    "witnesses",
    multiple=True,
    metavar="W",
    help="Pixel sizes from review, scale_bar, image or caption.",
)
@click.option("--verdict", "verdicts", multiple=True, metavar="V", help="accept, correct, reject, differ or none.")
@click.option(
    "--kind", "kinds", multiple=True, default=("he",), show_default=True, metavar="KIND", help="Kind of panel."
)
@click.option("--organ", "organs", multiple=True, metavar="ORGAN", help="Only this organ; may be given again.")
@click.option("--journal", "journals", multiple=True, metavar="NAME", help="Only this journal; may be given again.")
@click.option(
    "--mesh", multiple=True, metavar="HEADING", help="Only articles with this MeSH heading; may be given again."
)
@click.option("--year-from", type=int, metavar="YEAR", help="Published in this year or later.")
@click.option("--year-until", type=int, metavar="YEAR", help="Published in this year or earlier.")
@click.option("--include-abstained", is_flag=True, help="Snapshots of unknown scale, too.")
@click.option("--include-conflicts", is_flag=True, help="Snapshots whose witnesses contradict each other, too.")
@click.option("--keep-duplicates", is_flag=True, help="The same picture more than once, within a split.")
@click.option("--dry-run", is_flag=True, help="Print what would be left out and why; write nothing.")
def export(harvest: Path, dest: Path, at_x: float | None, confidence: float | None, **options: Any) -> None:
    """Write a labelled data set with the licence and the citation of every image.

    \b
    harvester export runs/adenoma datasets/adenoma --format imagefolder --mpp-max 1.0
    harvester export runs/adenoma datasets/tiles --format parquet --at 0.5 --tolerance 25% --tile 256 --no-overlay
    """
    from harvester.catalog import Catalog
    from harvester.errors import UsageError
    from harvester.export.dataset import export_dataset
    from harvester.export.request import ExportRequest
    from harvester.progress import Progress

    if at_x is not None:
        if options["at_mpp_um"] is not None:
            raise UsageError("Give --at or --magnification, not both.")
        if not 0 < at_x < float("inf"):
            raise UsageError(f"--magnification {at_x} must be above 0.")
        options["at_mpp_um"] = 10.0 / at_x
    if confidence is not None:
        if options["tolerance"] is None:
            raise UsageError("--confidence says how sure --tolerance has to be; give --tolerance too.")
        options["confidence"] = confidence
    request = ExportRequest(**options)
    with Catalog.open(harvest) as catalog, Progress("snapshots", total=catalog.funnel().snapshots) as progress:
        reader = _figure_reader(catalog, harvest) if request.format == "coco" else None
        summary = export_dataset(catalog, dest, request, read_figures=reader, tick=progress.advance)
    click.echo(summary.text())


def _figure_reader(catalog: Catalog, root: Path) -> FigureReader:
    from harvester.pipeline.read import ArticleJob, read_figures
    from harvester.settings import AnnotateSettings

    def read(article_id: str) -> Iterator[Figure]:
        return read_figures(ArticleJob(root, catalog.article_files(article_id, root), AnnotateSettings()))

    return read
