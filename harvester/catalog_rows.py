"""Between records and rows: what each column gets, and writing only what differs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, and_, bindparam, select

from harvester.geometry import BoxPt, BoxPx
from harvester.licences import normalise_licence
from harvester.records import (
    Article,
    ArticleText,
    Asset,
    EstimateRow,
    EvidenceRow,
    FigureRow,
    PanelRow,
    Reconciled,
    Skip,
    SnapshotRow,
)

Row = Mapping[str, Any] | RowMapping

SNAPSHOT_PATH = re.compile(r"snapshots/([0-9a-f]{2})/(\1[0-9a-f]{62})\.png")
"""Where a snapshot may lie; a catalog that says anything else is not believed. Group 2 is the hash."""

_WIDER = 2.576 / 1.645
"""Half width of a normal 99 % interval over that of a 90 % one."""

_FROM_TEXT = (
    "title", "journal", "year", "pmid", "doi", "licence_url", "copyright_line", "citation", "keywords", "mesh_terms",
)  # fmt: skip
"""Columns that the article's own XML can fill."""

_TEXT_KNOWS_BETTER = ("licence_url", "copyright_line")
"""Of these the XML is the source; the metadata of PMC has neither version nor holder of the rights."""


def sync_rows(
    connection: Connection, target: Table, rows: Iterable[Row], scope: ColumnElement[bool]
) -> list[tuple[Any, ...]]:
    """Make the rows of `scope` equal to the given ones, writing only what differs.

    Columns that a given row leaves out keep what they have. Of two given rows with one key the first counts.

    Returns:
        The keys of rows that were there and are there still, but changed.
    """
    keys = [column.name for column in target.primary_key]
    wanted: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        clean = {name: _clean(value) for name, value in row.items()}
        wanted.setdefault(tuple(clean[key] for key in keys), clean)
    found = {tuple(row[key] for key in keys): row for row in connection.execute(select(target).where(scope)).mappings()}

    gone = [key for key in found if key not in wanted]
    fresh = [row for key, row in wanted.items() if key not in found]
    changed = [
        row
        for key, row in wanted.items()
        if key in found and any(found[key][name] != value for name, value in row.items())
    ]
    match = and_(*(target.c[key] == bindparam(f"key_{key}") for key in keys))
    if gone:
        values = [{f"key_{name}": part for name, part in zip(keys, key, strict=True)} for key in gone]
        connection.execute(target.delete().where(match), values)
    for row in changed:
        names = {f"key_{name}": row[name] for name in keys}
        rest = {name: value for name, value in row.items() if name not in keys}
        connection.execute(target.update().where(match).values(rest), names)
    if fresh:
        connection.execute(target.insert(), fresh)
    return [tuple(row[key] for key in keys) for row in changed]


def _clean(value: Any) -> Any:
    """Return what a database can hold: no numpy scalars, lone surrogates, NUL characters, NaN or endless numbers."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value


def article_values(article: Article, old: Row | None) -> dict[str, Any]:
    """Return the row of an article; `old` is the one already there."""
    new = {
        "article_id": article.article_id,
        "source": article.source,
        "pmcid": article.pmcid,
        "version": article.version,
        "pmid": article.pmid,
        "doi": article.doi,
        "title": article.title,
        "journal": article.journal,
        "year": article.year,
        "licence_code": article.licence_code,
        "licence_url": article.licence_url,
        "copyright_line": article.copyright_line,
        "citation": article.citation,
        "is_retracted": article.is_retracted,
        "query": article.query,
        "group_name": article.group,
        "keywords": list(article.keywords),
        "mesh_terms": list(article.mesh_terms),
    }
    if old is None:
        return new
    frozen = {"query"} | (set(_FROM_TEXT) if old["annotated_version"] is not None else set())
    return {
        name: old[name] if _is_empty(value) or (name in frozen and not _is_empty(old[name])) else value
        for name, value in new.items()
    }


def text_values(said: ArticleText | None, old: Row) -> dict[str, Any]:
    """Return the article's columns that its own XML fills or knows better."""
    if said is None:
        return {}
    values: dict[str, Any] = {}
    for name in _FROM_TEXT:
        value = getattr(said, name)
        if not _is_empty(value) and (name in _TEXT_KNOWS_BETTER or _is_empty(old[name])):
            values[name] = list(value) if isinstance(value, tuple) else value
    in_text = normalise_licence(said.licence_code) or normalise_licence(said.licence_url)
    values["text_licence_code"] = in_text
    if old["licence_code"] is None and in_text is not None:
        values["licence_code"] = in_text
    if old["pmcid"] is None and said.pmcid is not None:
        values["pmcid"] = said.pmcid
    return values


