"""The tables of the catalog, described column by column in docs/catalog.md.

Ids are text made from what they name. Units stand in the column names: `_px` pixels of one raster, `_pt` PDF points,
`_um` micrometres, `_x` magnification (10 / µm per pixel). A released table changes only by a migration.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PANEL_KINDS = (
    "he", "ihc", "other_stain", "fluorescence", "cytology", "gross", "radiology", "electron", "gel", "chart", "drawing",
    "other",
)  # fmt: skip

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Named constraints, so that a migration can find each of them; text without a length limit."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text, float: Double, list[str]: JSON, dict[str, Any]: JSON}  # noqa: RUF012 SQLAlchemy's own name


def _key() -> Mapped[str]:
    # nullable=False is written out: SQLite lets keys be null, and autogenerate would see a difference for ever
    return mapped_column(Text, primary_key=True, nullable=False)


def _owner(target: str, *, key: bool = False) -> Mapped[str]:
    return mapped_column(
        Text, ForeignKey(target, ondelete="CASCADE"), primary_key=key, index=not key or None, nullable=False
    )


class Article(Base):
    """One version of one article, or one local file or folder."""

    __tablename__ = "article"

    article_id: Mapped[str] = _key()
    source: Mapped[str]
    pmcid: Mapped[str | None] = mapped_column(Text, index=True)
    version: Mapped[int | None]
    pmid: Mapped[int | None] = mapped_column(BigInteger)
    doi: Mapped[str | None]
    title: Mapped[str | None]
    journal: Mapped[str | None]
    year: Mapped[int | None]
    licence_code: Mapped[str | None]
    licence_url: Mapped[str | None]
    text_licence_code: Mapped[str | None]
    copyright_line: Mapped[str | None]
    citation: Mapped[str | None]
    is_retracted: Mapped[bool]
    is_removed: Mapped[bool] = mapped_column(server_default=false())
    superseded_by: Mapped[str | None]
    query: Mapped[str | None]
    group_name: Mapped[str | None]
    keywords: Mapped[list[str]]
    mesh_terms: Mapped[list[str]]
    annotated_version: Mapped[str | None]


class Asset(Base):
    """A file of an article that lies in the store."""

    __tablename__ = "asset"
    __table_args__ = (
        UniqueConstraint("article_id", "name"),
        CheckConstraint("role IN ('pdf', 'xml', 'json', 'media')", "role"),
    )

    asset_id: Mapped[str] = _key()
    article_id: Mapped[str] = _owner("article.article_id")
    name: Mapped[str]
    role: Mapped[str]
    n_bytes: Mapped[int] = mapped_column(BigInteger)
    md5: Mapped[str]
    sha256: Mapped[str]
    url: Mapped[str | None]


class Figure(Base):
    """A figure of an article."""

    __tablename__ = "figure"
    __table_args__ = (CheckConstraint("pixels_from IN ('pdf', 'media', 'render')", "pixels_from"),)

    figure_id: Mapped[str] = _key()
    article_id: Mapped[str] = _owner("article.article_id")
    label: Mapped[str | None]
    caption: Mapped[str]
    rights: Mapped[str | None]
    page_number: Mapped[int | None]
    page_x0_pt: Mapped[float | None]
    page_y0_pt: Mapped[float | None]
    page_x1_pt: Mapped[float | None]
    page_y1_pt: Mapped[float | None]
    width_px: Mapped[int]
    height_px: Mapped[int]
    pixels_from: Mapped[str]


class Panel(Base):
    """One sub-image of a figure."""

    __tablename__ = "panel"
    __table_args__ = (CheckConstraint(f"kind IN {PANEL_KINDS}", "kind"),)

    panel_id: Mapped[str] = _key()
    figure_id: Mapped[str] = _owner("figure.figure_id")
    label: Mapped[str | None]
    caption: Mapped[str]
    x0_px: Mapped[int]
    y0_px: Mapped[int]
    x1_px: Mapped[int]
    y1_px: Mapped[int]
    page_x0_pt: Mapped[float | None]
    page_y0_pt: Mapped[float | None]
    page_x1_pt: Mapped[float | None]
    page_y1_pt: Mapped[float | None]
    native_width_px: Mapped[int]
    native_height_px: Mapped[int]
    kind: Mapped[str] = mapped_column(Text, index=True)
    kind_score: Mapped[float]
    organ: Mapped[str | None]
    species: Mapped[str | None]
    diagnosis_text: Mapped[str | None]
    organ_id: Mapped[str | None]
    organ_source: Mapped[str | None]
    organ_score: Mapped[float | None]
    species_source: Mapped[str | None]
    species_score: Mapped[float | None]
    diagnosis_source: Mapped[str | None]
    diagnosis_score: Mapped[float | None]


class Snapshot(Base):
    """One H&E region of a panel, stored as a PNG."""

    __tablename__ = "snapshot"

    snapshot_id: Mapped[str] = _key()
    panel_id: Mapped[str] = _owner("panel.panel_id")
    x0_px: Mapped[int]
    y0_px: Mapped[int]
    x1_px: Mapped[int]
    y1_px: Mapped[int]
    width_px: Mapped[int]
    height_px: Mapped[int]
    he_score: Mapped[float]
    tissue_share: Mapped[float]
    image_path: Mapped[str]
    image_sha256: Mapped[str] = mapped_column(Text, index=True)
    phash: Mapped[str]
    nucleus_px: Mapped[float | None]
    nucleus_spread_log2: Mapped[float | None]
    n_nuclei: Mapped[int | None]


class Model(Base):
    """A set of weights that gives estimates."""

    __tablename__ = "model"

    model_id: Mapped[str] = _key()
    name: Mapped[str]
    version: Mapped[str]
    weights_sha256: Mapped[str]
    card: Mapped[dict[str, Any]]
    rank: Mapped[int]


class Estimate(Base):
    """What one model reads from one snapshot alone."""

    __tablename__ = "estimate"
    __table_args__ = (
        CheckConstraint("mpp_um > 0 AND magnification_x > 0", "positive"),
        CheckConstraint("magnification_lo_x > 0 AND magnification_lo_x <= magnification_hi_x", "interval"),
        Index(None, "model_id"),
    )

    snapshot_id: Mapped[str] = _owner("snapshot.snapshot_id", key=True)
    model_id: Mapped[str] = mapped_column(Text, ForeignKey("model.model_id"), primary_key=True, nullable=False)
    magnification_x: Mapped[float | None]
    magnification_lo_x: Mapped[float | None]
    magnification_hi_x: Mapped[float | None]
    mpp_um: Mapped[float | None]
    mpp_lo99_um: Mapped[float | None]
    mpp_hi99_um: Mapped[float | None]
    abstained: Mapped[bool]
    reason: Mapped[str | None]


class Evidence(Base):
    """What caption, scale bar or file metadata say about a panel's scale."""

    __tablename__ = "evidence"
    __table_args__ = (
        CheckConstraint("kind IN ('caption', 'scale_bar', 'metadata')", "kind"),
        CheckConstraint("mpp_um > 0", "positive"),
    )

    evidence_id: Mapped[str] = _key()
    panel_id: Mapped[str] = _owner("panel.panel_id")
    kind: Mapped[str]
    text: Mapped[str | None]
    stated_x: Mapped[float | None]
    objective_x: Mapped[float | None]
    reading: Mapped[str | None]
    value: Mapped[float | None]
    unit: Mapped[str | None]
    bar_px: Mapped[float | None]
    mpp_um: Mapped[float | None]
    magnification_x: Mapped[float | None]
    score: Mapped[float | None]
    origin: Mapped[str | None]
    x0_px: Mapped[int | None]
    y0_px: Mapped[int | None]
    x1_px: Mapped[int | None]
    y1_px: Mapped[int | None]


