"""Figure captions on pages: which lines begin one, how far it reaches, and which figure of the XML it is."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from harvester.documents.pdf import TextLine
from harvester.geometry import BoxPt

_LABEL = re.compile(
    r"""^[\W_]{0,3}
    (?P<prefix>(?:supplement\w*|suppl?\.?|extended\s+data|appendix|online|additional|web)\s+)?
    (?P<kind>fig(?:ure|ura|ur|s)?|abb(?:ildung)?|scheme|chart|plate|photo(?:graph)?|image|graph|diagram|map|illustration|box)\b
    [\s.:\-–—]{0,4}
    (?P<number>[A-Z]{0,2}[.\-]?\d{1,3}(?:[.\-]\d{1,2})?[A-Za-z]?|[IVX]{1,5})(?![\w])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TABLE = re.compile(r"^\W{0,2}(?:supplementary\s+)?table\s*[\s.:\-–]{0,3}(?:[A-Z]?\d{1,3}|[IVX]{1,5})\b", re.IGNORECASE)

COMPARED_CHARS = 80
"""Letters and digits of a caption's beginning that are compared."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A text on a page that begins like a caption.

    Attributes:
        page_index: From 0.
        kind: "fig", "scheme", ... ; "" for one found by its words alone.
        number: As printed, upper case, "" for one found by its words alone.
        label: As printed, e.g. "Figure 2".
        text: What follows the label, white space collapsed.
        box: Round all its lines, in displayed points.
        turn: Reading direction of its lines.
        n_lines: How many lines it has.
        manner: How much its first line looks like a caption by itself, higher is surer; 2 is likely.
    """

    page_index: int
    kind: str
    number: str
    label: str
    text: str
    box: BoxPt
    turn: int
    n_lines: int
    manner: int


@dataclass(frozen=True, slots=True)
class TypeArea:
    """How the running text of a document is set.

    Attributes:
        size_pt: Its font size.
        width_pt: The usual width of its lines.
    """

    size_pt: float
    width_pt: float


def measure_type_area(pages: Sequence[Sequence[TextLine]]) -> TypeArea:
    """Find the size and line width that most characters of the document share."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[round(line.size_pt * 2) / 2] += len(line.text)
    size = sizes.most_common(1)[0][0] if sizes else 10.0
    widths: Counter[int] = Counter()
    for lines in pages:
        for line in lines:
            if abs(line.size_pt - size) <= 0.6 and line.turn == 0 and len(line.text) >= 20:
                widths[round(line.box.width / 12)] += len(line.text)
    return TypeArea(size, 12.0 * (widths.most_common(1)[0][0] if widths else 20))


def parse_label(label: str | None) -> tuple[str, str] | None:
    """Return (kind, number) of a label such as "Fig. 2" or "Scheme S1"; None when it has no such form.

    >>> parse_label("Supplementary Figure 3")
    ('fig', 'S3')
    """
    match = _LABEL.match(unicodedata.normalize("NFKC", label or ""))
    if match is None:
        return None
    kind = match["kind"].lower()
    number = re.sub(r"[.\-]", "", match["number"]).upper()
    if match["prefix"] and not number.startswith(("S", "A")):
        number = ("E" if match["prefix"].lower().startswith("extended") else "S") + number
    return ("fig" if kind.startswith(("fig", "abb")) else kind), number


def is_table_caption(text: str) -> bool:
    """Say whether a line begins like the caption of a table."""
    return _TABLE.match(text) is not None


def plain(text: str) -> str:
    """Return letters and digits only, lower case, for comparing texts set in different ways."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def likeness(found: str, wanted: str) -> float:
    """Return how alike two captions begin, 0 to 1; 0 when either is too short to tell."""
    b = plain(wanted)[:COMPARED_CHARS]
    a = plain(found)[: len(b)]
    if not a or not b:
        return 0.0
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def find_captions(page_index: int, lines: Sequence[TextLine], area: TypeArea) -> list[Caption]:
    """Return everything on a page that begins like a figure caption, running text included; the caller chooses."""
    found = []
    for at, line in enumerate(lines):
        match = _LABEL.match(unicodedata.normalize("NFKC", line.text))
        if match is None:
            continue
        parsed = parse_label(line.text)
        assert parsed is not None
        rest = unicodedata.normalize("NFKC", line.text)[match.end() :]
        reach = _reach(lines, at)
        following = " ".join(lines[i].text for i in reach[1:])
        text = re.sub(r"^[\s.:|\-–—)\]]+", "", f"{rest} {following}").strip()
        manner = 0
        if re.match(r"\s*[.:|–—-]", rest) or not rest.strip():
            manner += 2
        first = text[:1]
        manner += 1 if first.isupper() or first in "(\"'“[" or first.isdigit() else -2
        manner += int(line.is_bold) + int(line.size_pt < area.size_pt - 0.4)
        if at == 0 or lines[at - 1].block != line.block:
            manner += 1
        elif lines[at - 1].box.width > 0.7 * area.width_pt and not line.is_bold:
            manner -= 2  # a sentence of a paragraph that happens to begin its line
        found.append(
            Caption(
                page_index, *parsed, label=" ".join(match.group().split()), text=" ".join(text.split()),
                box=_box(lines, reach), turn=line.turn, n_lines=len(reach), manner=manner,
            )
        )  # fmt: skip
    return found


