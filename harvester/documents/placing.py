"""Where each figure of an article stands: announced captions found on the pages, pictures tied to captions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harvester.documents.captions import (
    Caption,
    TypeArea,
    find_captions,
    find_words,
    likeness,
    measure_type_area,
    parse_label,
)
from harvester.documents.layout import Assignment, Atom, PageView, assign, columns, view_page
from harvester.documents.pdf import PdfDocument, PdfPage
from harvester.errors import MalformedArticle
from harvester.geometry import BoxPt, union_pt
from harvester.records import FigureText, Skip
from harvester.settings import DocumentSettings

SURE = 0.6
"""Likeness of two caption beginnings from which they are the same caption."""
KEPT_PAGES = 64
"""Pages held open at a time; longer documents are read twice."""

_CONTINUED = re.compile(r"^\W*cont(?:inued|inuation|['’]?d|\.)?\b", re.IGNORECASE)


@dataclass(slots=True)
class Found:
    """A figure with its place: the caption it was found by, and the pictures tied to that."""

    text: FigureText
    view: PageView | None = None
    caption: tuple[Caption, BoxPt] | None = None
    atoms: list[Atom] = field(default_factory=list)
    region: BoxPt | None = None
    is_extra: bool = False


class Pages:
    """The pages of a document, read when asked for, a bounded number kept."""

    def __init__(self, document: PdfDocument) -> None:
        self._document = document
        self._kept: dict[int, PdfPage] = {}

    def __getitem__(self, index: int) -> PdfPage:
        page = self._kept.get(index)
        if page is None:
            page = self._document.page(index)
            while len(self._kept) >= KEPT_PAGES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[index] = page
        return page


def locate(
    article_id: str,
    document: PdfDocument,
    pages: Pages,
    announced: Sequence[FigureText],
    settings: DocumentSettings,
    skips: list[Skip],
) -> list[Found]:
    """Find where each figure stands; the result is in the order of the article, pictures without caption last."""
    readable = []
    for index in range(document.n_pages):
        try:
            pages[index].placements()
            readable.append(index)
        except MalformedArticle as error:
            skips.append(Skip(f"{article_id}/page{index + 1}", article_id, "documents", error.reason, str(error)))
    lines = {index: pages[index].lines() for index in readable}
    area = measure_type_area(list(lines.values()))
    captions = {index: find_captions(index, lines[index], area) for index in readable}
    wanted = list(announced)
    if wanted:
        accepted = _match_announced(wanted, captions, lines)
    else:
        wanted, accepted = _read_captions(captions)
    by_page: dict[int, list[Caption]] = {}
    for candidates in accepted:
        for caption in candidates:
            if caption not in by_page.setdefault(caption.page_index, []):
                by_page[caption.page_index].append(caption)
    views = [view_page(pages[index], by_page.get(index, []), area) for index in readable]
    assignments, below = _assign_all(views, settings.min_figure_pt)
    used: set[int] = set()
    found = [_choose(f, c, views, assignments, used) for f, c in zip(wanted, accepted, strict=True)]
    extras = _continued(found, accepted, views, assignments, used)
    _take_next_page(found, views, used, settings.min_figure_pt)
    _take_in_order(found, views, used, settings.min_figure_pt)
    _take_region(found, views, area, settings.min_figure_pt, below=below)
    rest = [(v, a) for v in views for a in v.atoms if id(a) not in used and a.short_side >= settings.min_figure_pt]
    if not announced:
        found = [item for item in found if item.view is not None]  # a sentence that begins with a label is no loss
        extras += _uncaptioned(rest, views, any_captions=bool(wanted), used=used)
    for number, (view, atom) in enumerate(((v, a) for v, a in rest if id(a) not in used), 1):
        if not atom.is_image:
            continue
        detail = (
            f"A picture of {atom.box.width:.0f} by {atom.box.height:.0f} pt on page {view.index + 1} has no caption."
        )
        skips.append(Skip(f"{article_id}/page{view.index + 1}-{number}", article_id, "documents", "no_caption", detail))
    return found + extras


def _match_announced(
    announced: Sequence[FigureText],
    captions: Mapping[int, Sequence[Caption]],
    lines: Mapping[int, Sequence[object]],
) -> list[list[Caption]]:
    """Return for every announced figure the captions on the pages that may be its own, the likeliest first."""
    everything = [c for page in captions.values() for c in page]
    result = []
    for figure in announced:
        key = parse_label(figure.label)
        scored: list[tuple[float, Caption]] = []
        for caption in everything:
            if key is None or (caption.kind, caption.number) != key:
                continue
            like = likeness(caption.text, figure.caption)
            if like >= SURE:
                scored.append((1 + like, caption))
            elif _CONTINUED.match(caption.text) or len(caption.text) < 4:
                scored.append((0.5, caption))
            elif len(figure.caption) < 8 and caption.manner >= 2:
                scored.append((0.7, caption))
        if not any(score >= 1 for score, _ in scored) and figure.caption:
            # The words may have changed between XML and PDF, or the number may be set as a picture.
            by_words = [find_words(i, page, figure.caption) for i, page in lines.items()]  # type: ignore[arg-type]
            scored += [(0.9, c) for c in by_words if c is not None]
            if not scored and key is not None:
                same = [c for c in everything if (c.kind, c.number) == key and c.manner >= 3]
                scored += [(0.3 + 0.01 * c.manner, c) for c in same]
        scored.sort(key=lambda item: (-item[0], item[1].page_index))
        result.append([c for _, c in scored])
    return result


def _read_captions(captions: Mapping[int, Sequence[Caption]]) -> tuple[list[FigureText], list[list[Caption]]]:
    """Take the captions that the pages themselves show; one figure for each number."""
    best: dict[tuple[str, str], list[Caption]] = {}
    for page in captions.values():
        for caption in page:
            if caption.manner >= 2:
                best.setdefault((caption.kind, caption.number), []).append(caption)
    texts, accepted = [], []
    for order, candidates in enumerate(best.values()):
        candidates.sort(key=lambda c: (bool(_CONTINUED.match(c.text)), -c.manner, c.page_index))
        first = candidates[0]
        texts.append(FigureText(first.label, first.text, order=order))
        accepted.append(candidates)
    return texts, accepted


def _assign_all(views: Sequence[PageView], min_pt: float) -> tuple[list[Assignment], bool]:
    """Tie pictures to captions on all pages, with captions below or above, whichever serves more of them."""
    extents = [c for v in views for c in columns(v)]
    widths = [b - a for a, b in extents]
    typical = [(a, b) for a, b in extents if widths and b - a >= 0.8 * float(np.median(widths))][:8]

    def attempt(below: bool) -> tuple[list[Assignment], int]:
        result = [assign(v, typical, below=below, min_pt=min_pt) for v in views]
        return result, sum(bool(atoms) for r in result for atoms in r.values())

    under, n_under = attempt(True)
    over, n_over = attempt(False)
    return (over, False) if n_over > n_under else (under, True)


def _choose(
    text: FigureText,
    candidates: Sequence[Caption],
    views: Sequence[PageView],
    assignments: Sequence[Assignment],
    used: set[int],
) -> Found:
    """Take the likeliest caption that has pictures no figure has yet; failing that the likeliest of all."""
    place = _places(views)
    first: Found | None = None
    for caption in candidates:
        where = place.get(id(caption))
        if where is None:
            continue
        view_at, position = where
        atoms = [a for a in assignments[view_at][position] if id(a) not in used]
        item = Found(text, views[view_at], views[view_at].captions[position], atoms)
        if atoms:
            used.update(map(id, atoms))
            return item
        first = first or item
    return first or Found(text)


def _places(views: Sequence[PageView]) -> dict[int, tuple[int, int]]:
    return {id(c): (v, i) for v, view in enumerate(views) for i, (c, _) in enumerate(view.captions)}


def _continued(
    found: Sequence[Found],
    accepted: Sequence[Sequence[Caption]],
    views: Sequence[PageView],
    assignments: Sequence[Assignment],
    used: set[int],
) -> list[Found]:
    """Return the further pages of figures that run over several, each with the figure's own label and caption."""
    place = _places(views)
    extras = []
    for item, candidates in zip(found, accepted, strict=True):
        for caption in candidates:
            where = place.get(id(caption))
            if where is None or (item.caption and item.caption[0] is caption) or not _CONTINUED.match(caption.text):
                continue
            atoms = [a for a in assignments[where[0]][where[1]] if id(a) not in used]
            if atoms and item.atoms:
                used.update(map(id, atoms))
                view = views[where[0]]
                extras.append(Found(item.text, view, view.captions[where[1]], list(atoms), is_extra=True))
    return extras


