"""The records that flow from stage to stage. Frozen; no behaviour beyond what follows from their own fields.

Identifiers are text made from what they name, so that the same input gives the same ids in every run:
article `PMC123.1` or `local-1f2e3d4c`, figure `PMC123.1/f2`, panel `PMC123.1/f2/b`, snapshot `PMC123.1/f2/b/s1`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harvester.geometry import BoxPt, BoxPx, RgbImage

PanelKind = Literal[
    "he", "ihc", "other_stain", "fluorescence", "cytology", "gross", "radiology", "electron", "gel", "chart", "drawing",
    "other",
]  # fmt: skip
"""What a panel shows; the twelve kinds of the catalog."""

PANEL_KINDS: tuple[PanelKind, ...] = (
    "he", "ihc", "other_stain", "fluorescence", "cytology", "gross", "radiology", "electron", "gel", "chart", "drawing",
    "other",
)  # fmt: skip

AssetRole = Literal["pdf", "xml", "json", "media"]
PixelSource = Literal["pdf", "media", "render"]


@dataclass(frozen=True, slots=True)
class AssetRef:
    """A file of an article as its source announces it, before it is fetched.

    Attributes:
        name: File name in the article's folder; already checked to be a plain name.
        role: pdf, xml, json or media.
        url: https address (http for loopback), or None for a file taken from disk.
        md5: 32 hex digits as announced, or None when the source gives none.
        n_bytes: Announced size, or None.
    """

    name: str
    role: AssetRole
    url: str | None
    md5: str | None = None
    n_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of an article that lies in the store, whole and checked."""

    name: str
    role: AssetRole
    n_bytes: int
    md5: str
    sha256: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Article:
    """One version of one article.

    Attributes:
        article_id: "PMC123.1", or "local-" and 8 hex digits for your own files.
        source: "pmc", "europepmc" or "local".
        pmcid: "PMC123" or None.
        licence_code: "CC BY", "CC0", ..., "TDM", "own", or None when not stated.
        licence_url: Address of the licence text, None when not stated.
        citation: One line that credits the article.
        group: For your own files the group that must stay on one side of a split.
        keywords, mesh_terms: As the article states them.
        copyright_line: The copyright statement as printed, or None.
    """

    article_id: str
    source: Literal["pmc", "europepmc", "local"]
    pmcid: str | None = None
    version: int | None = None
    pmid: int | None = None
    doi: str | None = None
    title: str | None = None
    journal: str | None = None
    year: int | None = None
    licence_code: str | None = None
    licence_url: str | None = None
    copyright_line: str | None = None
    citation: str | None = None
    is_retracted: bool = False
    query: str | None = None
    group: str | None = None
    keywords: tuple[str, ...] = ()
    mesh_terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArticleFiles:
    """Where the files of one article lie. A stage gets bytes read from here, never the folder."""

    article_id: str
    folder: Path
    pdf: Path | None = None
    xml: Path | None = None
    media: tuple[Path, ...] = ()
    images: tuple[Path, ...] = ()
    """Pictures that are the article (your own images), as opposed to media of a publisher."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Something left out, and why. A result like any other.

    Attributes:
        subject_id: Id of the article, figure, panel or file that was left out.
        article_id: The article it belongs to.
        stage: search, fetch, documents, panels, stain, magnification or add.
        reason: A short code, e.g. "no_pdf", "licence", "not_he", "too_small"; counted by `status`.
        detail: One sentence for a person.
        is_permanent: False when a later run may succeed.
    """

    subject_id: str
    article_id: str
    stage: str
    reason: str
    detail: str = ""
    is_permanent: bool = True


@dataclass(frozen=True, slots=True)
class FigureText:
    """A figure as the article's XML (or the page's text) announces it.

    Attributes:
        label: As printed, e.g. "Figure 2" or "Fig. 2"; None for an unnumbered one.
        caption: Plain text, white space collapsed, without the label.
        hrefs: File names of its graphics as written (often without extension).
        rights: A permission note of its own, or None.
        order: Position among the article's figures, from 0.
    """

    label: str | None
    caption: str
    hrefs: tuple[str, ...] = ()
    rights: str | None = None
    order: int = 0


