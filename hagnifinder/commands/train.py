"""`hagnifinder train`: on a catalog of pictures, or on what `hagnifinder build` wrote. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hagnifinder.commands.say import fail, say

if TYPE_CHECKING:
    import torch


def device_of(name: str) -> torch.device:
    """A device by name; auto takes a GPU when there is one. Leaves with code 2 when what was asked for is not there."""
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        fail("There is no GPU that PyTorch can use here: leave --device out.")
    return torch.device("cuda" if has_gpu and name in ("auto", "cuda") else "cpu")


def parse_levels(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    """Read "4,10,20,40"."""
    try:
        levels = tuple(sorted({float(part) for part in text.split(",")})) if text else ()
    except ValueError:
        levels = (0.0,)
    if any(not 0 < x <= 100 for x in levels):
        raise click.BadParameter(f"{text!r} is no list of magnifications, as in 4,10,20,40.")
    return levels


@click.command()
@click.argument("recipe", metavar="NAME|CONFIG")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--steps", type=click.IntRange(min=1), help="Stop after so many steps of the recipe.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option(
    "--start-from",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="base: folder of the run of small that it goes on from; trained first when left out.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads; all of them unless said.")
@click.option("--protocol", type=click.Choice(["P1", "P2", "P3"]), default="P2", show_default=True, help="Built sets.")
@click.option("--arm", help="Built sets: rates and crops of the paper, of its code, or sane ones.")
@click.option("--samples", type=click.IntRange(min=1), help="Built sets: crops to see, instead of the recipe's epochs.")
@click.option("--batch", type=click.IntRange(min=2), help="Built sets: crops a step.")
@click.option("--levels", callback=parse_levels, help="Built sets: only these, as in 4,10,20,40.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Built sets.")
@click.option(
    "--loaders", type=click.IntRange(min=1), default=1, show_default=True, help="Built sets: reading threads."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def train(
    recipe: str,
    data: Path,
    out: Path,
    steps: int | None,
    resume: bool,
    start_from: Path | None,
    threads: int | None,
    device: str,
    loaders: int,
    **plan: Any,
) -> None:
    """Train a network on a folder with a catalog.csv, or a compared system on what `hagnifinder build` wrote.

    \b
    hagnifinder train small ../shared/histology --out runs/small
    hagnifinder train hagnifinder-r50 data/hagni40 --out runs/r50 --protocol P2
    """
    import logging

    import cv2
    import torch

    from hagnifinder.data.patches import is_built
    from hagnifinder.errors import HagnifinderError

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    # One picture at a time is decoded beside the network: more threads there only get in its way.
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)
    try:
        if is_built(data):
            _train_system(recipe, data, out, steps, resume, loaders, device, plan)
        else:
            _train_on_catalog(recipe, data, out, steps, resume, start_from)
    except HagnifinderError as error:
        fail(str(error))
    except OSError as error:
        say(f"The run stopped: {error.strerror or error}.")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted; add --resume to go on.")
        sys.exit(1)


def _train_system(
    name: str,
    data: Path,
    out: Path,
    steps: int | None,
    resume: bool,
    loaders: int,
    device: str,
    settings: dict[str, Any],
) -> None:
    from hagnifinder.training.systems import load_system, plan_of, train_system

    settings["levels_x"] = settings.pop("levels")
    plan = plan_of(name, **settings)
    path = train_system(plan, data, out, steps=steps, resume=resume, device=device_of(device), loaders=loaders)
    card = load_system(path).card
    say(f"{path}: {card['steps_done']} of {card['steps_planned']} steps, {card['samples_seen']:,} crops seen.")
    click.echo(f"hagnifinder evaluate {path} {data} --protocol {plan.protocol}")


def _train_on_catalog(
    recipe: str, data: Path, out: Path, steps: int | None, resume: bool, start_from: Path | None
) -> None:
    from hagnifinder.data.slides import read_catalog
    from hagnifinder.evaluation.protocol import finish, results_markdown
    from hagnifinder.training.config import TrainConfig
    from hagnifinder.training.density import DENSITY_RECIPES, train_and_measure
    from hagnifinder.training.gate import read_others
    from hagnifinder.training.train import train as run

    images = read_catalog(data)
    if recipe in DENSITY_RECIPES:
        weights, rows = train_and_measure(
            DENSITY_RECIPES[recipe],
            images,
            out,
            others=read_others(data),
            steps=steps,
            resume=resume,
            start_from=start_from,
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