class Reconciled(Base):
    """What the witnesses of a snapshot say together; derived from them, made anew whenever one changes."""

    __tablename__ = "reconciled"
    __table_args__ = (
        CheckConstraint("mpp_um > 0", "positive"),
        CheckConstraint("source IN ('scale_bar', 'metadata', 'image', 'caption')", "source"),
        CheckConstraint("agreement IN ('agree', 'single', 'conflict')", "agreement"),
    )

    snapshot_id: Mapped[str] = _owner("snapshot.snapshot_id", key=True)
    mpp_um: Mapped[float | None]
    mpp_lo_um: Mapped[float | None]
    mpp_hi_um: Mapped[float | None]
    source: Mapped[str | None]
    agreement: Mapped[str | None]
    reason: Mapped[str]
    log_likelihoods: Mapped[dict[str, Any]]


class Review(Base):
    """A person's verdict on a snapshot. No foreign key: it outlives the rows it speaks of and meets them again."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("verdict IN ('accept', 'reject', 'correct')", "verdict"),
        CheckConstraint("magnification_x > 0", "positive"),
        CheckConstraint(
            "verdict <> 'correct' OR magnification_x IS NOT NULL OR kind IS NOT NULL OR panel_label IS NOT NULL"
            " OR x0_px IS NOT NULL",
            "changes_something",
        ),
        CheckConstraint(f"kind IN {PANEL_KINDS}", "kind"),
        Index(None, "reviewer", "created_at"),
    )

    review_id: Mapped[str] = _key()
    snapshot_id: Mapped[str] = mapped_column(Text, index=True)
    verdict: Mapped[str]
    magnification_x: Mapped[float | None]
    note: Mapped[str | None]
    reviewer: Mapped[str]
    created_at: Mapped[str]
    kind: Mapped[str | None]
    panel_label: Mapped[str | None]
    x0_px: Mapped[int | None]
    y0_px: Mapped[int | None]
    x1_px: Mapped[int | None]
    y1_px: Mapped[int | None]
    is_blind: Mapped[bool] = mapped_column(server_default=false())
    withdrawn_at: Mapped[str | None]
    is_orphan: Mapped[bool] = mapped_column(server_default=false())
    article_id: Mapped[str | None] = mapped_column(Text, index=True)
    figure_id: Mapped[str | None]
    page_number: Mapped[int | None]
    page_x0_pt: Mapped[float | None]
    page_y0_pt: Mapped[float | None]
    page_x1_pt: Mapped[float | None]
    page_y1_pt: Mapped[float | None]
    figure_x0_px: Mapped[float | None]
    figure_y0_px: Mapped[float | None]
    figure_x1_px: Mapped[float | None]
    figure_y1_px: Mapped[float | None]
    px_density: Mapped[float | None]


class ReviewQueue(Base):
    """The order in which the review page shows the snapshots; derived, made anew when the harvest has changed."""

    __tablename__ = "review_queue"
    __table_args__ = (
        Index(None, "rank", "position"),
        Index(None, "shuffle", "position"),
        Index(None, "verdict", "rank", "position"),
        Index(None, "organ", "rank", "position"),
        Index(None, "journal", "rank", "position"),
        Index(None, "year", "rank", "position"),
    )

    position: Mapped[int] = mapped_column(primary_key=True, nullable=False, autoincrement=False)
    snapshot_id: Mapped[str] = mapped_column(
        Text, ForeignKey("snapshot.snapshot_id", ondelete="CASCADE"), index=True, unique=True, nullable=False
    )
    rank: Mapped[int]
    doubt: Mapped[str]
    shuffle: Mapped[str]
    verdict: Mapped[str | None]
    organ: Mapped[str | None]
    journal: Mapped[str | None]
    year: Mapped[int | None]
    licence_code: Mapped[str | None]


class Skip(Base):
    """Something left out, and why. No foreign key: what was skipped need not have a row."""

    __tablename__ = "skip"
    __table_args__ = (Index(None, "stage", "reason"),)

    subject_id: Mapped[str] = _key()
    stage: Mapped[str] = _key()
    reason: Mapped[str] = _key()
    article_id: Mapped[str] = mapped_column(Text, index=True)
    detail: Mapped[str]
    is_permanent: Mapped[bool]


class Run(Base):
    """One command that wrote to this catalog; the only table with moving times."""

    __tablename__ = "run"

    run_id: Mapped[str] = _key()
    command: Mapped[str]
    settings: Mapped[dict[str, Any]]
    started_at: Mapped[str]
    finished_at: Mapped[str | None]
    exit_code: Mapped[int | None]
    version: Mapped[str]


class Change(Base):
    """What a run changed of a subject (an article, a model), counted; a run that changes nothing has no row."""

    __tablename__ = "change"

    run_id: Mapped[str] = _key()
    subject_id: Mapped[str] = _key()
    what: Mapped[str] = _key()
    n: Mapped[int]


class Checkpoint(Base):
    """What the next run has to know to go on, such as where a long search stands."""

    __tablename__ = "checkpoint"

    key: Mapped[str] = _key()
    value: Mapped[dict[str, Any]]


def table(model: type[Base]) -> Table:
    """Return the Core table of a model: rows are written in bulk, without the unit of work."""
    return cast(Table, model.__table__)
