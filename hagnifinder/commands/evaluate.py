"""`hagnifinder evaluate`: a shipped model on a catalog, or a compared one under the protocols. Heavy imports inside."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hagnifinder.commands.say import fail, load, say


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the tables and answers.")
@click.option("--protocol", type=click.Choice(["P1", "P2", "P3", "P4", "P5"]), default="P2", show_default=True)
@click.option("--controls", "with_controls", is_flag=True, help="Built sets: what can be said without tissue, too.")
@click.option("--most", type=click.IntRange(min=1), help="Built sets: test so many patches only, the same for all.")
def evaluate(model: str, data: Path, out: Path | None, protocol: str, with_controls: bool, most: int | None) -> None:
    """Measure a model on test patients: a shipped one on a folder with a catalog.csv, a trained system on a built set.

    \b
    hagnifinder evaluate default ../shared/histology --out results/
    hagnifinder evaluate runs/r50/hagnifinder-r50.safetensors data/hagni40 --protocol P4 --controls
    hagnifinder evaluate runs/r50/hagnifinder-r50.safetensors BreaKHis_v1/ --protocol P5
    """
    from hagnifinder.data.breakhis import is_breakhis
    from hagnifinder.data.patches import is_built
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.files import write_atomically

    try:
        if protocol == "P5":
            if not is_breakhis(data):
                fail(f"{data} is not BreakHis as distributed, the one set of P5 with a loader: data not available.")
            files = _on_breakhis(model, data)
        elif is_built(data):
            files = _on_built(model, data, protocol, with_controls, most)
        elif protocol == "P2":
            files = _on_catalog(model, data)
        else:
            fail(f"{protocol} needs what hagnifinder build wrote: {data} holds no manifest.csv.")
    except HagnifinderError as error:
        fail(str(error))
    click.echo(files["results.md"].decode(), nl=False)
    if out:
        try:
            for name, content in files.items():
                write_atomically(out / name, content)
        except OSError as error:
            say(f"{out} cannot be written: {error.strerror}.")
            sys.exit(1)


def _on_catalog(model: str, data: Path) -> dict[str, bytes]:
    from hagnifinder.data.slides import read_catalog
    from hagnifinder.data.splits import Split
    from hagnifinder.evaluation.protocol import evaluate as measure
    from hagnifinder.evaluation.protocol import held_out, results_json, results_markdown

    predictor = load(model, "auto")
    rows = measure(predictor, held_out(read_catalog(data), Split.TEST))
    text = results_markdown(predictor.model_id, rows)
    return {"results.md": text.encode(), "results.json": results_json(rows).encode()}


def _on_built(model: str, data: Path, protocol: str, with_controls: bool, most: int | None) -> dict[str, bytes]:
    from hagnifinder.evaluation import systems
    from hagnifinder.training.systems import load_system

    trained = load_system(Path(model))
    patches = systems.fewer(systems.test_patches(data, protocol, trained), most)
    answers = systems.answers_of(systems.predict_with(trained), data, patches, systems.crop_of(protocol))
    rows = [systems.score(trained.plan.system, answers)]
    if with_controls:
        rows += [systems.score(name, found) for name, found in systems.controls(data, protocol, trained, most).items()]
    seen = trained.card["samples_seen"]
    text = f"# {trained.plan.system} ({trained.plan.arm}) under {protocol}, {seen:,} crops seen\n\n"
    text += systems.scores_markdown(rows) + "\n" + systems.four_markdown(rows)
    facts = {"protocol": protocol, "card": trained.card}
    return {
        "results.md": text.encode(),
        "results.json": systems.scores_json(rows, facts),
        "answers.csv": systems.answers_csv(answers),
    }


def _on_breakhis(model: str, data: Path) -> dict[str, bytes]:
    from hagnifinder.data.breakhis import read_breakhis
    from hagnifinder.evaluation.breakhis import breakhis_markdown, score_breakhis
    from hagnifinder.evaluation.systems import predict_with
    from hagnifinder.training.systems import load_system

    trained = load_system(Path(model))
    scores = score_breakhis(predict_with(trained), read_breakhis(data))
    return {"results.md": breakhis_markdown(trained.plan.system, scores).encode()}
