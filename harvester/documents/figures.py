"""Figures of an article: pictures found on the pages, tied one to one to the figures that its XML announces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harvester.documents.captions import parse_label
from harvester.documents.lettering import inscriptions_near, lettered_box, letters_near
from harvester.documents.pdf import PdfPage, read_document
from harvester.documents.placing import Found, Pages, locate
from harvester.documents.rasters import figure_parts, figure_pixels, prefer_media
from harvester.documents.strokes import marks_near
from harvester.errors import MalformedArticle
from harvester.geometry import RgbImage, union_pt
from harvester.records import ArticleText, Figure, FigureText, PixelSource, Raster, Skip
from harvester.settings import DocumentSettings


def figure_from_image(article_id: str, pixels: RgbImage, name: str, caption: str = "") -> Figure:
    """Make a figure of a picture of your own: id "<article>/f1", labelled with its file name, without a page.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    raster = Raster(pixels, None, "media")
    return Figure(f"{article_id}/f1", name or None, caption, None, None, None, pixels, "media", (raster,))


def extract_figures(
    article_id: str,
    pdf: bytes | None,
    text: ArticleText | None,
    media: Mapping[str, RgbImage],
    settings: DocumentSettings,
) -> tuple[list[Figure], list[Skip]]:
    """Find every figure of an article with its finest pixels.

    Args:
        pdf: The article, or None when there is only XML and media.
        text: What the XML says; without it captions are read from the pages.
        media: The publisher's pictures by file name, (H, W, 3) uint8 RGB.

    Returns:
        Figures in the order of the article, and what was left out: "figure_not_found" (announced, on no page),
        "no_caption" (a picture that is no figure of the article), "pdf_damaged" (a page), "image_too_large".

    Raises:
        MalformedArticle: when the PDF can't be read at all; see `read_document`.
    """
    figures: list[Figure] = []
    skips: list[Skip] = []
    for item in iter_figures(article_id, pdf, text, media, settings):
        if isinstance(item, Skip):
            skips.append(item)
        else:
            figures.append(item)
    return figures, skips


def iter_figures(
    article_id: str,
    pdf: bytes | None,
    text: ArticleText | None,
    media: Mapping[str, RgbImage],
    settings: DocumentSettings,
) -> Iterator[Figure | Skip]:
    """Yield what `extract_figures` returns, one at a time: an article of many large figures needs the memory of one."""
    announced = text.figures if text is not None else ()
    if pdf is None:
        found = [Found(f) for f in announced]
        for item, figure_id in zip(found, _figure_ids(article_id, found), strict=True):
            yield _from_media(figure_id, article_id, item.text, media)
        return
    with read_document(pdf, settings) as document:
        pages = Pages(document)
        skips: list[Skip] = []
        found = locate(article_id, document, pages, announced, settings, skips)
        yield from skips
        at_page = None
        for item, figure_id in zip(found, _figure_ids(article_id, found), strict=True):
            figure: Figure | Skip | None = None
            if item.view is not None:
                if item.view.index != at_page:
                    document.forget_pages()
                at_page = item.view.index
                try:
                    figure = _build(figure_id, item, pages[item.view.index], media, settings)
                except MalformedArticle as error:
                    figure = Skip(figure_id, article_id, "documents", error.reason, str(error))
            yield figure if figure is not None else _from_media(figure_id, article_id, item.text, media)


def _figure_ids(article_id: str, found: Sequence[Found]) -> list[str]:
    """Return an id for each: "f" and the printed number where it is a figure's and unique, otherwise x1, x2, ..."""
    names = []
    for item in found:
        key = parse_label(item.text.label)
        names.append(f"f{key[1].lower()}" if key and key[0] == "fig" and not item.is_extra else "")
    ids, free = [], 0
    for name in names:
        if not name or names.count(name) > 1:
            free += 1
            name = f"x{free}"
        ids.append(f"{article_id}/{name}")
    return ids


def _build(
    figure_id: str, item: Found, page: PdfPage, media: Mapping[str, RgbImage], settings: DocumentSettings
) -> Figure | None:
    view = item.view
    assert view is not None
    placements = [p for a in item.atoms for p in a.placements]
    drawings = [a.box for a in item.atoms if not a.is_image]
    images = [a.box for a in item.atoms if a.is_image]
    if item.region is not None:
        box = item.region
    elif sum(d.area for d in drawings) > sum(i.area for i in images):
        box = lettered_box(union_pt(images + drawings), view, item.caption[1] if item.caption else None)
    else:
        box = union_pt(images + drawings)
    shown = view.shown(box)
    parts = figure_parts(page, placements, settings)
    if images and not drawings and item.region is None:
        # The union of what is really there: joined tiles, clips rounded to whole samples.
        shown = union_pt([p.page_box for p in parts if p.page_box is not None] or [shown])
    pixels, source = figure_pixels(page, shown, parts, settings)
    pixels_from: PixelSource = "pdf" if source == "pdf" else "render"
    if not parts:
        parts = [Raster(pixels, shown, pixels_from)]
    better = _media_of(item.text, media)
    if len(better) == 1 and prefer_media(pixels, better[0]):
        pixels, pixels_from = better[0], "media"
        parts = [Raster(pixels, shown, "media")]
    return Figure(
        figure_id=figure_id,
        label=item.text.label,
        caption=item.text.caption,
        rights=item.text.rights,
        page_number=view.index + 1,
        page_box=shown,
        pixels=pixels,
        pixels_from=pixels_from,
        parts=tuple(parts),
        letters=letters_near(page.lone_words(), shown),
        marks=marks_near(page.drawn(), shown),
        inscriptions=inscriptions_near([(line.text, line.box) for line in page.lines()], shown),
    )


def _media_of(text: FigureText, media: Mapping[str, RgbImage]) -> list[RgbImage]:
    """Return the publisher's pictures of a figure: by exact name first, then by the name without its extension."""

    def stem(name: str) -> str:
        return re.sub(r"\.(?:jpe?g|png|gif|tiff?|webp)$", "", name.rpartition("/")[2].lower())

    by_name = {name.lower(): name for name in media}
    by_stem: dict[str, list[str]] = {}
    for name in media:
        by_stem.setdefault(stem(name), []).append(name)
    result = []
    for href in text.hrefs:
        exact = by_name.get(href.rpartition("/")[2].lower())
        alike = by_stem.get(stem(href), [])
        if exact is not None:
            result.append(media[exact])
        elif len(alike) == 1:
            result.append(media[alike[0]])
    return result


def _from_media(figure_id: str, article_id: str, text: FigureText, media: Mapping[str, RgbImage]) -> Figure | Skip:
    pictures = _media_of(text, media)
    if not pictures:
        what = text.label or "A figure without number"
        return Skip(figure_id, article_id, "documents", "figure_not_found", f"{what} was found on no page.")
    parts = tuple(Raster(p, None, "media") for p in pictures)
    pixels = pictures[0] if len(pictures) == 1 else _stacked(pictures)
    return Figure(figure_id, text.label, text.caption, text.rights, None, None, pixels, "media", parts)


def _stacked(pictures: Sequence[RgbImage], gap_px: int = 20) -> RgbImage:
    """Put pictures under each other on white."""
    width = max(p.shape[1] for p in pictures)
    rows: list[RgbImage] = []
    for picture in pictures:
        row = np.full((picture.shape[0] + (gap_px if rows else 0), width, 3), 255, np.uint8)
        row[row.shape[0] - picture.shape[0] :, : picture.shape[1]] = picture
        rows.append(row)
    return np.concatenate(rows)
