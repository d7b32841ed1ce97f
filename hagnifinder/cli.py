"""The `hagnifinder` command. Heavy imports happen inside the commands: `--help` answers at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hagnifinder.commands.build import build
from hagnifinder.commands.evaluate import evaluate
from hagnifinder.commands.paper import paper
from hagnifinder.commands.predict import predict
from hagnifinder.commands.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="histology-harvester", prog_name="hagnifinder")
def main() -> None:
    """How large is a pixel? Reads the magnification of H&E pictures from the pictures themselves.

    \b
    hagnifinder predict figure.png
    """


main.add_command(predict)
main.add_command(build)
main.add_command(train)
main.add_command(evaluate)
main.add_command(paper)


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
