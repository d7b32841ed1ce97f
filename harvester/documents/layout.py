"""Which pictures on a page belong to which caption.

Pictures are clusters of placed images and of paths. Each is tied to the nearest caption that no running text, no other
caption and no table hides from it; below the picture as a rule, above it when the whole document does so, beside it
when nothing else is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from harvester.documents.captions import Caption, TypeArea, displayed, is_table_caption, upright
from harvester.documents.painting import Mark, Placement
from harvester.documents.pdf import PdfPage, TextLine
from harvester.geometry import BoxPt, union_pt

IMAGE_GAP_PT = 8.0
"""Images closer than this are one cluster: tiles, strips, rows of a blot."""
MARK_GAP_PT = 8.0
SMALL_PT = 12.0
"""Shorter side below which a cluster is an ornament or a line of text set as a picture."""
TEXT_LINES = 6
"""A picture under this many long lines of text is their background."""
BESIDE_PT = 40.0
"""How far a panel may stand from the others of its row."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A cluster of images, or of paths, in the page's own upright coordinates (see `PageView.turn`)."""

    box: BoxPt
    placements: tuple[Placement, ...] = field(default=(), repr=False)
    n_marks: int = 0

    @property
    def is_image(self) -> bool:
        return bool(self.placements)

    @property
    def short_side(self) -> float:
        return min(self.box.width, self.box.height)


@dataclass(slots=True)
class PageView:
    """One page, turned so that its captions read to the right.

    Attributes:
        index: From 0.
        turn: Reading direction of the page's captions as displayed.
        width, height: Of the turned page, in points.
        atoms: Pictures.
        captions: Accepted captions with their turned boxes.
        walls: Boxes that no figure reaches across: running text and captions of tables.
        loose: Other lines of text: letters, axis labels, headings.
    """

    index: int
    turn: int
    width: float
    height: float
    atoms: list[Atom]
    captions: list[tuple[Caption, BoxPt]]
    walls: list[BoxPt]
    loose: list[tuple[BoxPt, str]]

    def shown(self, box: BoxPt) -> BoxPt:
        """Return a box of this view as displayed on the page."""
        w, h = (self.height, self.width) if self.turn in (90, 270) else (self.width, self.height)
        return displayed(box, self.turn, w, h)


def view_page(page: PdfPage, captions: Sequence[Caption], area: TypeArea) -> PageView:
    """Sort what stands on a page into pictures, captions, walls and loose text."""
    turns = [c.turn for c in captions]
    turn = max(set(turns), key=lambda t: (turns.count(t), -t)) if turns else 0

    def to_view(box: BoxPt) -> BoxPt:
        return upright(box, turn, page.width_pt, page.height_pt)

    width, height = (page.height_pt, page.width_pt) if turn in (90, 270) else (page.width_pt, page.height_pt)
    shown = [(c, to_view(c.box)) for c in captions if c.turn == turn]
    lines = [(to_view(line.box), line) for line in page.lines()]
    outside = [(b, ln) for b, ln in lines if not any(_share_inside(b, c) > 0.5 for _, c in shown)]
    running = _running_text([(b, ln) for b, ln in outside if ln.turn == turn], area)
    walls = [b for b, ln in outside if is_table_caption(ln.text)] + running
    body = set(map(id, running))
    loose = [(b, ln.text) for b, ln in outside if id(b) not in body and not is_table_caption(ln.text)]
    long_lines = [b for b, ln in lines if len(ln.text) >= 30]
    images = [
        a for a in _image_atoms(page, to_view) if sum(_share_inside(b, a.box) > 0.9 for b in long_lines) < TEXT_LINES
    ]
    drawings = _drawing_atoms(page.marks(), to_view, width, height, [c for _, c in shown], running, images, lines)
    return PageView(page.number - 1, turn, width, height, images + drawings, shown, walls, loose)


def _share_inside(box: BoxPt, other: BoxPt) -> float:
    return box.intersection_area(other) / box.area


def _running_text(lines: Sequence[tuple[BoxPt, TextLine]], area: TypeArea) -> list[BoxPt]:
    """Return the lines of paragraphs: the document's usual size and width, with another such line close by."""
    wide = [
        (b, ln)
        for b, ln in lines
        if abs(ln.size_pt - area.size_pt) <= 0.09 * area.size_pt and b.width >= 0.7 * area.width_pt
    ]
    found = []
    for box, line in wide:
        for other, _ in wide:
            step = abs(other.y0 - box.y0)
            if 0.5 * line.size_pt < step < 1.9 * line.size_pt and abs(other.x0 - box.x0) < 2.5 * line.size_pt:
                found.append(box)
                break
    return found