def _take_next_page(found: Sequence[Found], views: Sequence[PageView], used: set[int], min_pt: float) -> None:
    """Give a caption without pictures those of the page after or before, when that page has no caption of its own."""
    by_index = {v.index: v for v in views}
    for item in found:
        if item.atoms or item.view is None:
            continue
        for step in (1, -1):
            view = by_index.get(item.view.index + step)
            if view is None or view.captions:
                continue
            free = [a for a in view.atoms if id(a) not in used and a.short_side >= min_pt and a.is_image]
            if sum(a.box.area for a in free) >= 0.08 * view.width * view.height:
                item.view, item.caption, item.atoms = view, None, free
                used.update(map(id, free))
                break


def _take_in_order(found: Sequence[Found], views: Sequence[PageView], used: set[int], min_pt: float) -> None:
    """Tie figures that no caption could place to pages of pictures without captions, when they are as many."""
    lost = [item for item in found if not item.atoms]
    pages = []
    for view in views:
        free = [a for a in view.atoms if id(a) not in used and a.short_side >= min_pt and a.is_image]
        if free and not view.captions and sum(a.box.area for a in free) >= 0.15 * view.width * view.height:
            pages.append((view, free))
    if len(lost) != len(pages):
        # Or, one by one, to large pictures that nothing else explains.
        pages = [
            (view, [a])
            for view in views
            for a in view.atoms
            if id(a) not in used and a.is_image and a.box.area >= 0.06 * view.width * view.height
        ]
    if lost and len(lost) == len(pages):
        for item, (view, free) in zip(lost, pages, strict=True):
            item.view, item.caption, item.atoms = view, None, free
            used.update(map(id, free))


