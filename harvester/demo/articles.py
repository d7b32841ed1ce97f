"""A dozen drawn articles with what is true of them: which panels are H&E, where they are, how large their pixels are.

Between them they have what real articles have: pictures stored one by one, as one raster, in strips, in tiles, in four
inks; letters in pixels and as text; a caption a page away; licences that forbid; a retraction, two versions, no PDF.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta

from harvester.demo.decoys import DECOYS, draw_decoy
from harvester.demo.draw import RECIPES, draw_he
from harvester.demo.markup import FigureMarkup, make_jats
from harvester.demo.plan import PLAN, ArticlePlan, FigurePlan
from harvester.demo.served import Blob, ServedArticle
from harvester.demo.typeset import Cell, Plate, Typesetter, encode_jpeg
from harvester.geometry import BoxPt

FIRST_NUMBER = 99_000_001
DEMO_QUERY = "demonstration[Title]"
_AUTHORS = (("Program", "A"), ("Drawing", "B"))
_JOURNAL = "Journal of Drawn Histology"


@dataclass(frozen=True, slots=True)
class TruePanel:
    """What is true of one panel of a drawn article.

    Attributes:
        kind: "he", or the kind of the decoy.
        page_box: Tightest box in PDF points, origin top left; None for an article without PDF.
        width_px, height_px: The finest raster that is published of it.
        mpp_um: Micrometres per pixel of that raster; None for a decoy.
        bar_um: Length of its scale bar as labelled, None without one.
    """

    article_id: str
    figure_label: str
    letter: str
    kind: str
    picture: str
    page_number: int | None
    page_box: BoxPt | None
    width_px: int
    height_px: int
    mpp_um: float | None = None
    bar_um: float | None = None


@dataclass(frozen=True)
class DrawnArticle:
    """An article ready to be served, and the truth about its panels."""

    served: ServedArticle
    truth: tuple[TruePanel, ...]


_TEXT = (
    "This article was drawn by a program to demonstrate a harvest; none of it was observed. Its pictures imitate "
    "tissue at a scale that is known exactly, so that what the harvest finds can be compared with the truth. "
)
_FILLER = (
    "Sections are laid out in micrometres, coloured in optical density with the stain vectors of haematoxylin and "
    "eosin, and averaged down to the pixels of a camera. Nuclei measure six to eleven micrometres and red cells seven. "
    "Glands stand about a tenth of a millimetre apart. Between them run fibres with thin nuclei along their course, "
    "small vessels, and round cells. At low magnification the edge of the section comes into view. "
)


def draw_articles(
    seed: int = 1, *, plan: Sequence[ArticlePlan] = PLAN, progress: Callable[[int, int], None] | None = None
) -> list[DrawnArticle]:
    """Draw every article of the plan; the same seed gives the same bytes.

    Args:
        progress: Called with (articles drawn, articles in all).
    """
    drawn: list[DrawnArticle] = []
    for i, article in enumerate(plan):
        drawn.append(_draw_article(article, FIRST_NUMBER + i, seed * 1000 + i * 20))
        if article.changes.get("version") == 2:
            drawn.append(_earlier_version(drawn[-1]))
        if progress is not None:
            progress(i + 1, len(plan))
    return drawn


def _earlier_version(later: DrawnArticle) -> DrawnArticle:
    """Return version 1: the author's manuscript, without PDF and pictures."""
    served = later.served
    xml = served.xml.body.replace(f"{served.pmcid}.2<".encode(), f"{served.pmcid}.1<".encode())
    xml = xml.replace(b'"pmc-version">2<', b'"pmc-version">1<')
    return DrawnArticle(replace(served, version=1, xml=Blob(xml), pdf=None, media=(), is_manuscript=True), ())


