"""The `hagnifinder` command. Heavy imports happen inside the commands: `--help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hagnifinder.commands.build import build
from hagnifinder.commands.predict import predict
from hagnifinder.commands.say import fail, load, say


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="histology-harvester", prog_name="hagnifinder")
def main() -> None:
    """How large is a pixel? Reads the magnification of H&E pictures from the pictures themselves.

    \b
    hagnifinder predict figure.png
    """


main.add_command(predict)
main.add_command(build)


@main.command()
@click.argument("recipe", metavar="NAME|CONFIG")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--steps", type=click.IntRange(min=1), help="Stop after so many steps of the recipe.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads; all of them unless said.")
def train(recipe: str, data: Path, out: Path, steps: int | None, resume: bool, threads: int | None) -> None:
    """Train a network on a folder with a catalog.csv, calibrate it, and measure it on what it never saw.

    \b
    hagnifinder train small ../shared/histology --out runs/small
    hagnifinder train hagnifinder-r18 ../shared/histology --out runs/r18
    """
    import logging

    import cv2
    import torch

    from hagnifinder.data.slides import read_catalog
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.evaluation.protocol import finish, results_markdown
    from hagnifinder.training.config import TrainConfig
    from hagnifinder.training.density import DENSITY_RECIPES, train_and_measure
    from hagnifinder.training.gate import read_others
    from hagnifinder.training.train import train as run

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    # One picture at a time is decoded beside the network: more threads there only get in its way.
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)
    try:
        images = read_catalog(data)
        if recipe in DENSITY_RECIPES:
            weights, rows = train_and_measure(
                DENSITY_RECIPES[recipe], images, out, others=read_others(data), steps=steps, resume=resume
            )
            if rows is None:
                say(f"Stopped after {steps} steps of each round; {weights} is not calibrated yet.")
            else:
                click.echo(results_markdown(recipe, rows), nl=False)
            return
        config = TrainConfig.load(recipe)
        weights = run(config, images, out, steps=steps, resume=resume)
        if steps is not None and steps < config.total_steps:
            say(f"Stopped after {steps} of {config.total_steps} steps; {weights} is not calibrated yet.")
            return
        click.echo(results_markdown(config.name, finish(weights, images)), nl=False)
    except HagnifinderError as error:
        fail(str(error))
    except OSError as error:
        say(f"The run stopped: {error.strerror or error}.")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted; add --resume to go on.")
        sys.exit(1)


@main.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for results.md and results.json.")
@click.option("--protocol", type=click.Choice(["P1", "P2", "P3", "P4", "P5"]), default="P2", show_default=True)
def evaluate(model: str, data: Path, out: Path | None, protocol: str) -> None:
    """Measure a model on the test patients of a folder with a catalog.csv.

    \b
    hagnifinder evaluate default ../shared/histology --out results/
    """
    if protocol != "P2":
        fail(f"The protocol {protocol} is not there yet; P2 (patients apart) is.")
    from hagnifinder.data.slides import read_catalog
    from hagnifinder.data.splits import Split
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.evaluation.protocol import evaluate as measure
    from hagnifinder.evaluation.protocol import held_out, results_json, results_markdown
    from hagnifinder.files import write_atomically

    predictor = load(model, "auto")
    try:
        rows = measure(predictor, held_out(read_catalog(data), Split.TEST))
    except HagnifinderError as error:
        fail(str(error))
    text = results_markdown(predictor.model_id, rows)
    click.echo(text, nl=False)
    if out:
        try:
            write_atomically(out / "results.md", text.encode())
            write_atomically(out / "results.json", results_json(rows).encode())
        except OSError as error:
            say(f"{out} cannot be written: {error.strerror}.")
            sys.exit(1)


@main.command()
def models() -> None:
    """List the shipped models with their measured accuracy.

    \b
    hagnifinder models
    """
    folder = Path(__file__).parent / "weights"
    for card_path in sorted(folder.glob("*.json")):
        card = json.loads(card_path.read_text(encoding="utf-8"))
        click.echo(f"{card['name']}  version {card['version']}  sha256 {card['weights_sha256'][:12]}")
        if status := card.get("status"):
            click.echo(f"  {status}")
        results = card.get("results", {})
        unseen = "unseen patients" if "test_side" in results else "patients of unseen data sets"
        for row in results.get("test_side") or results.get("other_sources", []):
            if row["name"] == "all" or row["name"].endswith("x"):
                click.echo(
                    f"  {row['name']:>8}  {row['pictures']:4d} pictures of {row['patients']:3d} {unseen}:"
                    f" median error {_factor(row['median_log2'])}, 90 % within {_factor(row['p90_log2'])},"
                    f" interval holds {_percent(row['coverage'])}, abstained {_percent(row['abstained'])}"
                )


def _factor(log2: float | None) -> str:
    return "unknown" if log2 is None else f"{2**log2 - 1:.0%}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"