def _take_region(
    found: Sequence[Found], views: Sequence[PageView], area: TypeArea, min_pt: float, *, below: bool
) -> None:
    """For a caption with no picture at all (a flow chart set as text, a scanned page) take what stands above it."""
    for item in found:
        if item.atoms or item.caption is None or item.view is None:
            item.view = item.view if item.atoms else None
            continue
        view, caption = item.view, item.caption[1]
        walls = view.walls + [b for c, b in view.captions if c is not item.caption[0]]
        x0, x1 = caption.x0 - 20, caption.x1 + 20
        over = [w.y1 for w in walls if w.y1 <= caption.y0 + 2 and min(w.x1, x1) > max(w.x0, x0)]
        top = max(over, default=0.06 * view.height)
        inside = [b for b, _ in view.loose if top - 1 <= b.y0 and b.y1 <= caption.y0 + 2 and b.x1 > x0 and b.x0 < x1]
        inside += [a.box for a in view.atoms if a.box.y0 >= top - 1 and a.box.y1 <= caption.y0 + 4]
        if not below or len(inside) < 3:
            item.view = None
            continue
        region = union_pt(inside)
        item.region = region if min(region.width, region.height) >= min_pt else None
        if item.region is None:
            item.view = None


def _uncaptioned(
    rest: Sequence[tuple[PageView, Atom]], views: Sequence[PageView], *, any_captions: bool, used: set[int]
) -> list[Found]:
    """Without XML a large picture may be a figure nobody captioned; small or repeated ones are logos."""
    share = 0.06 if any_captions else 0.02
    result = []
    for view, atom in rest:
        repeated = sum(
            any(b.is_image and b.box.iou(atom.box) > 0.95 for b in other.atoms) for other in views if other is not view
        )
        if atom.is_image and atom.box.area >= share * view.width * view.height and repeated < 2:
            used.add(id(atom))
            result.append(Found(FigureText(None, ""), view, None, [atom], is_extra=True))
    return result
