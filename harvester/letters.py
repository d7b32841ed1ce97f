"""Panel letters in captions: which words speak of which panel. Below the stages; more than one reads captions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

MAX_CHARS = 12_000
"""Longer captions are not taken apart; the longest of real ones has about 8,000 characters."""

_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


@dataclass(frozen=True, slots=True)
class CaptionParts:
    """A caption taken apart.

    Attributes:
        text: The whole caption.
        pieces: In the order of the caption, what each stretch of it speaks of: labels, upper-cased, and the words. No
            label: it speaks of all panels.
        by_side: The labels are LEFT, RIGHT, TOP, BOTTOM.
    """

    text: str
    pieces: tuple[tuple[tuple[str, ...], str], ...] = ()
    by_side: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Every panel that is named, once, in the order of the caption."""
        return tuple(dict.fromkeys(label for labels, _ in self.pieces for label in labels))

    def text_for(self, label: str | None) -> str:
        """Return what applies to a panel: its own words and those for all; the whole caption for an unknown label."""
        if label is None or label not in self.labels:
            return self.text
        return " ".join(words for labels, words in self.pieces if words and (not labels or label in labels))


def ordinal(label: str) -> int | None:
    """Return 1 for "A", "I" or "1", 2 for the next; None for what is no label."""
    if len(label) == 1 and label.isalpha() and label.isascii():
        return ord(label.upper()) - 64
    if label.isdigit():
        return int(label)
    return _ROMAN.index(label.upper()) + 1 if label.upper() in _ROMAN else None


def split_caption(caption: str) -> CaptionParts:
    """Take a caption apart by the panel letters in it.

    Letters stand in brackets ("(a)", "(A, B)", "(A-C)", "((b), (c), and (d))"), before a bracket, point, colon or comma
    ("a)", "A.", "A:", "A,"), or bare at the start of a sentence ("a Kaplan-Meier plot. b ..."); before what they
    name or after it. The style that names the longest run from A on is taken.
    Without letters, the words left and right, or top and bottom.

    Returns:
        The parts; without labels when the caption can't be taken apart safely.
    """
    text = " ".join(caption.split())
    if len(text) > MAX_CHARS:
        return CaptionParts(text)
    best: list[_Mark] = []
    for style in _STYLES:
        marks = _run_of(style(text))
        if len({x for m in marks for x in m.labels}) > len({x for m in best for x in m.labels}):
            best = marks
    if best:
        return CaptionParts(text, _pieces(text, best))
    sides = _sides(text)
    return CaptionParts(text, _pieces(text, sides), by_side=True) if sides else CaptionParts(text)


@dataclass(frozen=True, slots=True)
class _Mark:
    labels: tuple[str, ...]
    start: int
    stop: int


_ONE = r"(?:\d{0,2}[A-Za-z]|[ivx]{1,4}|[IVX]{1,4})"
_JOIN = r"(?:\s*(?:,\s*and|,\s*&|,|;|and|&|/|[-–—‒−]|to|through)\s*)"
_LIST = rf"{_ONE}(?:{_JOIN}{_ONE}){{0,40}}"
_PANEL = r"(?:[Pp]anels?\s+|[Ff]ig(?:ure|\.)?s?\s*)?"
_BRACKETED = re.compile(rf"\(\s*{_PANEL}({_LIST})\s*(?:[).:]|,(?=\s)|;(?=\s))")
_NESTED = re.compile(
    rf"\(\s*(\({_ONE}\)(?:{_JOIN}\({_ONE}\)){{1,40}})\s*\)|(\({_ONE}\)(?:\s*(?:[-–—‒−]|to|through)\s*\({_ONE}\)))"
)
_START = r"(?:(?<=^)|(?<=[.;:,)]\s)|(?<=[.;:])(?=\d{0,2}[A-Z])|(?<=[.;:]\s[Pp]anel\s)|(?<=\sand\s))"
_CLOSED = re.compile(rf"{_START}{_PANEL}({_LIST})\)")
_POINTED = re.compile(rf"{_START}{_PANEL}({_LIST})\s?[.:](?=\s|[A-Z])")
_COMMA = re.compile(rf"(?:(?<=^)|(?<=[.;:]\s)){_PANEL}(?:({_ONE}),(?=\s[A-Z\d])|({_ONE}{_JOIN}{_LIST}),(?=\s))")
_BARE = re.compile(rf"(?:(?<=^)|(?<=[.;:]\s)){_PANEL}({_LIST})(?=\s\S)(?!\s?[.,:;)])")
_PREFIX = re.compile(r"^\d+(?=[A-Za-z]$)")