def _is_empty(value: Any) -> bool:
    return value is None or value == [] or value == () or value == ""


def article_from_row(row: Row) -> Article:
    """Return the record of a row."""
    return Article(
        article_id=row["article_id"],
        source=row["source"],
        pmcid=row["pmcid"],
        version=row["version"],
        pmid=row["pmid"],
        doi=row["doi"],
        title=row["title"],
        journal=row["journal"],
        year=row["year"],
        licence_code=row["licence_code"],
        licence_url=row["licence_url"],
        copyright_line=row["copyright_line"],
        citation=row["citation"],
        is_retracted=row["is_retracted"],
        query=row["query"],
        group=row["group_name"],
        keywords=tuple(row["keywords"]),
        mesh_terms=tuple(row["mesh_terms"]),
    )


def asset_values(article_id: str, asset: Asset) -> dict[str, Any]:
    """Return the row of a file."""
    return {
        "asset_id": f"{article_id}/{asset.name}",
        "article_id": article_id,
        "name": asset.name,
        "role": asset.role,
        "n_bytes": asset.n_bytes,
        "md5": asset.md5,
        "sha256": asset.sha256,
        "url": asset.url,
    }


def asset_from_row(row: Row) -> Asset:
    """Return the record of a row."""
    return Asset(row["name"], row["role"], row["n_bytes"], row["md5"], row["sha256"], row["url"])


def skip_values(skip: Skip) -> dict[str, Any]:
    """Return the row of a skip."""
    return {
        "subject_id": skip.subject_id,
        "stage": skip.stage,
        "reason": skip.reason,
        "article_id": skip.article_id,
        "detail": skip.detail,
        "is_permanent": skip.is_permanent,
    }


def figure_values(article_id: str, figure: FigureRow) -> dict[str, Any]:
    """Return the row of a figure."""
    return {
        "figure_id": figure.figure_id,
        "article_id": article_id,
        "label": figure.label,
        "caption": figure.caption,
        "rights": figure.rights,
        "page_number": figure.page_number,
        **_page_columns(figure.page_box),
        "width_px": figure.width_px,
        "height_px": figure.height_px,
        "pixels_from": figure.pixels_from,
    }


def panel_values(panel: PanelRow) -> dict[str, Any]:
    """Return the row of a panel."""
    subject = panel.subject
    return {
        "panel_id": panel.panel_id,
        "figure_id": panel.figure_id,
        "label": panel.label,
        "caption": panel.caption,
        **_pixel_columns(panel.box),
        **_page_columns(panel.page_box),
        "native_width_px": panel.native_width_px,
        "native_height_px": panel.native_height_px,
        "kind": panel.kind,
        "kind_score": panel.kind_score,
        "organ": subject.organ,
        "species": subject.species,
        "diagnosis_text": subject.diagnosis_text,
        "organ_id": subject.organ_id,
        "organ_source": subject.organ_source,
        "organ_score": subject.organ_score,
        "species_source": subject.species_source,
        "species_score": subject.species_score,
        "diagnosis_source": subject.diagnosis_source,
        "diagnosis_score": subject.diagnosis_score,
    }


