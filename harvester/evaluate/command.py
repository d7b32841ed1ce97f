"""`harvester evaluate`: thin; reads the view, measures, prints or writes."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--out",
    "out_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a page with plots and CSV files into this folder, too.",
)
@click.option("--refit", is_flag=True, help="Learn pixel sizes per stated objective from this harvest; judge it anew.")
def evaluate(harvest: Path, out_dir: Path | None, refit: bool) -> None:
    """Compare the image's estimates with the scale bars and reviews of this harvest.

    \b
    harvester evaluate runs/adenoma --out runs/adenoma-evaluated
    """
    from harvester.catalog import Catalog
    from harvester.evaluate.measure import compare, objective_sizes, tables
    from harvester.evaluate.page import text_page, write_page
    from harvester.progress import say

    if refit:
        _refit(harvest)
    with Catalog.open(harvest) as catalog:
        rows = list(catalog.snapshots())
    compared, sizes = compare(rows), objective_sizes(rows)
    lines = tables(compared)
    click.echo(text_page(lines, sizes))
    if out_dir is not None:
        models = sorted({row["model_id"] for row in rows if row["model_id"]})
        about = f"{len(rows)} snapshots, of which {len(compared)} have a bar or a review. Model: {', '.join(models)}."
        say(f"Written: {write_page(out_dir, compared, lines, sizes, about)}")


def _refit(harvest: Path) -> None:
    import json
    from dataclasses import asdict

    from harvester.catalog import Catalog
    from harvester.evaluate.measure import MIN_REFIT_ARTICLES, objective_sizes
    from harvester.evaluate.measure import refit as fit
    from harvester.fetch.store import Store
    from harvester.pipeline.judging import MODELS_NAME, judge_of, models_of
    from harvester.progress import say

    with Store(harvest).lock(), Catalog.open(harvest) as catalog:
        models = fit(objective_sizes(list(catalog.snapshots())), models_of(harvest))
        if models is None:
            say(f"Fewer than {MIN_REFIT_ARTICLES} articles state an objective beside a pixel size: nothing was learnt.")
            return
        path = harvest / MODELS_NAME
        partial = path.with_suffix(".json.part")
        partial.write_text(json.dumps(asdict(models), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        catalog.reconcile(judge_of(harvest))
    say(
        f"Learnt from {models.objective_n} articles: a pixel of an objective of N x is about"
        f" {2**models.objective_log2:.3g}/N µm, within a factor of {2 ** (1.645 * models.objective_sd):.1f} (90 %)."
    )
