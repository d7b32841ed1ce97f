"""The README of a data set: what is in it, what was left out and why, how good its numbers are, whom to thank."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from harvester.export.columns import COLUMNS
from harvester.export.duplicates import NEAR_BITS
from harvester.export.filters import REASONS
from harvester.export.request import ExportRequest
from harvester.export.splits import BANDS, SPLITS, TEST_PERCENT, VAL_PERCENT
from harvester.export.tally import AGREES_WITHIN, TOLERANCES, Tally, ordered
from harvester.licences import licence_name

MAX_ROWS = 40
"""Rows of a table shown in the card; models.json and export.json have all of them."""

_OPTIONS = {
    "policy": "license", "min_he_score": "min-he-score", "min_tissue_share": "min-tissue", "mpp_min_um": "mpp-min",
    "mpp_max_um": "mpp-max", "at_mpp_um": "at", "tile_px": "tile", "kinds": "kind", "organs": "organ",
    "journals": "journal", "agreements": "agreement", "witnesses": "scale-from", "verdicts": "verdict",
}  # fmt: skip
"""Options whose name is not that of the field."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the card tells.

    Attributes:
        refused_licences: Snapshots by "code: why".
        models: model_id, name, version, weights_sha256 and card of the models whose estimates are in the data set.
        accessed: Day (YYYY-MM-DD) of the last search at PubMed Central; None when no article is from there.
    """

    request: ExportRequest
    n_seen: int
    tally: Tally
    refused_licences: Mapping[str, int]
    dropped_columns: tuple[str, ...]
    models: Sequence[Mapping[str, Any]]
    accessed: str | None


def dataset_card(contents: Contents) -> str:
    """Return the README.md of a data set, with the front matter that the Hugging Face hub reads."""
    lines = [*_front_matter(contents), "# H&E snapshots with their pixel size", ""]
    for part in (_intro, _counts, _left_out, _labels, _uses, _columns, _files):
        lines += part(contents)
    lines += _models(contents.models)
    lines += _again(contents)
    lines += _thanks(contents.accessed)
    return "\n".join(lines)


def _front_matter(contents: Contents) -> list[str]:
    lines = ["---", "pretty_name: H&E snapshots with their pixel size", "license: other", "license_name: per-image"]
    lines += ["license_link: ATTRIBUTION.csv", "task_categories:", "- image-classification", "tags:", "- histology"]
    places = {"imagefolder": "{}/**", "parquet": "data/{}-*.parquet", "webdataset": "{}-*.tar"}
    place = places.get(contents.request.format, "")
    if contents.request.format != "coco":
        lines += ["configs:", "- config_name: default", "  data_files:"]
        if not place:
            lines += ["  - split: all", "    path: snapshots.csv"]
        for name in SPLITS if place else ():
            if contents.tally.by_split[name]:
                lines += [f"  - split: {name}", f"    path: {place.format(name)}"]
    return [*lines, "---", ""]


def _intro(contents: Contents) -> list[str]:
    asked, tally = contents.request, contents.tally
    if asked.format == "coco":
        what = "Whole figures with a box for every panel and every region of H&E histology;"
        pixels = "Pixels are those of the figure as published; pixel sizes are those of the panels' own pixels."
    else:
        what = f"{tally.n_images:,} images of H&E histology cropped"
        what += " from figures of open-access articles or from files of the person who made the harvest,"
        pixels = "Pixels are as published, never resampled."
    if asked.at_mpp_um is not None:
        pixels = (
            f"All were brought to {asked.at_mpp_um:g} µm/px ({10 / asked.at_mpp_um:.4g}x) by averaging, never by making"
            " up pixels: `native_mpp_um` says from what. The new size is exact with respect to the label; how exact the"
            " label is stands below."
        )
    if asked.tile_px is not None:
        pixels += f" They were cut into tiles of {asked.tile_px} px side by side; the rest at the edges is left out."
    if asked.no_overlay:
        pixels += (
            " Places that seem drawn over were avoided: scale bars that the harvest read, and compact patches of"
            " neutral black, saturated white or one pure colour that stand out sharply. Marks in other colours and"
            " half-transparent ones are not found."
        )
    return [
        f"{what} each with the size of its pixels in µm, where that number comes from, and the source and licence of"
        f" the image. {pixels}",
        "",
        "Each image has its own licence: see `licence_code`, `licence_url` and `citation` of its row, and"
        " `ATTRIBUTION.csv`, which also says what was changed. Who passes an image on has to pass these on with it."
        " BY-SA and BY-NC-SA ask for the same licence on what is made of them, BY-NC and BY-NC-SA for non-commercial"
        " use.",
        "",
    ]


def _counts(contents: Contents) -> list[str]:
    tally = contents.tally
    lines = ["## Counts", "", *_table(("split", "images"), ((name, tally.by_split[name]) for name in SPLITS))]
    lines += [
        f"The split follows the article (all versions of it), for private files their group: SHA-256 of its name modulo"
        f" 100, below {TEST_PERCENT} test, below {TEST_PERCENT + VAL_PERCENT} val, else train. It never changes,"
        " whatever is harvested later. Of pictures that are there twice, byte by byte or within"
        f" {NEAR_BITS} of 64 bits of their perceptual hash, the one in test is kept before the one in val before the"
        " one in train, so that nothing that was ever held out is trained on.",
        "",
        *_table(
            ("licence", "name", "images"),
            ((code, licence_name(code), n) for code, n in ordered(tally.by_licence).items()),
        ),
        *_table(("pixel size from", "images"), ordered(tally.by_source).items()),
        *_balance("magnification", tally.by_band, [*(name for name, _ in BANDS), "unknown"]),
    ]
    organs = ordered({key.partition("/")[2]: 0 for key in tally.by_organ})
    totals = {organ: sum(tally.by_organ[f"{split}/{organ}"] for split in SPLITS) for organ in organs}
    return lines + _balance("organ", tally.by_organ, list(ordered(totals))[:MAX_ROWS])


def _balance(what: str, counts: Mapping[str, int], names: Sequence[str]) -> list[str]:
    rows = ((name, *(counts.get(f"{split}/{name}", 0) for split in SPLITS)) for name in names)
    return _table((what, *SPLITS), (row for row in rows if any(row[1:])))


def _left_out(contents: Contents) -> list[str]:
    tally = contents.tally
    losses = [(name, REASONS[name], tally.left_out[name]) for name in REASONS if tally.left_out[name]]
    return [
        "## Left out",
        "",
        f"{contents.n_seen:,} snapshots in the harvest, {contents.n_seen - tally.n_snapshots:,} left out under the"
        f" licence policy `{contents.request.policy}` and the filters in `export.json`.",
        "",
        *_table(("reason", "why", "snapshots"), losses),
        *_table(("refused by licence", "snapshots"), contents.refused_licences.items()),
    ]


def _labels(contents: Contents) -> list[str]:
    """Say how far the true pixel size is expected to be from its label."""
    expected, bars = contents.tally.expected, contents.tally.bars
    lines = ["## How good the pixel sizes are", ""]
    if n := expected.get("n"):
        lines += [
            f"{n:,.0f} images have an interval. From it, the share of them whose true µm/px is expected to be this near"
            " the label (as far as the intervals hold; their measured coverage stands under Models):",
            "",
            *_table(
                ("within", "expected share"),
                ((f"±{tolerance:.0%}", f"{expected[f'{tolerance:g}'] / n:.1%}") for tolerance in TOLERANCES),
            ),
        ]
    if sure := expected.get("sure"):
        lines += [f"{sure:,.0f} images have a value without an interval, from a person or from a scale bar.", ""]
    if contents.request.tolerance is not None:
        lines += [
            f"Kept was only what is within ±{contents.request.tolerance:.0%} with a probability of"
            f" {contents.request.confidence:.0%} or more by its interval, or has no interval.",
            "",
        ]
    if bars["n"]:
        lines += [
            f"{bars['n']:,} images have a scale bar and an answer from the pixels alone; the two are within"
            f" {AGREES_WITHIN:.0%} of each other in {bars['agree'] / bars['n']:.0%} of them.",
            "",
        ]
    return lines


def _uses(_: Contents) -> list[str]:
    from harvester.settings import StainSettings
    from harvester.stain.detect import model_card

    gate = model_card().get("held_out")
    measured = f" A panel counts from an H&E probability of {StainSettings().min_score:.2f}."
    if isinstance(gate, Mapping):
        measured += (
            f" On pictures of sources it never saw it found {gate['he_recall']:.0%} of the H&E,"
            f" and {gate['he_precision']:.0%} of what it called H&E was ({gate['n']:,} samples, many imitated)."
        )
    return [
        "## What it is not for",
        "",
        "- No diagnosis, no treatment, no device: pictures were chosen by authors to show something, and are no sample"
        " of patients.",
        "- No prevalence or grading: captions are the authors' words, read by a program.",
        "- No measurement of cells in µm without looking at `mpp_lo_um` and `mpp_hi_um` first.",
        "- No colour standard: figures were edited, compressed and printed in ways nobody recorded.",
        f"- Which pictures are H&E was judged by a classifier.{measured}",
        "",
    ]


def _columns(contents: Contents) -> list[str]:
    lines = [
        "## Columns",
        "",
        *_table(("column", "meaning"), ((name, meaning) for name, (_, meaning) in COLUMNS.items())),
        "In the CSV files a text that a spreadsheet would take for a formula has an apostrophe before it.",
        "",
    ]
    if contents.dropped_columns:
        names = ", ".join(f"`{name}`" for name in contents.dropped_columns)
        lines += [f"Only in `snapshots.csv`, because a split has no value for them: {names}.", ""]
    return lines


_OPENS = {
    "imagefolder": "`datasets.load_dataset('imagefolder', data_dir='.')`, torchvision's `ImageFolder('train')`",
    "parquet": "`datasets.load_dataset('.')`; `pandas.read_parquet('data')`",
    "webdataset": "`webdataset.WebDataset('train-000000.tar')`; `datasets.load_dataset('.')`",
    "coco": "`pycocotools.coco.COCO('annotations/instances_train.json')`; pictures in `images/train`",
    "csv": "`pandas.read_csv('snapshots.csv')`",
    "qupath": "QuPath: `project.qpproj`; the boxes with `scripts/import_boxes.groovy`, Run for project",
}


def _files(contents: Contents) -> list[str]:
    lines = ["## Files", "", f"- Opens with {_OPENS[contents.request.format]}."]
    if contents.request.format in ("csv", "imagefolder"):
        lines += [
            "- `label_studio/tasks.json` and `config.xml`: Label Studio, with this folder as the root of its local"
            " storage (`LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`)."
        ]
    return [
        *lines,
        "- `ATTRIBUTION.csv`: the credit of every image. `SHA256SUMS`: `sha256sum --check SHA256SUMS`.",
        "- `datasette.json`: `datasette HARVEST/catalog.db --metadata datasette.json`.",
        "- `manifest.csv`: every image by article, region and SHA-256, without pixels."
        " `export.json`: what was asked for.",
        "",
    ]


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


def _again(contents: Contents) -> list[str]:
    if contents.accessed is None:
        return []
    policy = shlex.quote(contents.request.policy)
    return [
        "## Making it again",
        "",
        "From PubMed Central, without any pixels of this folder; `source_sha256` in `manifest.csv` tells whether a"
        " picture is still the same. What came from files of your own is not there.",
        "",
        f"    harvester run --manifest manifest.csv --license {policy} --out HARVEST",
        f"    harvester export HARVEST DATASET {options_of(contents.request)}",
        "",
    ]


def options_of(request: ExportRequest) -> str:
    """Return the options of the command line that ask for this, but for what is the default."""
    default, words = ExportRequest(request.format), ["--format", request.format]
    for item in fields(request):
        value, option = getattr(request, item.name), _OPTIONS.get(item.name, item.name.replace("_", "-"))
        if value == getattr(default, item.name) or item.name == "dry_run":
            continue
        if isinstance(value, bool):
            words.append(f"--{option}")
        else:
            for single in value if isinstance(value, tuple) else (value,):
                words += [f"--{option}", str(single)]
    return shlex.join(words)


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
    text = " ".join(text.split())
    # a cell is text: no markup, no link, no end of the cell
    for sign, harmless in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("[", "\\["), ("]", "\\]"), ("`", "\\`")):
        text = text.replace(sign, harmless)
    return text