def snapshot_values(snapshot: SnapshotRow) -> dict[str, Any]:
    """Return the row of a snapshot."""
    return {
        "snapshot_id": snapshot.snapshot_id,
        "panel_id": snapshot.panel_id,
        **_pixel_columns(snapshot.box),
        "width_px": snapshot.box.width,
        "height_px": snapshot.box.height,
        "he_score": snapshot.he_score,
        "tissue_share": snapshot.tissue_share,
        "image_path": snapshot.image_path,
        "image_sha256": snapshot.image_sha256,
        "phash": snapshot.phash,
        "nucleus_px": snapshot.nucleus_px,
        "nucleus_spread_log2": snapshot.nucleus_spread_log2,
        "n_nuclei": snapshot.n_nuclei,
    }


def evidence_values(item: EvidenceRow) -> dict[str, Any]:
    """Return the row of what a witness says."""
    corners = _pixel_columns(item.box) if item.box else dict.fromkeys(("x0_px", "y0_px", "x1_px", "y1_px"))
    return {
        "evidence_id": item.evidence_id,
        "panel_id": item.panel_id,
        "kind": item.kind,
        "text": item.text,
        "stated_x": _positive(item.stated_x),
        "objective_x": _positive(item.objective_x),
        "reading": item.reading,
        "value": item.value,
        "unit": item.unit,
        "bar_px": item.bar_px,
        "mpp_um": _positive(item.mpp_um),
        "magnification_x": _positive(item.magnification_x),
        "score": item.score,
        "origin": item.origin,
        **corners,
    }


def reconciled_values(item: Reconciled) -> dict[str, Any]:
    """Return the row of what the witnesses say together."""
    return {
        "snapshot_id": item.snapshot_id,
        "mpp_um": item.mpp_um,
        "mpp_lo_um": item.mpp_lo_um,
        "mpp_hi_um": item.mpp_hi_um,
        "source": item.source,
        "agreement": item.agreement,
        "reason": item.reason,
        "log_likelihoods": item.log_likelihoods,
    }


def estimate_values(estimate: EstimateRow) -> dict[str, Any]:
    """Return the row of an estimate, with its 99 % interval.

    The 99 % interval is the 90 % one widened round its middle in log space by 2.576 / 1.645, the ratio of the normal
    quantiles. It is only used to call a scale bar a contradiction; its coverage is not measured apart.
    """
    lo_x, hi_x = _positive(estimate.magnification_lo_x), _positive(estimate.magnification_hi_x)
    lo99_um = hi99_um = None
    if lo_x is not None and hi_x is not None:
        middle_um, half = 10.0 / math.sqrt(lo_x * hi_x), math.sqrt(hi_x / lo_x) ** _WIDER
        lo99_um, hi99_um = middle_um / half, middle_um * half
    return {
        "snapshot_id": estimate.snapshot_id,
        "model_id": estimate.model_id,
        "magnification_x": _positive(estimate.magnification_x),
        "magnification_lo_x": lo_x,
        "magnification_hi_x": hi_x,
        "mpp_um": _positive(estimate.mpp_um),
        "mpp_lo99_um": lo99_um,
        "mpp_hi99_um": hi99_um,
        "abstained": estimate.abstained,
        "reason": estimate.reason,
    }


def _positive(value: float | None) -> float | None:
    """Return a usable magnification as a plain float; a number that is none (NaN, infinite, not positive) as None."""
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None


def _pixel_columns(box: BoxPx) -> dict[str, int]:
    return {"x0_px": box.x0, "y0_px": box.y0, "x1_px": box.x1, "y1_px": box.y1}


def _page_columns(box: BoxPt | None) -> dict[str, float | None]:
    corners: Sequence[float | None] = box.as_tuple() if box else (None,) * 4
    return dict(zip(("page_x0_pt", "page_y0_pt", "page_x1_pt", "page_y1_pt"), corners, strict=True))
