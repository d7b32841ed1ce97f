"""The columns of every export: one record an image, each column of one type for ever."""

from __future__ import annotations

import hashlib
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
    "tile": ("text", "which tile of the snapshot: t1, t2, ...; empty for a whole one"),
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
    "changes": ("text", "what was done to the published picture"),
    "figure_label": ("text", "figure, as printed"),
    "panel_label": ("text", "letter of the panel"),
    "caption": ("text", "the panel's part of the caption"),
    "kind": ("text", "kind of picture: he"),
    "he_score": ("number", "probability that it is H&E, 0 to 1"),
    "tissue_share": ("number", "share of the snapshot's pixels that are tissue, 0 to 1"),
    "organ": ("text", "organ, as the words around the picture say"),
    "species": ("text", "species, likewise"),
    "diagnosis_text": ("text", "diagnosis, in the article's own words"),
    "width_px": ("whole", "width of the image in pixels"),
    "height_px": ("whole", "height of the image in pixels"),
    "mpp_um": ("number", "size of a pixel of this image in µm: the reconciled value"),
    "mpp_lo_um": ("number", "lower end of its 90 % interval, where it has one"),
    "mpp_hi_um": ("number", "upper end"),
    "magnification_x": ("number", "the same as a magnification: 10 / mpp_um"),
    "magnification_source": ("text", "where it comes from: review, scale_bar, image or caption"),
    "agreement": ("text", "single, agree, reviewed, conflict or reviews_differ"),
    "review_verdict": ("text", "what people said of it: accept, correct or nothing"),
    "native_mpp_um": ("number", "size of a pixel of the published picture in µm; mpp_um when nothing was resampled"),
    "image_mpp_um": ("number", "the model's own answer for the published pixels, from the pixels alone"),
    "image_mpp_lo_um": ("number", "lower end of its 90 % interval"),
    "image_mpp_hi_um": ("number", "upper end"),
    "image_abstained": ("yes_no", "whether the model would rather not say"),
    "model_id": ("text", "which model; numbers in models.json"),
    "bar_mpp_um": ("number", "size of a published pixel by the scale bar in the picture"),
    "stated_x": ("number", "magnification as the caption prints it: the microscope's, not the pixels'"),
    "objective_x": ("number", "the objective that implies"),
    "x0_px": ("number", "left edge of the image in the panel's own pixels"),
    "y0_px": ("number", "top edge"),
    "x1_px": ("number", "right edge"),
    "y1_px": ("number", "bottom edge"),
    "image_sha256": ("text", "SHA-256 of the image file"),
    "source_sha256": ("text", "SHA-256 of the snapshot in the harvest; the same where nothing was changed"),
    "phash": ("text", "64-bit perceptual hash of the snapshot"),
}
"""Name: (type, meaning). Empty text, or null for the other types, where nothing is known."""

_SAFE_PART = re.compile(r"[A-Za-z0-9.-]{1,40}")
_PYTHON_TYPES = {"number": float, "whole": int, "yes_no": bool}


def export_row(row: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """Return the record of a row of the view `snapshots`, as it is before anything is cut; `file_name` is empty."""
    values = {name: row.get(name) for name in COLUMNS}
    values |= {
        "file_name": "",
        "split": split,
        "tile": "",
        "licence_name": licence_name(row["licence_code"]),
        "article_url": article_url(row),
        "native_mpp_um": row["mpp_um"],
        "source_sha256": row["image_sha256"],
    }
    return {name: _typed(values[name], kind) for name, (kind, _) in COLUMNS.items()}


def _typed(value: Any, kind: ColumnType) -> Any:
    if kind == "text":
        return "" if value is None else str(value)
    return None if value is None else _PYTHON_TYPES[kind](value)


def article_url(row: Mapping[str, Any]) -> str:
    """Return the address of the article at PMC, else its DOI's, else nothing."""
    if row["pmcid"]:
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{row['pmcid']}/"
    return f"https://doi.org/{row['doi']}" if row["doi"] else ""


def image_stem(record: Mapping[str, Any]) -> str:
    """Return a name for the file of a record that is safe anywhere and no two records share.

    The ids with `_` for `/`, or the SHA-256 of the id when it has other signs than letters, digits, `-` and `.`.

    >>> image_stem({"snapshot_id": "PMC123.1/f2/b/s1", "tile": "t3"})
    'PMC123.1_f2_b_s1_t3'
    """
    snapshot_id = str(record["snapshot_id"])
    parts = snapshot_id.split("/")
    safe = len(parts) <= 5 and all(_SAFE_PART.fullmatch(part) and not part.startswith(".") for part in parts)
    stem = "_".join(parts) if safe else hashlib.sha256(snapshot_id.encode()).hexdigest()
    return f"{stem}_{record['tile']}" if record["tile"] else stem