def _draw_article(article: ArticlePlan, number: int, seed: int) -> DrawnArticle:
    title = f"Demonstration {number - FIRST_NUMBER + 1}: {article.subject}"
    version = int(str(article.changes.get("version", 1)))
    article_id, doi = f"PMC{number}.{version}", f"10.5555/drawn.{number}"
    released = date(2026, 1, 5) + timedelta(days=9 * (number - FIRST_NUMBER))
    plates = [_plate(figure, i, seed + 5 * i) for i, figure in enumerate(article.figures, 1)]
    names = [f"drawn-{number}-g{i:03}.jpg" for i in range(1, len(plates) + 1)]
    pdf, placed = None, {}
    if article.has_pdf:
        setter = Typesetter(f"{_JOURNAL}, {released.year}")
        setter.title(title, f"{', '.join(f'{b} {a}' for a, b in _AUTHORS)}. doi: {doi}. {article.licence}")
        setter.paragraph(_TEXT + _FILLER, heading="Abstract")
        setter.paragraph(_FILLER * 3, heading="Introduction")
        for plate in plates:
            setter.paragraph(f"{plate.label} shows the finding. {_FILLER * 2}", heading="Results")
            setter.figure(plate)
            setter.paragraph(_FILLER * 2)
        setter.paragraph(_FILLER * 2, heading="Discussion")
        placed = setter.placed
        pdf = Blob(setter.to_pdf(title, "A Program"))
    truth = [
        TruePanel(
            article_id=article_id,
            figure_label=plate.label,
            letter=cell.letter,
            kind="he" if panel.picture in RECIPES else DECOYS[panel.picture][0],
            picture=panel.picture,
            page_number=placed[plate.label][0] if placed else None,
            page_box=placed[plate.label][1][i] if placed else None,
            width_px=figure.size[0],
            height_px=figure.size[1],
            mpp_um=panel.mpp_um,
            bar_um=panel.bar_um,
        )
        for figure, plate in zip(article.figures, plates, strict=True)
        for i, (panel, cell) in enumerate(zip(figure.panels, plate.cells, strict=True))
    ]
    xml = make_jats(
        number=number,
        version=version,
        title=title,
        journal=_JOURNAL,
        authors=_AUTHORS,
        doi=doi,
        pmid=number,
        released=released,
        licence_code=article.licence,
        abstract=_TEXT,
        keywords=("demonstration", "drawn histology"),
        sections=(("Introduction", _FILLER), ("Results", _FILLER)),
        figures=[
            FigureMarkup(plate.label, plate.caption, name, figure.rights)
            for figure, plate, name in zip(article.figures, plates, names, strict=True)
        ],
        is_manuscript=bool(article.changes.get("is_manuscript")),
    )
    media = []
    if article.has_media:
        # publishers offer their pictures smaller than the PDF has them, or larger
        for name, figure, plate in zip(names, article.figures, plates, strict=True):
            pixels = plate.composed(with_everything=True)
            if figure.pdf_shrink == 1 and article.has_pdf:
                pixels = pixels[::2, ::2]
            media.append((name, Blob(encode_jpeg(pixels, quality=90))))
    served = ServedArticle(
        pmcid=f"PMC{number}",
        xml=Blob(xml),
        pdf=pdf,
        media=tuple(media),
        pmid=number,
        doi=doi,
        title=title,
        journal=_JOURNAL,
        citation=f"J Drawn Histol. {released:%Y %b %d}. doi: {doi}",
        licence_code=article.licence,
        released=released,
    )
    return DrawnArticle(replace(served, **article.changes), tuple(truth))  # type: ignore[arg-type]


def _plate(figure: FigurePlan, number: int, seed: int) -> Plate:
    width, height = figure.size
    many = len(figure.panels) > 1
    letters = "abcdef" if len(figure.panels) > 4 else "ABCDEF"
    cells = []
    for i, panel in enumerate(figure.panels):
        if panel.mpp_um is not None:
            pixels = draw_he(panel.picture, panel.mpp_um, width, height, seed + i)
        else:
            pixels = draw_decoy(panel.picture, width, height, seed + i)
        bar = None
        if panel.bar_um is not None and panel.mpp_um is not None:
            bar = (panel.bar_um / panel.mpp_um, f"{panel.bar_um:g} µm")
        cells.append(Cell(pixels, letters[i] if many else "", bar))
    parts = " ".join(f"({c.letter}) {p.says}." for c, p in zip(cells, figure.panels, strict=True) if c.letter)
    bars = sorted({f"{p.bar_um:g} µm" for p in figure.panels if p.bar_um})
    return Plate(
        label=f"Figure {number}",
        caption=" ".join(filter(None, [figure.lead, parts, f"Scale bars: {', '.join(bars)}." if bars else ""])),
        cells=tuple(cells),
        columns=min(figure.columns, len(cells)),
        making=figure.making,
        letters=figure.letters if many else "none",
        gutter_px=figure.gutter_px,
        pdf_shrink=figure.pdf_shrink,
        has_raster_bars=figure.has_raster_bars,
        is_wide=figure.is_wide,
        caption_before=figure.caption_before,
    )


def truth_as_json(articles: Sequence[DrawnArticle]) -> str:
    """Return the truth about every panel as indented JSON, for reading beside a catalog."""
    return json.dumps([asdict(panel) for article in articles for panel in article.truth], indent=1) + "\n"
