"""The README of a data set: what is in it, what was left out and why, how good its numbers are, whom to thank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harvester.export.columns import COLUMNS
from harvester.export.request import REASONS
from harvester.export.splits import SPLITS, TEST_PERCENT, VAL_PERCENT
from harvester.licences import licence_name

MAX_ROWS = 40
"""Rows of a model's results shown in the card; models.json has all of them."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the card tells.

    Attributes:
        counts: n_seen, n_rows, left_out, by_split, by_licence, by_source.
        models: model_id, name, version, weights_sha256 and card of the models whose estimates are in the data set.
        accessed: Day (YYYY-MM-DD) of the last search at PubMed Central; None when no article is from there.
    """

    format: str
    policy: str
    counts: Mapping[str, Any]
    dropped_columns: tuple[str, ...]
    models: Sequence[Mapping[str, Any]]
    accessed: str | None


def dataset_card(contents: Contents) -> str:
    """Return the README.md of a data set, with the front matter that the Hugging Face hub reads."""
    counts = contents.counts
    lines = [*_front_matter(contents), "# H&E snapshots with their pixel size", ""]
    lines += [
        f"{counts['n_rows']:,} regions of H&E histology cropped from figures of open-access articles or from files of"
        " the person who made the harvest, each with the size of its pixels in µm, where that number comes from, and"
        " the source and licence of the image. Pixels are as published, never resampled.",
        "",
        "Each image has its own licence: see `licence_code`, `licence_url` and `citation` of its row, and"
        " `ATTRIBUTION.csv`. Who passes an image on has to pass these on with it. Every image is a crop of the figure"
        " it names; nothing else was changed.",
        "",
        "## Counts",
        "",
        *_table(("split", "images"), ((name, counts["by_split"].get(name, 0)) for name in SPLITS)),
        f"The split follows the article (all versions of it), for private files their group: SHA-256 of its name modulo"
        f" 100, below {TEST_PERCENT} test, below {TEST_PERCENT + VAL_PERCENT} val, else train. It never changes.",
        "",
        *_table(
            ("licence", "name", "images"),
            ((code, licence_name(code), n) for code, n in counts["by_licence"].items()),
        ),
        *_table(("pixel size from", "images"), counts["by_source"].items()),
        "## Left out",
        "",
        f"{counts['n_seen']:,} snapshots in the harvest, {counts['n_seen'] - counts['n_rows']:,} left out under the"
        f" licence policy `{contents.policy}` and the filters in `export.json`.",
        "",
        *_table(("reason", "why", "images"), ((k, REASONS[k], n) for k, n in counts["left_out"].items())),
        "## Columns",
        "",
        *_table(("column", "meaning"), ((name, meaning) for name, (_, meaning) in COLUMNS.items())),
        "In the CSV files a text that a spreadsheet would take for a formula has an apostrophe before it.",
        "",
    ]
    if contents.dropped_columns:
        names = ", ".join(f"`{name}`" for name in contents.dropped_columns)
        lines += [f"Only in `snapshots.csv`, because a split has no value for them: {names}.", ""]
    lines += _models(contents.models)
    lines += _thanks(contents.accessed)
    return "\n".join(lines)


def _front_matter(contents: Contents) -> list[str]:
    lines = ["---", "pretty_name: H&E snapshots with their pixel size", "license: other", "license_name: per-image"]
    lines += ["license_link: ATTRIBUTION.csv", "task_categories:", "- image-classification", "tags:", "- histology"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    if contents.format == "imagefolder":
        for name in SPLITS:
            if contents.counts["by_split"].get(name):
                lines += [f"  - split: {name}", f"    path: {name}/**"]
    else:
        lines += ["  - split: all", "    path: snapshots.csv"]
    return [*lines, "---", ""]


def _models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    if not models:
        return []
    lines = ["## Models", ""]
    for model in models:
        lines += [f"`{model['model_id']}`: {model['name']}, version {model['version']}.", ""]
        measured = _measurements(model["card"])
        lines += ["Measured when it was made; `models.json` has its whole card:", "", *measured] if measured else []
    return lines


def _measurements(card: Mapping[str, Any]) -> list[str]:
    """Return the results in a model card as tables: a list of rows as it stands, single numbers as one table."""
    results = card.get("results")
    if not isinstance(results, Mapping):
        return []
    lines: list[str] = []
    for name, value in results.items():
        rows = [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
        if rows:
            head = [str(column) for column in rows[0]]
            lines += [f"{str(name).replace('_', ' ').capitalize()}:", ""]
            lines += _table(head, ([_number(row.get(column)) for column in head] for row in rows[:MAX_ROWS]))
    single = [(name, _number(value)) for name, value in results.items() if isinstance(value, (int, float, str))]
    return _table(("measure", "value"), single) + lines


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _thanks(accessed: str | None) -> list[str]:
    if accessed is None:
        return []
    return [
        "## Acknowledgement",
        "",
        "Articles come from PubMed Central of the U.S. National Library of Medicine (NLM), which is gratefully"
        " acknowledged. NIH NLM NCBI PubMed Central (PMC) Article Datasets - Full-Text Biomedical and Life Sciences"
        f" Journal Articles on AWS was accessed on {accessed} from https://registry.opendata.aws/ncbi-pmc.",
        "",
        "This data set is not from NLM, is not endorsed by it, and does not follow later corrections or retractions.",
        "",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Return a Markdown table and an empty line; nothing when there are no rows."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return []
    body = [f"| {' | '.join(row)} |" for row in cells]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body, ""]


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
