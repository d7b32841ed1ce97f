"""What the demonstration draws: a dozen articles and a few, each with something that real articles do."""

from __future__ import annotations

from dataclasses import dataclass, field

from harvester.demo.typeset import Letters, Making


@dataclass(frozen=True, slots=True)
class PanelPlan:
    """A panel to be drawn: a recipe with its scale, or a decoy; what the caption says of it; its scale bar."""

    picture: str
    says: str
    mpp_um: float | None = None
    bar_um: float | None = None


@dataclass(frozen=True, slots=True)
class FigurePlan:
    """A figure to be drawn; `size` is that of every panel in pixels, the rest as in harvester.demo.typeset.Plate."""

    lead: str
    panels: tuple[PanelPlan, ...]
    making: Making = "separate"
    letters: Letters = "inside"
    columns: int = 2
    size: tuple[int, int] = (700, 500)
    is_wide: bool = True
    has_raster_bars: bool = False
    caption_before: bool = False
    pdf_shrink: int = 1
    gutter_px: int = 12
    rights: str | None = None


@dataclass(frozen=True, slots=True)
class ArticlePlan:
    """An article to be drawn; `changes` are fields of the ServedArticle."""

    subject: str
    licence: str | None
    figures: tuple[FigurePlan, ...] = ()
    has_pdf: bool = True
    has_media: bool = True
    changes: dict[str, object] = field(default_factory=dict)


_HE = "hematoxylin and eosin"
_CHART = FigurePlan(
    "Measured values of the groups.", (PanelPlan("bar_chart", ""),), "png", "none", 1, (620, 460), is_wide=False
)
_SURVIVAL = FigurePlan(
    "Survival in three groups.", (PanelPlan("line_plot", ""),), "flat", "none", 1, (620, 460), is_wide=False
)