@dataclass(frozen=True, slots=True)
class ArticleText:
    """What the JATS XML says about an article."""

    title: str | None = None
    journal: str | None = None
    year: int | None = None
    pmcid: str | None = None
    pmid: int | None = None
    doi: str | None = None
    licence_code: str | None = None
    licence_url: str | None = None
    copyright_line: str | None = None
    citation: str | None = None
    keywords: tuple[str, ...] = ()
    mesh_terms: tuple[str, ...] = ()
    figures: tuple[FigureText, ...] = ()
    body: str = ""
    """Paragraphs of the article's text that speak of magnification or scale bars; never stored."""


@dataclass(frozen=True, slots=True)
class Raster:
    """One picture on a page with its finest pixels.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright as displayed.
        page_box: Where it is displayed on the page, in points; None for a picture without a page.
        pixels_from: pdf (samples as stored), media (publisher's file) or render (drawn by the PDF library).
    """

    pixels: RgbImage = field(repr=False, compare=False)
    page_box: BoxPt | None
    pixels_from: PixelSource


@dataclass(frozen=True, slots=True)
class DrawnMark:
    """An upright straight line or a thin filled rectangle of a PDF page: maybe a scale bar, maybe an axis or a rule.

    Attributes:
        box: As painted, end to end, in displayed points.
        is_vertical: Whether it is longer downwards than across.
        rgb: Its colour, 0 to 255.
    """

    box: BoxPt
    is_vertical: bool
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its pixels.

    Attributes:
        figure_id: "PMC123.1/f2"; the number is the printed one where that is unique, else a free one.
        page_box: Tightest box round the pictures in points; caption and outside letters left out. None without a page.
        pixels: (H, W, 3) uint8 RGB of the whole figure: the native raster when it is a single picture, otherwise a
            render that keeps the finest native pixel.
        parts: The single pictures the figure is made of, each with its own native pixels; one for a plain figure.
        letters: Short texts of the page near or on the figure (maybe panel letters), with their boxes in points.
        marks: Straight lines and thin rectangles that the page draws on or near the figure; a bounded number.
        inscriptions: Short lines of text on or near the figure that hold a digit (maybe labels of scale bars).
    """

    figure_id: str
    label: str | None
    caption: str
    rights: str | None
    page_number: int | None
    page_box: BoxPt | None
    pixels: RgbImage = field(repr=False, compare=False)
    pixels_from: PixelSource
    parts: tuple[Raster, ...] = field(repr=False, default=())
    letters: tuple[tuple[str, BoxPt], ...] = ()
    marks: tuple[DrawnMark, ...] = field(repr=False, default=())
    inscriptions: tuple[tuple[str, BoxPt], ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One sub-image of a figure, such as the "B" of Figure 3B.

    Attributes:
        panel_id: "PMC123.1/f2/b"; the letter where one was read and is unique, else "p1", "p2", ...
        label: Letter as printed, upper-cased; None when no letter could be read.
        caption: Its own part of the caption with what applies to all; the whole caption when it can't be split.
        box: Position in the figure's raster.
        page_box: Position on the page in points, or None.
        pixels: (H, W, 3) uint8 RGB, the panel's native pixels: the finest there is, never resampled by us.
        split_score: How well the cut agrees with the gutters found, 0 (guess) to 1.
    """

    panel_id: str
    figure_id: str
    label: str | None
    caption: str
    box: BoxPx
    page_box: BoxPt | None
    pixels: RgbImage = field(repr=False, compare=False)
    split_score: float = 1.0