def _clusters(boxes: Sequence[BoxPt], gap_pt: float) -> list[list[int]]:
    """Group boxes that stand closer than a gap, directly or through others."""
    parent = list(range(len(boxes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    by_x = sorted(range(len(boxes)), key=lambda i: boxes[i].x0)
    active: list[int] = []
    for i in by_x:
        active = [j for j in active if boxes[j].x1 + gap_pt >= boxes[i].x0]
        for j in active:
            if boxes[i].gap(boxes[j]) <= gap_pt:
                parent[root(i)] = root(j)
        active.append(i)
    groups: dict[int, list[int]] = {}
    for i in range(len(boxes)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _image_atoms(page: PdfPage, to_view: Callable[[BoxPt], BoxPt]) -> list[Atom]:
    seen: dict[tuple[float, ...], Placement] = {}
    for placement in page.placements():
        # A picture over the whole page is a scan or a background; what it shows is found by the text on it.
        if placement.box.area > 0.85 * page.box.area or min(placement.box.width, placement.box.height) < 1.0:
            continue
        seen[tuple(round(v, 1) for v in placement.box.as_tuple())] = placement
    placements = list(seen.values())
    boxes = [to_view(p.box) for p in placements]
    atoms = []
    for group in _clusters(boxes, IMAGE_GAP_PT):
        box = union_pt(boxes[i] for i in group)
        if min(box.width, box.height) >= SMALL_PT:
            atoms.append(Atom(box, tuple(placements[i] for i in group)))
    return atoms


def _drawing_atoms(
    marks: Sequence[Mark],
    to_view: Callable[[BoxPt], BoxPt],
    width: float,
    height: float,
    captions: Sequence[BoxPt],
    running: Sequence[BoxPt],
    images: Sequence[Atom],
    lines: Sequence[tuple[BoxPt, TextLine]],
) -> list[Atom]:
    """Cluster paths on a grid of one point, so that the time does not depend on how many there are."""
    texts = [(b.x0, b.y0, b.x1, b.y1) for b in (*captions, *running)]
    text_array = np.array(texts, np.float64).reshape(-1, 4)
    centres = np.stack([text_array[:, [0, 2]].mean(1), text_array[:, [1, 3]].mean(1)], 1)
    kept: list[tuple[float, float, float, float, float]] = []
    for mark in marks:
        if mark.is_white:
            continue
        box = to_view(BoxPt(mark.x0, mark.y0, max(mark.x1, mark.x0 + 0.01), max(mark.y1, mark.y0 + 0.01)))
        x0, y0, x1, y1 = box.as_tuple()
        # Backgrounds of the page, frames and backgrounds of its text are furniture.
        holds = (centres[:, 0] > x0 - 2) & (centres[:, 0] < x1 + 2) & (centres[:, 1] > y0) & (centres[:, 1] < y1)
        if (x1 - x0) * (y1 - y0) <= 0.6 * width * height and not holds.any():
            kept.append((x0, y0, x1, y1, mark.n_strokes))
    array = np.array(kept).reshape(-1, 5)
    shape = (int(height) + 2, int(width) + 2)
    owner = _mark_clusters(array, shape)
    array = array[~_is_frame_edge(array, owner, centres)]
    owner = _mark_clusters(array, shape)
    tables = [b for b, ln in lines if is_table_caption(ln.text)]
    atoms = []
    for label in np.unique(owner):
        mine = array[owner == label]
        x0, y0 = mine[:, :2].min(0)
        x1, y1 = mine[:, 2:4].max(0)
        only_rules = (mine[:, 3] - mine[:, 1] <= 2.0).all() or (mine[:, 2] - mine[:, 0] <= 2.0).all()
        if only_rules or min(x1 - x0, y1 - y0) < SMALL_PT or mine[:, 4].sum() < 12:
            continue
        box = BoxPt(float(x0), float(y0), float(x1), float(y1))
        if _is_table(box, tables) or any(_share_inside(box, _grown(a.box, 6.0)) > 0.9 for a in images):
            continue
        atoms.append(Atom(box, n_marks=len(mine)))
    return atoms


def _mark_clusters(array: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the cluster of each path, on a grid of one point, so that many paths take no longer than few."""
    canvas = np.zeros(shape, np.uint8)
    for x0, y0, x1, y1, _ in array:
        cv2.rectangle(canvas, (int(x0), int(y0)), (int(x1), int(y1)), 255, -1)
    size = 2 * int(MARK_GAP_PT / 2) + 1
    _n, labels = cv2.connectedComponents(cv2.dilate(canvas, np.ones((size, size), np.uint8)), connectivity=8)
    middle_x = np.clip(array[:, [0, 2]].mean(1), 0, shape[1] - 1).astype(int)
    middle_y = np.clip(array[:, [1, 3]].mean(1), 0, shape[0] - 1).astype(int)
    return np.asarray(labels[middle_y, middle_x], np.int64)


def _is_frame_edge(
    array: NDArray[np.float64], owner: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark the edges and corners of frames that enclose text, drawn side by side rather than as one rectangle."""
    edges = np.zeros(len(array), np.bool_)
    for label in np.unique(owner):
        mine = owner == label
        (x0, y0), (x1, y1) = array[mine, :2].min(0), array[mine, 2:4].max(0)
        inside = (centres[:, 0] > x0) & (centres[:, 0] < x1) & (centres[:, 1] > y0) & (centres[:, 1] < y1)
        if inside.any():
            band = (array[:, 2] <= x0 + 7) | (array[:, 0] >= x1 - 7) | (array[:, 3] <= y0 + 7) | (array[:, 1] >= y1 - 7)
            edges |= mine & band
    return edges


def _grown(box: BoxPt, by: float) -> BoxPt:
    return BoxPt(box.x0 - by, box.y0 - by, box.x1 + by, box.y1 + by)


def _is_table(box: BoxPt, tables: Sequence[BoxPt]) -> bool:
    return any(-5 < box.y0 - t.y1 < 40 and min(box.x1, t.x1) > max(box.x0, t.x0) for t in tables)


def columns(view: PageView) -> list[tuple[float, float]]:
    """Return the horizontal extents of the columns of running text, left to right."""
    extents: list[list[float]] = []
    for wall in sorted(view.walls, key=lambda b: b.x0):
        for extent in extents:
            if min(extent[1], wall.x1) - max(extent[0], wall.x0) > 0.5 * min(extent[1] - extent[0], wall.width):
                extent[0], extent[1] = min(extent[0], wall.x0), max(extent[1], wall.x1)
                break
        else:
            extents.append([wall.x0, wall.x1])
    return [(a, b) for a, b in extents]


def reach_of(box: BoxPt, view: PageView, doc_columns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the width a caption speaks for: its column when it fits one, else the page."""
    for x0, x1 in columns(view) or doc_columns:
        if box.x0 >= x0 - 12 and box.x1 <= x1 + 12 and x1 - x0 < 0.75 * view.width:
            return x0 - 6, x1 + 6
    if box.width < 0.45 * view.width and not box.x0 < view.width / 2 < box.x1:
        # No column known: a caption that keeps to one half speaks for that half.
        half = view.width / 2
        return (0.0, half) if box.x1 <= half else (half, view.width)
    return 0.0, view.width


def hidden(a: BoxPt, b: BoxPt, walls: Iterable[BoxPt]) -> bool:
    """Say whether a wall stands between two boxes, one above the other."""
    top, bottom = (a, b) if a.y1 <= b.y0 + 0.5 * b.height else (b, a)
    for wall in walls:
        between = wall.y0 >= top.y1 - 4 and wall.y1 <= bottom.y0 + 4
        if between and min(wall.x1, a.x1) - max(wall.x0, a.x0) > 8:
            return True
    return False


def distance(
    atom: BoxPt, caption: BoxPt, reach: tuple[float, float], walls: Sequence[BoxPt], *, below: bool
) -> float | None:
    """Return the vertical distance from a picture to the caption below (or above) it, None when it can't be its own."""
    slack = min(20.0, 0.25 * atom.height)
    gap = caption.y0 - atom.y1 if below else atom.y0 - caption.y1
    if gap < -slack:
        return None
    overlap = min(atom.x1, reach[1]) - max(atom.x0, reach[0])
    if overlap < 0.5 * atom.width and overlap < 0.5 * (caption.width):
        return None
    if hidden(atom, caption, walls):
        return None
    return max(0.0, gap)


Assignment = dict[int, list[Atom]]


def assign(view: PageView, doc_columns: Sequence[tuple[float, float]], *, below: bool, min_pt: float) -> Assignment:
    """Tie the pictures of a page to its captions; keys are positions in `view.captions`.

    Args:
        below: Whether captions stand below their pictures in this document.
        min_pt: Shorter side of a picture that can be a figure by itself.
    """
    result: Assignment = {i: [] for i in range(len(view.captions))}
    boxes = [b for _, b in view.captions]
    reaches = [reach_of(b, view, doc_columns) for b in boxes]
    free = list(view.atoms)

    def nearest(atom: Atom, among: Iterable[int], *, under: bool) -> int | None:
        best: tuple[float, float, int] | None = None
        for i in among:
            walls = view.walls + [b for j, b in enumerate(boxes) if j != i]
            d = distance(atom.box, boxes[i], reaches[i], walls, below=under)
            if d is not None:
                off = abs(boxes[i].x0 + boxes[i].x1 - atom.box.x0 - atom.box.x1) / 2
                best = min(best, (d, off, i)) if best else (d, off, i)
        return best[2] if best else None

    for under in (below, not below):
        empty = [i for i in result if not result[i]]
        for wanted in (lambda a: a.is_image, lambda a: not a.is_image):
            for atom in [a for a in free if wanted(a) and a.short_side >= min_pt]:
                owner = nearest(atom, empty, under=under)
                if owner is None:
                    continue
                if not atom.is_image and not _belongs(atom, result[owner]):
                    continue
                result[owner].append(atom)
                free = [a for a in free if a is not atom]
    _take_beside(view, result, free, boxes, min_pt)
    _take_row_mates(view, result, free, boxes)
    _take_small(view, result, free, boxes, reaches, below)
    return result


def _belongs(drawing: Atom, taken: Sequence[Atom]) -> bool:
    """Say whether a drawing goes with the pictures a caption has: always with drawings, with images only close by."""
    images = [a for a in taken if a.is_image]
    if not images:
        return True
    whole = union_pt(a.box for a in images)
    in_row = min(drawing.box.y1, whole.y1) - max(drawing.box.y0, whole.y0) > 0.5 * drawing.box.height
    return drawing.short_side >= 30 and drawing.box.gap(whole) <= (60 if in_row else 25)


def _take_beside(view: PageView, result: Assignment, free: list[Atom], boxes: Sequence[BoxPt], min_pt: float) -> None:
    """Give pictures to captions that stand beside them and have none yet."""
    for i, caption in enumerate(boxes):
        if result[i]:
            continue
        near = [
            a
            for a in free
            if a.short_side >= min_pt
            and min(a.box.y1, caption.y1) - max(a.box.y0, caption.y0) > 0.5 * min(caption.height, a.box.height)
            and a.box.gap(caption) < 60
        ]
        if near:
            atom = min(near, key=lambda a: a.box.gap(caption))
            result[i].append(atom)
            free[:] = [a for a in free if a is not atom]


def _take_row_mates(view: PageView, result: Assignment, free: list[Atom], boxes: Sequence[BoxPt]) -> None:
    """Give a figure the pictures that stand in a row with its own and can't be seen by any caption."""
    changed = True
    while changed:
        changed = False
        for i, mine in result.items():
            for atom in list(free):
                for own in mine:
                    rows = min(atom.box.y1, own.box.y1) - max(atom.box.y0, own.box.y0)
                    apart = max(atom.box.x0, own.box.x0) - min(atom.box.x1, own.box.x1)
                    if (
                        rows > 0.6 * min(atom.box.height, own.box.height)
                        and apart <= BESIDE_PT
                        and atom.is_image == own.is_image
                        and atom.short_side >= 0.4 * own.short_side
                        and not any(
                            b.y0 > atom.box.y1 - 5 and _below_only(b, atom.box, own.box)
                            for b in boxes
                            if b is not boxes[i]
                        )
                    ):
                        mine.append(atom)
                        free[:] = [a for a in free if a is not atom]
                        changed = True
                        break


def _below_only(caption: BoxPt, atom: BoxPt, own: BoxPt) -> bool:
    under_atom = min(caption.x1, atom.x1) - max(caption.x0, atom.x0) > 0.3 * caption.width
    under_own = min(caption.x1, own.x1) - max(caption.x0, own.x0) > 0.3 * caption.width
    return under_atom and not under_own and caption.y0 - atom.y1 < 60


def _take_small(
    view: PageView,
    result: Assignment,
    free: list[Atom],
    boxes: Sequence[BoxPt],
    reaches: Sequence[tuple[float, float]],
    below: bool,
) -> None:
    """Give thin pictures (rows of a blot, legends) to the figure they stand in, or to a caption with nothing."""
    for atom in list(free):
        for i, mine in result.items():
            walls = view.walls + [b for j, b in enumerate(boxes) if j != i]
            if mine:
                whole = union_pt(a.box for a in mine)
                if atom.is_image and atom.box.gap(whole) <= 20 and not hidden(atom.box, boxes[i], walls):
                    if atom.box.y0 > boxes[i].y0 - 1 and whole.y1 <= boxes[i].y0 + 1:
                        continue
                    mine.append(atom)
                    free[:] = [a for a in free if a is not atom]
                    break
            elif distance(atom.box, boxes[i], reaches[i], walls, below=below) is not None and atom.box.width > 40:
                mine.append(atom)
                free[:] = [a for a in free if a is not atom]
                break