def expand_labels(listed: str) -> tuple[str, ...]:
    """Return the labels of a list such as "A-C and E"; nothing when it is no list of labels."""
    if re.fullmatch(r"H\s?&\s?E", listed):
        return ()
    tokens = re.findall(rf"[-–—‒−]|\bto\b|\bthrough\b|(?<![A-Za-z]){_ONE}(?![A-Za-z])", listed)
    labels: list[str] = []
    is_range = False
    for word in tokens:
        if word in ("-", "–", "—", "‒", "−", "to", "through"):
            is_range = bool(labels)
            continue
        label = _PREFIX.sub("", word).upper()
        if is_range:
            low, high = ordinal(labels[-1]), ordinal(label)
            both_letters = len(labels[-1]) == len(label) == 1
            if low is None or high is None or not low < high <= low + 25:
                return ()
            between = [
                chr(64 + n) if both_letters else _ROMAN[n - 1] for n in range(low + 1, high) if both_letters or n <= 12
            ]
            labels += [*between, label]
        else:
            labels.append(label)
        is_range = False
    return tuple(dict.fromkeys(labels))


def _bracketed(text: str) -> list[_Mark]:
    marks = []
    for match in _NESTED.finditer(text):
        marks.append(_Mark(expand_labels(re.sub(r"[()]", "", match[1] or match[2])), match.start(), match.end()))
    for match in _BRACKETED.finditer(text):
        if any(m.start <= match.start() < m.stop for m in marks):
            continue
        # "(A, ×200)" names its panel and goes on: what follows is said of that panel
        stop = match.end() if match[0][-1] in ").:" else match.end() - 1
        marks.append(_Mark(expand_labels(match[1]), match.start(), stop))
    return sorted(marks, key=lambda mark: mark.start)


def _by(pattern: re.Pattern[str]) -> Callable[[str], list[_Mark]]:
    return lambda text: [
        _Mark(expand_labels(m[1] or m[m.re.groups]), m.start(), m.end()) for m in pattern.finditer(text)
    ]


def _bare(text: str) -> list[_Mark]:
    marks = _by(_BARE)(text)
    return [m for m in marks if not (m.labels == ("A",) and re.match(r"A\s+[a-z]", text[m.start :]) and len(marks) < 3)]


def _pointed(text: str) -> list[_Mark]:
    """Return "A.", "A:" and with them bare lists such as "B-E histopathology"."""
    marks = _by(_POINTED)(text)
    lists = [m for m in (*_by(_BARE)(text), *_by(_COMMA)(text)) if len(m.labels) > 1]
    marks += [m for m in lists if not any(other.start <= m.start < other.stop for other in marks)]
    return sorted(marks, key=lambda mark: mark.start)


_STYLES: tuple[Callable[[str], list[_Mark]], ...] = (_bracketed, _by(_CLOSED), _pointed, _by(_COMMA), _bare)


def _run_of(marks: list[_Mark]) -> list[_Mark]:
    """Return the marks of the labels that follow each other without a gap from the first on; nothing for one alone."""
    named = {label for mark in marks for label in mark.labels}
    roman = {"I", "II"} <= named
    ordered = list(_ROMAN) if roman and "A" not in named else [chr(64 + n) for n in range(1, 27)]
    run: list[str] = []
    for label in ordered:
        if label not in named:
            break
        run.append(label)
    if len(run) < 2:
        return []
    kept = [_Mark(tuple(x for x in m.labels if x in run), m.start, m.stop) for m in marks]
    kept = [m for m in kept if m.labels]
    # in a real caption the letters come up in order
    firsts = [min(m.start for m in kept if label in m.labels) for label in run]
    disorder = sum(b < a for a, b in pairwise(firsts))
    return kept if disorder <= len(run) // 4 else []


def _place_of(text: str, marks: list[_Mark]) -> str:
    """Return whether most letters stand "before" what they name, "after" it, or "inside" a sentence about it."""
    votes = {"before": 0, "after": 0, "inside": 0}
    for mark in marks:
        before, after = text[: mark.start].rstrip(), text[mark.stop :].lstrip()
        in_bracket = before.count("(") > before.count(")")
        opens = not in_bracket and (not before or before[-1] in ".;:," or before.endswith(" and"))
        closes = not after or after[0] in ".;,)"
        votes["inside" if opens == closes else "before" if opens else "after"] += 1
    return max(votes, key=lambda place: votes[place])


_SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z(*#†‡])|(?<=[.])(?=[A-Z]{1,2}[,:])")
_SHARED = re.compile(
    r"^(?:\(?(?:all|both|each|scale|bars?|original|magnification|images|arrow|abbrev|data|error|n\s*=|\*|#|†|values|"
    r"hematoxylin|haematoxylin|h&e|h\s&\se|statistic|results|every|the scale)|[A-Z][\w-]{0,7}(?:,|:|\s=)\s)",
    re.IGNORECASE,
)
_SCALE = re.compile(r"[×x]\s?\d|\d\s?[×xX]\b|scale|magnif|\bbars?\b", re.IGNORECASE)


def _pieces(text: str, marks: list[_Mark]) -> tuple[tuple[tuple[str, ...], str], ...]:
    place = _place_of(text, marks)
    if place == "inside":
        return _by_sentence(text, marks)
    pieces: list[tuple[tuple[str, ...], str]] = []
    at = 0
    last: tuple[str, ...] = ()
    if place == "after":
        for mark in marks:
            stop = mark.stop + (1 if text[mark.stop : mark.stop + 1] in (".", ",", ";") else 0)
            *earlier, own = _cut(text[at:stop])
            pieces += [(last, " ".join(earlier)), (mark.labels, own)]
            at, last = stop, mark.labels
        own, shared = _tail(_cut(text[at:]), pieces)
        pieces += [(last, own), ((), shared)]
    else:
        marks = _openings(text, marks)
        pieces.append(((), text[: marks[0].start].strip()))
        for mark, following in zip(marks, [*marks[1:], None], strict=True):
            first, *more = _cut(text[mark.start : following.start if following else len(text)])
            own, shared = _tail(more, pieces) if following is None else (" ".join(more), "")
            pieces += [(mark.labels, f"{first} {own}".strip()), ((), shared)]
    return tuple((labels, words) for labels, words in pieces if words)


def _openings(text: str, marks: list[_Mark]) -> list[_Mark]:
    """Return the marks that open a part; one in mid-sentence that only repeats letters is a reference."""
    kept: list[_Mark] = []
    seen: set[str] = set()
    for mark in marks:
        before = text[: mark.start].rstrip()
        if not seen.issuperset(mark.labels) or (before and before[-1] in ".;:"):
            kept.append(mark)
        seen.update(mark.labels)
    return kept


def _by_sentence(text: str, marks: list[_Mark]) -> tuple[tuple[tuple[str, ...], str], ...]:
    pieces: list[tuple[tuple[str, ...], str]] = []
    at = 0
    for sentence in _cut(text):
        start = text.index(sentence, at)
        at = start + len(sentence)
        labels = tuple(dict.fromkeys(x for m in marks if start <= m.start < at for x in m.labels))
        pieces.append((labels, sentence))
    return tuple(pieces)


def _cut(text: str) -> list[str]:
    return [part for part in (part.strip() for part in _SENTENCE.split(text)) if part] or [""]


def _tail(sentences: list[str], pieces: list[tuple[tuple[str, ...], str]]) -> tuple[str, str]:
    """Return what the sentences after the last letter say of its panel, and what they say of all.

    A scale at the very end is for all unless other panels state their own.
    """
    others_have = any(labels and _SCALE.search(words) for labels, words in pieces)
    for k, sentence in enumerate(sentences):
        if _SHARED.match(sentence) and not (others_have and _SCALE.search(sentence)):
            return " ".join(sentences[:k]), " ".join(sentences[k:])
    return " ".join(sentences), ""


_SIDES = {"left": "LEFT", "right": "RIGHT", "top": "TOP", "upper": "TOP", "bottom": "BOTTOM", "lower": "BOTTOM"}
_SIDE = re.compile(r"\(\s*(left|right|top|bottom|upper|lower)(?:\s+(?:panel|image|picture|side|half))?\s*\)|"
    r"(?:(?<=^)|(?<=[.;:,]\s))(left|right|top|bottom|upper|lower)(?:\s+(?:panel|image|picture))?\s*[:,]|"
    r"(?:(?<=^)|(?<=[.;:,]\s))(left|right|top|bottom|upper|lower)\s+(?:panel|image|picture)\b", re.I)  # fmt: skip


def _sides(text: str) -> list[_Mark]:
    marks = [_Mark((_SIDES[(m[1] or m[2] or m[3]).lower()],), m.start(), m.end()) for m in _SIDE.finditer(text)]
    named = [label for mark in marks for label in mark.labels]
    return marks if sorted(named) in (["LEFT", "RIGHT"], ["BOTTOM", "TOP"]) else []