@dataclass(frozen=True, slots=True)
class StatedMagnification:
    """A magnification as a caption or the body text prints it: what the microscope did, never a pixel size.

    Attributes:
        text: The words it was read from, verbatim.
        stated_x: The number as printed; the first of a range, whose other end is `stated_to_x`.
        objective_x: The objective it implies (4, 10, 20, 40, ...), None when unclear.
        reading: How that was read: objective, with_eyepiece, total, words, unclear.
        letters: Panel letters it is said of; empty when it is said of the whole figure.
        origin: part (the panel's own words), preamble (said of all panels) or body (the article's text).
        score: Probability that statement and panel belong together, 0 to 1.
    """

    text: str
    stated_x: float | None
    objective_x: float | None
    reading: str
    letters: tuple[str, ...] = ()
    stated_to_x: float | None = None
    origin: Literal["part", "preamble", "body"] = "part"
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class StatedLength:
    """A length that a caption gives: of a scale bar, or of a whole side of the picture.

    Attributes:
        text: The words it was read from, verbatim.
        kind: scale_bar or field_width.
        value, unit: As printed ("50", "µm"); `length_um` is the same in micrometres.
        letters: Panel letters it is said of; empty when it is said of the whole figure.
    """

    text: str
    kind: Literal["scale_bar", "field_width"]
    value: float
    unit: str
    length_um: float
    letters: tuple[str, ...] = ()
    origin: Literal["part", "preamble", "body"] = "part"
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class CaptionReading:
    """Everything a caption says of scale."""

    magnifications: tuple[StatedMagnification, ...] = ()
    lengths: tuple[StatedLength, ...] = ()


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A scale bar found on or beside a panel.

    Attributes:
        box: The bar itself without label, in the panel's native pixels; may lie outside the panel.
        bar_px: Its length in native pixels of the panel, to a fraction of a pixel.
        is_vertical: Whether the length runs from top to bottom.
        found_in: vector (a path of the PDF) or pixels.
        text: Its label as read or as the caption gives it; None when there is none.
        value, unit, length_um: The label's number; None when there is none.
        label_from: pdf_text, ocr or caption; None when there is no label.
        mpp_um: length_um / bar_px; None without a label.
        is_plausible: Whether any light micrograph of tissue could have this pixel size.
        score: Probability that this is a scale bar read rightly, 0 to 1.
    """

    box: BoxPx
    bar_px: float
    is_vertical: bool
    found_in: Literal["vector", "pixels"]
    text: str | None
    value: float | None
    unit: str | None
    length_um: float | None
    label_from: Literal["pdf_text", "ocr", "caption"] | None
    mpp_um: float | None
    is_plausible: bool
    score: float


@dataclass(frozen=True, slots=True)
class SubjectReading:
    """What a panel shows, as the words around it say; None beats a guess.

    Attributes:
        organ, organ_id: Name of the fixed list and its UBERON id.
        species: Scientific name ("Homo sapiens").
        diagnosis_text: Verbatim words.
        organ_source, species_source, diagnosis_source: panel, caption, title, mesh or body.
        organ_score, species_score, diagnosis_score: 0 to 1.
    """

    organ: str | None = None
    organ_id: str | None = None
    organ_source: str | None = None
    organ_score: float | None = None
    species: str | None = None
    species_source: str | None = None
    species_score: float | None = None
    diagnosis_text: str | None = None
    diagnosis_source: str | None = None
    diagnosis_score: float | None = None


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One witness of a panel's scale as the catalog keeps it; what a kind does not say is None.

    Attributes:
        kind: caption, scale_bar or metadata.
        box: Where it was read, in the panel's native pixels; None for words.
        origin: Of words part, preamble or body; of a bar's label pdf_text, ocr or caption; of metadata the tag.
    """

    evidence_id: str
    panel_id: str
    kind: Literal["caption", "scale_bar", "metadata"]
    text: str | None
    stated_x: float | None
    objective_x: float | None
    reading: str | None
    value: float | None
    unit: str | None
    bar_px: float | None
    mpp_um: float | None
    magnification_x: float | None
    score: float | None
    box: BoxPx | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class PanelKindScore:
    """What kind of picture a panel is, from its pixels alone.

    Attributes:
        kind: The likeliest of the twelve kinds.
        kind_score: Its probability, 0 to 1.
        he_score: Probability that it is H&E histology, 0 to 1.
    """

    kind: PanelKind
    kind_score: float
    he_score: float