def find_words(page_index: int, lines: Sequence[TextLine], wanted: str) -> Caption | None:
    """Find a caption by its first words, for figures without a number."""
    start = plain(wanted)[:COMPARED_CHARS]
    if len(start) < 12:
        return None
    for at, line in enumerate(lines):
        if plain(line.text)[:10] != start[:10]:
            continue
        reach = _reach(lines, at)
        text = " ".join(lines[i].text for i in reach)
        if likeness(text, wanted) >= 0.8:
            return Caption(page_index, "", "", "", text, _box(lines, reach), line.turn, len(reach), 2)
    return None


def _box(lines: Sequence[TextLine], reach: Sequence[int]) -> BoxPt:
    box = lines[reach[0]].box
    for i in reach[1:]:
        box = box.union(lines[i].box)
    return box


def upright(box: BoxPt, turn: int, width_pt: float, height_pt: float) -> BoxPt:
    """Map a box to the page turned so that text of that reading direction runs to the right."""
    if turn == 90:
        return BoxPt(height_pt - box.y1, box.x0, height_pt - box.y0, box.x1)
    if turn == 270:
        return BoxPt(box.y0, width_pt - box.x1, box.y1, width_pt - box.x0)
    if turn == 180:
        return BoxPt(width_pt - box.x1, height_pt - box.y1, width_pt - box.x0, height_pt - box.y0)
    return box


def displayed(box: BoxPt, turn: int, width_pt: float, height_pt: float) -> BoxPt:
    """Undo `upright`; width and height are those of the page as displayed."""
    if turn == 90:
        return BoxPt(box.y0, height_pt - box.x1, box.y1, height_pt - box.x0)
    if turn == 270:
        return BoxPt(width_pt - box.y1, box.x0, width_pt - box.y0, box.x1)
    return upright(box, turn, width_pt, height_pt)


def _reach(lines: Sequence[TextLine], at: int) -> list[int]:
    """Return the lines of the caption that begins at a line: those close below it in the same column and size."""
    first = lines[at]
    # Only differences matter here, so the page is taken as 0 by 0.
    box = upright(first.box, first.turn, 0, 0)
    reach, last = [at], box
    for i in range(at + 1, min(len(lines), at + 80)):
        line = lines[i]
        if line.turn != first.turn:
            continue
        here = upright(line.box, line.turn, 0, 0)
        # Beside a caption may stand the caption of the next figure: only its own block goes on in the same row.
        same_row = (
            line.block == lines[reach[-1]].block
            and abs(here.y1 - last.y1) < 0.5 * first.size_pt
            and -2 < here.x0 - last.x1 < 3 * first.size_pt
            and not _LABEL.match(line.text)
        )
        below = -0.6 * first.size_pt < here.y0 - last.y1 < 0.75 * first.size_pt
        overlap = min(here.x1, box.x1) - max(here.x0, box.x0)
        aligned = overlap > 0 and here.x0 > box.x0 - 1.5 * first.size_pt
        alike = abs(line.size_pt - lines[reach[-1]].size_pt) <= 1.3 or line.block == first.block
        if not same_row and not (below and aligned):
            if here.y0 - last.y1 > 3 * first.size_pt or here.y1 < box.y0:
                break
            continue
        if not alike or (_LABEL.match(line.text) and i > at + 1 and line.block != first.block):
            break
        reach.append(i)
        box = box.union(here)
        last = here if not same_row else last.union(here)
    return reach
