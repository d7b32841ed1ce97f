"""The columns of every export: one record a snapshot, each column of one type for ever."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from harvester.export.splits import Split
from harvester.licences import licence_name

ColumnType = Literal["text", "number", "whole", "yes_no"]

COLUMNS: dict[str, tuple[ColumnType, str]] = {
    "file_name": ("text", "the image, relative to the table that names it"),
    "split": ("text", "train, val or test, by article (for your own files: by group)"),
    "snapshot_id": ("text", "identity in the harvest: article/figure/panel/snapshot"),
    "article_id": ("text", "article and version"),
    "pmcid": ("text", "PubMed Central id of the article"),
    "doi": ("text", "DOI of the article"),
    "title": ("text", "title of the article"),
    "journal": ("text", "journal"),
    "year": ("whole", "year of publication"),
    "citation": ("text", "one line that credits the article"),
    "article_url": ("text", "where the article can be read"),
    "licence_code": ("text", "licence of the article"),
    "licence_name": ("text", "its name"),
    "licence_url": ("text", "its text, where the article gives the address"),
    "copyright_line": ("text", "copyright statement as printed"),
    "figure_label": ("text", "figure, as printed"),
    "panel_label": ("text", "letter of the panel"),
    "caption": ("text", "the panel's part of the caption"),
    "kind": ("text", "kind of picture: he"),
    "he_score": ("number", "probability that it is H&E, 0 to 1"),
    "tissue_share": ("number", "share of the pixels that are tissue, 0 to 1"),
    "width_px": ("whole", "width of the image in pixels"),
    "height_px": ("whole", "height of the image in pixels"),
    "mpp_um": ("number", "size of a pixel in µm: the reconciled value"),
    "mpp_lo_um": ("number", "lower end of its 90 % interval, where it has one"),
    "mpp_hi_um": ("number", "upper end"),
    "magnification_x": ("number", "the same as a magnification: 10 / mpp_um"),
    "magnification_source": ("text", "where it comes from: review, scale_bar or image"),
    "agreement": ("text", "single, agree, reviewed, conflict or reviews_differ"),
    "image_mpp_um": ("number", "the model's own answer, from the pixels alone"),
    "image_mpp_lo_um": ("number", "lower end of its 90 % interval"),
    "image_mpp_hi_um": ("number", "upper end"),
    "image_abstained": ("yes_no", "whether the model would rather not say"),
    "model_id": ("text", "which model; numbers in models.json"),
    "bar_mpp_um": ("number", "size of a pixel by the scale bar in the picture"),
    "stated_x": ("number", "magnification as the caption prints it: the microscope's, not the pixels'"),
    "objective_x": ("number", "the objective that implies"),
    "image_sha256": ("text", "SHA-256 of the image file"),
}
"""Name: (type, meaning). Empty text, or null for the other types, where nothing is known."""

_SAFE_PART = re.compile(r"[A-Za-z0-9.-]{1,40}")


def export_row(row: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """Return the record of a row of the view `snapshots`, with `file_name` still empty."""
    values = {name: row.get(name) for name in COLUMNS}
    values["file_name"] = ""
    values["split"] = split
    values["licence_name"] = licence_name(row["licence_code"])
    values["article_url"] = article_url(row)
    return {name: _typed(values[name], kind) for name, (kind, _) in COLUMNS.items()}


def _typed(value: Any, kind: ColumnType) -> Any:
    if kind == "text":
        return "" if value is None else str(value)
    if value is None:
        return None
    return {"number": float, "whole": int, "yes_no": bool}[kind](value)


def article_url(row: Mapping[str, Any]) -> str:
    """Return the address of the article at PMC, else its DOI's, else nothing."""
    if row["pmcid"]:
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{row['pmcid']}/"
    return f"https://doi.org/{row['doi']}" if row["doi"] else ""


def image_name(snapshot_id: str, image_sha256: str) -> str:
    """Return a file name that is safe anywhere: the id with `_` for `/`, or the hash when the id has other signs.

    >>> image_name("PMC123.1/f2/b/s1", "ab" * 32)
    'PMC123.1_f2_b_s1.png'
    """
    parts = snapshot_id.split("/")
    safe = all(_SAFE_PART.fullmatch(part) and not part.startswith(".") for part in parts) and len(parts) <= 5
    return f"{'_'.join(parts) if safe else image_sha256}.png"