@dataclass(frozen=True, slots=True)
class HeRegion:
    """A clean rectangle of H&E tissue in a panel, in the panel's native pixels."""

    box: BoxPx
    he_score: float
    tissue_share: float


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure as the catalog keeps it: everything but the pixels."""

    figure_id: str
    label: str | None
    caption: str
    rights: str | None
    page_number: int | None
    page_box: BoxPt | None
    width_px: int
    height_px: int
    pixels_from: PixelSource


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A panel as the catalog keeps it."""

    panel_id: str
    figure_id: str
    label: str | None
    caption: str
    box: BoxPx
    page_box: BoxPt | None
    native_width_px: int
    native_height_px: int
    kind: PanelKind
    kind_score: float
    subject: SubjectReading = SubjectReading()


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """An H&E region as stored: a lossless PNG named by the SHA-256 of the file.

    Attributes:
        box: In the panel's native raster.
        image_path: Relative to the harvest folder, e.g. "snapshots/ab/abcdef....png".
        phash: 16 hex digits, 64-bit DCT hash of the luminance.
        nucleus_px, nucleus_spread_log2, n_nuclei: Median diameter of the nuclei, how much they differ (log2), how many;
            None where none could be measured.
    """

    snapshot_id: str
    panel_id: str
    box: BoxPx
    he_score: float
    tissue_share: float
    image_path: str
    image_sha256: str
    phash: str
    nucleus_px: float | None = None
    nucleus_spread_log2: float | None = None
    n_nuclei: int | None = None


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """A model's own answer for one snapshot; 90 % interval; None where the model gives no number."""

    snapshot_id: str
    model_id: str
    magnification_x: float | None
    magnification_lo_x: float | None
    magnification_hi_x: float | None
    mpp_um: float | None
    abstained: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Everything that speaks of one snapshot's pixel size, µm per native pixel; None where a witness is silent.

    Attributes:
        image_lo90_um .. image_hi99_um: The image's 90 and 99 % intervals.
        bar_mpp_um, bar_score: The best-scored scale bar with a length.
        bar_text: Its label as printed.
        metadata_mpp_um: What the file itself says.
        objective_x, stated_x: The best-scored magnification of the caption.
        field_mpp_um: From a width of the whole field that the caption gives.
        nucleus_px, n_nuclei: The nuclei's median diameter in pixels and how many were measured.
    """

    snapshot_id: str
    article_id: str = ""
    image_mpp_um: float | None = None
    image_lo90_um: float | None = None
    image_hi90_um: float | None = None
    image_lo99_um: float | None = None
    image_hi99_um: float | None = None
    image_abstained: bool = True
    bar_mpp_um: float | None = None
    bar_score: float | None = None
    bar_text: str | None = None
    metadata_mpp_um: float | None = None
    objective_x: float | None = None
    stated_x: float | None = None
    field_mpp_um: float | None = None
    nucleus_px: float | None = None
    n_nuclei: int | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What the witnesses of one snapshot say together.

    Attributes:
        mpp_um, mpp_lo_um, mpp_hi_um: Pixel size with its 90 % interval; None for a conflict and where nobody knows.
        source: scale_bar, metadata, image or caption: the witness that was believed.
        agreement: agree, single, conflict, or None when nobody knows.
        reason: One sentence for a person.
        log_likelihoods: By witness, natural logarithm of how likely it speaks so if `mpp_um` (of a conflict: the bar)
            is right, less that of a pixel size about which nothing is known.
    """

    snapshot_id: str
    mpp_um: float | None
    mpp_lo_um: float | None
    mpp_hi_um: float | None
    source: Literal["scale_bar", "metadata", "image", "caption"] | None
    agreement: Literal["agree", "single", "conflict"] | None
    reason: str
    log_likelihoods: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArticleResult:
    """Everything one article gives, as it goes to the catalog in one transaction."""

    article_id: str
    text: ArticleText | None = None
    figures: tuple[FigureRow, ...] = ()
    panels: tuple[PanelRow, ...] = ()
    snapshots: tuple[SnapshotRow, ...] = ()
    evidence: tuple[EvidenceRow, ...] = ()
    skips: tuple[Skip, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    """Wall time per stage in seconds; for the progress line and the benchmarks, never stored."""