PLAN: tuple[ArticlePlan, ...] = (
    ArticlePlan(
        "crypts of the colon",
        "CC BY",
        (
            FigurePlan(
                f"Mucosa of the colon ({_HE}).",
                (
                    PanelPlan("colon", "overview, original magnification ×100", 1.0, 200),
                    PanelPlan("colon", "crypts with goblet cells, original magnification ×200", 0.5, 100),
                ),
            ),
            _CHART,
        ),
    ),
    ArticlePlan(
        "adenoma beside other stains",
        "CC BY",
        (
            FigurePlan(
                "Adenoma of the colon.",
                (
                    PanelPlan("adenoma", f"{_HE}, ×50", 2.0),
                    PanelPlan("adenoma", f"{_HE}, ×200", 0.5),
                    PanelPlan("ihc", "Ki-67 immunohistochemistry, ×200"),
                    PanelPlan("pas", "periodic acid-Schiff, ×200"),
                ),
                "flat",
                "raster",
                size=(640, 460),
            ),
            _SURVIVAL,
        ),
    ),
    ArticlePlan(
        "liver with and without fat",
        "CC0",
        (
            FigurePlan(
                f"Normal liver, {_HE}, original magnification ×400.",
                (PanelPlan("liver", "", 0.25, 50),),
                "flat",
                "none",
                1,
                (760, 560),
                is_wide=False,
                has_raster_bars=True,
            ),
            FigurePlan(
                f"Fatty liver, {_HE}.",
                (PanelPlan("steatosis", "×100", 1.0), PanelPlan("steatosis", "×200", 0.5)),
                "strips",
                "above",
            ),
        ),
    ),
    ArticlePlan(
        "a carcinoma in print colours",
        "CC BY-NC",
        (
            FigurePlan(
                f"Carcinoma, {_HE}.",
                (
                    PanelPlan("carcinoma", "solid sheets, ×200", 0.5),
                    PanelPlan("carcinoma", "nuclei at high magnification, ×400", 0.25),
                ),
                "cmyk",
                "raster",
            ),
            FigurePlan("Computed tomography.", (PanelPlan("ct", ""),), "flat", "none", 1, (620, 520), is_wide=False),
        ),
    ),
    ArticlePlan(
        "smooth muscle and its specimen",
        "CC BY",
        (
            FigurePlan(
                "Leiomyoma.",
                (
                    PanelPlan("gross", "gross specimen"),
                    PanelPlan("muscle", f"bundles of muscle, {_HE}, ×200", 0.5, 100),
                ),
                caption_before=True,
            ),
        ),
    ),
    ArticlePlan(
        "a lymph node in tiles",
        "CC BY-SA",
        (
            FigurePlan(
                f"Lymph node, {_HE}, ×40.", (PanelPlan("lymph_node", "", 2.5, 500),), "tiles", "none", 1, (1200, 800)
            ),
        ),
    ),
    ArticlePlan(
        "breast at low magnification",
        "CC BY-NC-SA",
        (
            FigurePlan(
                f"Fibrous and fat tissue of the breast, {_HE}.",
                (PanelPlan("breast", "×25", 4.0, 500), PanelPlan("breast", "×100", 1.0, 100)),
                letters="above",
                size=(620, 480),
            ),
        ),
    ),
    ArticlePlan(
        "six panels with small letters",
        "CC BY",
        (
            FigurePlan(
                f"Six fields, {_HE}.",
                (
                    PanelPlan("colon", "colon, ×140", 0.7),
                    PanelPlan("liver", "liver, ×280", 0.35),
                    PanelPlan("carcinoma", "carcinoma, ×70", 1.4),
                    PanelPlan("muscle", "muscle, ×140", 0.7),
                    PanelPlan("lymph_node", "lymph node, ×280", 0.35),
                    PanelPlan("adenoma", "adenoma, ×100", 1.0),
                ),
                "png",
                "raster",
                3,
                (420, 320),
                gutter_px=8,
            ),
        ),
    ),
    ArticlePlan(
        "finer pictures beside the file",
        "CC BY",
        (
            FigurePlan(
                f"Carcinoma, {_HE}; the files of the publisher are twice as fine as the page.",
                (PanelPlan("carcinoma", "×200", 0.5, 100), PanelPlan("adenoma", "×200", 0.5, 100)),
                "flat",
                "raster",
                pdf_shrink=2,
                has_raster_bars=True,
            ),
        ),
    ),
    ArticlePlan(
        "nothing of interest",
        "CC BY",
        (
            FigurePlan(
                "Methods.",
                (
                    PanelPlan("gel", "gel"),
                    PanelPlan("fluorescence", "immunofluorescence"),
                    PanelPlan("ihc", "p53"),
                    PanelPlan("ct", "CT"),
                ),
                size=(520, 380),
            ),
            _CHART,
        ),
    ),
    ArticlePlan(
        "crypts that may not be cropped",
        "CC BY-ND",
        (FigurePlan(f"Colon, {_HE}.", (PanelPlan("colon", "", 0.5),), columns=1),),
    ),
    ArticlePlan(
        "a manuscript for text mining only",
        "TDM",
        (FigurePlan(f"Liver, {_HE}.", (PanelPlan("liver", "", 0.5),), columns=1),),
        has_pdf=False,
        has_media=False,
        changes={"is_open_access": False, "is_manuscript": True},
    ),
    ArticlePlan(
        "a liver that was withdrawn",
        "CC BY",
        (FigurePlan(f"Liver, {_HE}.", (PanelPlan("liver", "", 0.5),), columns=1),),
        changes={"is_retracted": True},
    ),
    ArticlePlan(
        "two versions of a muscle",
        "CC BY",
        (FigurePlan(f"Muscle, {_HE}, ×100.", (PanelPlan("muscle", "", 1.0, 200),), "flat", "none", 1),),
        changes={"version": 2},
    ),
    ArticlePlan(
        "pictures without a page",
        "CC BY",
        (FigurePlan(f"Adenoma, {_HE}, ×100.", (PanelPlan("adenoma", "", 1.0),), "flat", "none", 1),),
        has_pdf=False,
    ),
)
"""What is drawn, in the order of the PMCIDs."""
