"""The `hagnifinder` command. Heavy imports happen inside the commands: `--help` answers at once."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate, Predictor

_AT_ONCE = 16
_DEVICES = click.Choice(["auto", "cpu", "cuda"])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="histology-harvester", prog_name="hagnifinder")
def main() -> None:
    """How large is a pixel? Reads the magnification of H&E pictures from the pictures themselves.

    \b
    hagnifinder predict figure.png
    """


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON Lines on standard output, an object per picture.")
@click.option("--csv", "csv_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write a CSV file.")
@click.option("--model", default="default", show_default=True, help="A shipped model's name, or a weights file.")
@click.option("--device", type=_DEVICES, default="auto", show_default=True)
def predict(paths: Sequence[Path], as_json: bool, csv_path: Path | None, model: str, device: Any) -> None:
    """Estimate the scale of pictures: files, or folders of them.

    \b
    hagnifinder predict scans/ --json > scale.jsonl
    """
    files, missing = _list_files(paths)
    predictor = _load(model, device)
    rows: list[dict[str, Any]] = []
    n_bad = len(missing)
    for path in missing:
        _say(f"{path} does not exist.")
    for answer in _judge(predictor, files):
        if isinstance(answer, str):
            n_bad += 1
            _say(answer)
            continue
        rows.append(answer)
        if as_json:
            click.echo(json.dumps(answer, ensure_ascii=False))
    if not as_json:
        _print_table(rows)
    if csv_path:
        _write_csv(csv_path, rows)
    if not files and not missing:
        _say("There is no picture in what was given.")
    if n_bad:
        _say(f"{n_bad} of {len(files) + len(missing)} could not be read; the others are above.")
    if not rows:
        sys.exit(2)


@main.command()
@click.argument("recipe", metavar="NAME|CONFIG")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.")
@click.option("--steps", type=click.IntRange(min=1), help="Stop after so many steps of the recipe.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads; all of them unless said.")
def train(recipe: str, data: Path, out: Path, steps: int | None, resume: bool, threads: int | None) -> None:
    """Train a network on a folder with a catalog.csv, calibrate it, and test it on patients it never saw.

    \b
    hagnifinder train hagnifinder-r18 ../shared/histology --out runs/r18
    """
    import logging

    import cv2
    import torch

    from hagnifinder.data.slides import read_catalog
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.evaluation.protocol import finish, results_markdown
    from hagnifinder.training.config import TrainConfig
    from hagnifinder.training.train import train as run

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    # One picture at a time is decoded beside the network: more threads there only get in its way.
    cv2.setNumThreads(1)
    if threads:
        torch.set_num_threads(threads)
    try:
        config = TrainConfig.load(recipe)
        images = read_catalog(data)
        weights = run(config, images, out, steps=steps, resume=resume)
        if steps is not None and steps < config.total_steps:
            _say(f"Stopped after {steps} of {config.total_steps} steps; {weights} is not calibrated yet.")
            return
        click.echo(results_markdown(config.name, finish(weights, images)), nl=False)
    except HagnifinderError as error:
        _fail(str(error))
    except OSError as error:
        _say(f"The run stopped: {error.strerror or error}.")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("Interrupted; add --resume to go on.")
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
        _fail(f"The protocol {protocol} is not there yet; P2 (patients apart) is.")
    from hagnifinder.checkpoint import write_atomically
    from hagnifinder.data.slides import read_catalog
    from hagnifinder.data.splits import Split
    from hagnifinder.errors import HagnifinderError
    from hagnifinder.evaluation.protocol import evaluate as measure
    from hagnifinder.evaluation.protocol import held_out, results_json, results_markdown

    predictor = _load(model, "auto")
    try:
        rows = measure(predictor, held_out(read_catalog(data), Split.TEST))
    except HagnifinderError as error:
        _fail(str(error))
    text = results_markdown(predictor.model_id, rows)
    click.echo(text, nl=False)
    if out:
        try:
            write_atomically(out / "results.md", text.encode())
            write_atomically(out / "results.json", results_json(rows).encode())
        except OSError as error:
            _say(f"{out} cannot be written: {error.strerror}.")
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
        for row in card.get("results", {}).get("test_side", []):
            if row["name"] == "all" or row["name"].endswith("x"):
                click.echo(
                    f"  {row['name']:>8}  {row['pictures']:4d} pictures of {row['patients']:3d} unseen patients:"
                    f" median error {_factor(row['median_log2'])}, 90 % within {_factor(row['p90_log2'])},"
                    f" interval holds {_percent(row['coverage'])}, abstained {_percent(row['abstained'])}"
                )


@main.command()
@click.argument("kind", type=click.Choice(["hagni40", "kimia5mag"]))
@click.argument("slides", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the data set.")
@click.option("--mpp", type=float, help="µm per pixel of plain images without metadata.")
def build(kind: str, slides: Path, out: Path, mpp: float | None) -> None:
    """Build a data set like the paper's from whole slides (not there yet).

    \b
    hagnifinder build hagni40 slides/ --out data/hagni40
    """
    _fail(f"Building {kind} is not there yet; train on a folder with a catalog.csv instead.")


def _list_files(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    from hagnifinder.images import SUFFIXES

    files: list[Path] = []
    missing: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        elif path.exists():
            files.append(path)
        else:
            missing.append(path)
    return files, missing


def _load(model: str, device: Any) -> Predictor:
    from hagnifinder.errors import ModelError
    from hagnifinder.predict import Predictor

    try:
        return Predictor.load(model, device)
    except ModelError as error:
        _fail(str(error))


def _judge(predictor: Predictor, files: Sequence[Path]) -> Iterator[dict[str, Any] | str]:
    """Every file with its row, or with a sentence saying what is wrong with it, in order."""
    from hagnifinder.errors import ImageError
    from hagnifinder.images import read_rgb

    hidden = len(files) < 2 * _AT_ONCE or not sys.stderr.isatty()
    with click.progressbar(length=len(files), label="pictures", file=sys.stderr, hidden=hidden) as bar:
        for start in range(0, len(files), _AT_ONCE):
            part = files[start : start + _AT_ONCE]
            read: list[Any] = []
            for path in part:
                try:
                    read.append(read_rgb(path))
                except ImageError as error:
                    read.append(str(error))
            estimates = iter(predictor.predict_many([r for r in read if not isinstance(r, str)]))
            for path, pixels in zip(part, read, strict=True):
                if isinstance(pixels, str):
                    yield pixels
                else:
                    yield _row(path, pixels.shape, next(estimates), predictor.model_id)
            bar.update(len(part))


def _row(path: Path, shape: tuple[int, ...], estimate: Estimate, model_id: str) -> dict[str, Any]:
    return {
        # A name that is not valid UTF-8 still has to leave as JSON.
        "path": str(path).encode("utf-8", "replace").decode(),
        "width_px": int(shape[1]),
        "height_px": int(shape[0]),
        "mpp_um": estimate.mpp_um,
        "magnification_x": estimate.magnification_x,
        "magnification_lo_x": estimate.magnification_lo_x,
        "magnification_hi_x": estimate.magnification_hi_x,
        "abstained": estimate.abstained,
        "reason": estimate.reason,
        "model": model_id,
        "mpp_lo_um": estimate.mpp_lo_um,
        "mpp_hi_um": estimate.mpp_hi_um,
        "n_windows": estimate.n_windows,
    }


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    width = max(4, min(60, max(len(row["path"]) for row in rows)))
    click.echo(f"{'path':<{width}}  {'µm/px':>8}  {'magnification':>14}  {'90 % interval':>16}  note")
    for row in rows:
        guess = row["mpp_um"]
        interval = (
            f"{row['magnification_lo_x']:.3g}x to {row['magnification_hi_x']:.3g}x" if row["magnification_lo_x"] else ""
        )
        shown = row["path"] if len(row["path"]) <= width else "…" + row["path"][-(width - 1) :]
        click.echo(
            f"{shown:<{width}}  {'' if guess is None else f'{guess:.3g}':>8}  "
            f"{'' if guess is None else format(row['magnification_x'], '.3g') + 'x':>14}  {interval:>16}  "
            f"{'no answer: ' + row['reason'].replace('_', ' ') if row['abstained'] else ''}".rstrip()
        )


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    except OSError as error:
        _say(f"{path} cannot be written: {error.strerror}.")
        sys.exit(1)


def _factor(log2: float | None) -> str:
    return "unknown" if log2 is None else f"{2**log2 - 1:.0%}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _fail(sentence: str) -> NoReturn:
    _say(sentence)
    sys.exit(2)
