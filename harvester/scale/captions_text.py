"""Captions made plain for reading, and the panels that a place in a caption speaks of."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from harvester.letters import MAX_CHARS, expand_labels, split_caption

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_PLAIN = str.maketrans("✕✖⨯⨉╳хХ–—‒−‑μｘ[]", "×××××××-----µx()")
_STAIN = re.compile(r"\bH(?:\s?(?:&|and|/)\s?|\s?\+\s?)E(?![a-z])")
_SENTENCE_END = re.compile(
    r"(?<=[.])(?<!Fig\.)(?<!orig\.)(?<!mag\.)(?<!\sNo\.)\s+(?=[A-Z(*#])|(?<=[a-z)][.])(?=\([A-Z]\))"
)

_LETTER = r"(?<![A-Za-z0-9&'’+µ])(?![xX]\s?\d)[A-Za-z](?![A-Za-z0-9'’+]|-[A-Za-z]{2})"
_ONE = rf"(?:\({_LETTER}\)|{_LETTER})"
_JOIN = r"\s?(?:,\s?and\s|,\s?&|,|;|\band\s|&|/|-|\bto\s|\bthrough\s)\s?"
_LIST = re.compile(rf"\(?{_ONE}(?:{_JOIN}{_ONE}){{0,25}}\)?")
_POINTER = re.compile(r"\b(?:in|for|on|of|panels?|images?|pictures?|fig\.?|figs\.?|figures?)\s?\(?$", re.IGNORECASE)
_FOR_ALL = re.compile(
    r"\bthroughout\b|\b(?:applies|apply|applicable|valid|same|used)\b[^.;]{0,25}\b(?:all|every|each|other)\b"
    r"|\b(?:in|for|of|to) (?:all|every|each)\b|\ball (?:the )?(?:panels?|images?|figures?|photo\w*|micro\w*|"
    r"pictures?|sections?|"
    r"scale bars?|bars?|magnifications?|original)\b",
    re.IGNORECASE,
)
_OF_IMAGES = re.compile(
    r"(?:the |all )?(?:tissues?|images?|pictures?|photo\w*|micrographs?|original magnifications?|magnifications?)\b",
    re.IGNORECASE,
)
_THE_IMAGES = re.compile(r"\bthe (?:images|pictures|micrographs|photographs|photomicrographs|figures)\b", re.IGNORECASE)
_NAMED_PANELS = re.compile(
    rf"\(\s?(?:panels? )?(?P<list>{_ONE}(?:{_JOIN}{_ONE}){{0,25}})\s?\)|"
    rf"\bpanels? (?P<l2>{_ONE}(?:{_JOIN}{_ONE}){{0,25}})",
    re.IGNORECASE,
)
_OPENING = re.compile(rf"(?<=[.;:]\s)[Pp]anels? (?P<list>{_LETTER}(?:{_JOIN}{_LETTER}){{0,25}})(?=\s[a-z])")
_LIST_GAP = re.compile(r"\s?(?:,\s?and|,\s?&|,|;|and|&|/|or)\s?")
_MICROSCOPY = re.compile(
    r"stain|histolog|histopath|\bsections?\b|Ha+E\b|ha?ematox|immuno(?:hist|fluo|stain)|microscop|micrograph|trichrome|magnif",
    re.IGNORECASE,
)

_LIGHT_WORDS = (
    "immunohistochemistry immunohistochemical oil red silver giemsa congo alcian blue sirius picrosirius reticulin "
    "toluidine periodic acid schiff "
    "magnification magnifications magnified original final total scale bar bars is are was were at in of for and "
    "the panel panels image images figure figures fig figs both represent represents represented indicate "
    "indicates equal equals correspond corresponds to denote denotes show shows measure measures length lengths "
    "size sizes each shown using under with taken stain stained staining hae haaae haaaaae he pas hematoxylin "
    "haematoxylin eosin ihc objective objectives lens masson trichrome left right top bottom upper lower middle "
    "low high higher power respectively inset insets micrograph micrographs photomicrograph photomicrographs "
    "white black all x row rows applies apply all used throughout column columns on as or main long large small "
    "picture pictures a section sections mag"
)
_LIGHT = frozenset(_LIGHT_WORDS.split())
MAX_GAP_CHARS = 90


@dataclass(frozen=True, slots=True)
class Prepared:
    """A caption ready to be read.

    Attributes:
        text: White space collapsed, invisible characters left out.
        flat: The same length; every multiplication sign is ×, every dash -, every micro sign µ, square brackets
            are round, "H&E" is one word.
        known: Panel labels, upper-cased: of the figure and of the caption.
        is_given: Whether the figure's letters are known, so that there are no others.
        sentence_starts: Where sentences begin, from 0.
        piece_of: For each character the index of its piece; one piece when the caption can't be split.
        piece_labels: For each piece the labels it speaks of.
    """

    text: str
    flat: str
    known: frozenset[str]
    is_given: bool
    sentence_starts: tuple[int, ...]
    piece_of: Sequence[int]
    piece_labels: tuple[tuple[str, ...], ...]

    def sentence(self, at: int) -> tuple[int, int]:
        """Return where the sentence round a place begins and ends."""
        k = bisect_right(self.sentence_starts, at) - 1
        stop = self.sentence_starts[k + 1] if k + 1 < len(self.sentence_starts) else len(self.flat)
        return self.sentence_starts[k], stop


def prepare(caption: str, letters: Sequence[str] = ()) -> Prepared:
    """Make a caption plain. What goes beyond `MAX_CHARS` is not read: no real caption is that long."""
    text = " ".join(caption[: 4 * MAX_CHARS].translate(_INVISIBLE).split())[:MAX_CHARS]
    flat = _STAIN.sub(lambda m: "H" + "a" * (len(m[0]) - 2) + "E", text.translate(_PLAIN))
    parts = split_caption(text)
    pieces = [] if parts.by_side else [p for p in parts.pieces if p[1]]
    labels: frozenset[str] = frozenset() if parts.by_side else frozenset(parts.labels)
    # the pieces hold every character of the caption in order, but for white space
    ends = list(accumulate(len("".join(words.split())) for _, words in pieces))
    piece_of, n_seen = [], 0
    for char in text:
        piece_of.append(min(bisect_right(ends, n_seen), max(len(ends) - 1, 0)))
        n_seen += not char.isspace()
    return Prepared(
        text,
        flat,
        labels | {x.upper() for x in letters},
        bool(letters),
        (0, *(m.end() for m in _SENTENCE_END.finditer(flat))),
        piece_of,
        tuple(p[0] for p in pieces) or ((),),
    )


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    stop: int
    value: int | None
    """Index of the value; None for a list of letters."""
    labels: tuple[str, ...] = ()


def tie_to_panels(
    said: Prepared, spans: Sequence[tuple[int, int]], masked: Sequence[tuple[int, int]] = ()
) -> list[tuple[str, ...]]:
    """Say for every value which panels it is said of.

    Letters next to a value win ("(A, ×100)", "×100 in A and ×400 in B", "bars: A 100, B 20 µm"); without them the part
    of the caption that the value stands in.

    Args:
        spans: Start and end of each value, in order.
        masked: Spans of other values, which may stand between a value and its letters.

    Returns:
        For each value its labels, upper-cased and in order; none for the whole figure.
    """
    flat = said.flat
    for start, stop in masked:
        flat = flat[:start] + " " * (stop - start) + flat[stop:]
    result: list[tuple[str, ...] | None] = [None] * len(spans)
    by_sentence: dict[tuple[int, int], list[int]] = {}
    for k, (start, _) in enumerate(spans):
        by_sentence.setdefault(said.sentence(start), []).append(k)
    for (start, stop), values in by_sentence.items():
        if _FOR_ALL.search(said.flat, start, stop):
            for k in values:
                result[k] = ()
        tokens = [_Token(*spans[k], k) for k in values]
        tokens += _letter_lists(said, flat, start, stop, [spans[k] for k in values])
        for run in _runs(flat, sorted(tokens, key=lambda t: t.start)):
            for k, found in _tie_run(said, flat, run).items():
                if result[k] is None:
                    result[k] = found
    by_part = [_by_part(said, spans, k) if found is None else None for k, found in enumerate(result)]
    owned = {labels for labels in by_part if labels}
    return [
        found if found is not None else (part or _of_the_last(said, start, owned) if part is not None else ())
        for found, part, (start, _) in zip(result, by_part, spans, strict=True)
    ]


def _by_part(said: Prepared, spans: Sequence[tuple[int, int]], k: int) -> tuple[str, ...]:
    """Return whom the part of the caption round a value speaks of; none when it speaks of the whole figure."""
    begin, end = said.sentence(spans[k][0])
    if _OF_IMAGES.match(said.flat, begin) or _THE_IMAGES.search(said.flat, begin, end):
        return ()
    piece = said.piece_of[spans[k][0]]
    labels = said.piece_labels[piece]
    series = _series(said.flat, spans, k)
    if len(series) == len(labels) > 1 and re.match(r"[^.;]{0,24}respectively", said.flat[spans[series[-1]][1] :]):
        return (labels[series.index(k)],)
    if len(labels) == 1 or (not labels and len(said.piece_labels) > 1):
        return labels
    named = [
        m
        for m in _NAMED_PANELS.finditer(said.flat, begin, spans[k][0])
        if said.known.issuperset(expand_labels(re.sub(r"[()]", " ", (m["list"] or m["l2"])).strip()))
    ]
    here = tuple(
        dict.fromkeys(x for m in named for x in expand_labels(re.sub(r"[()]", " ", (m["list"] or m["l2"])).strip()))
    )
    opening = list(_OPENING.finditer(said.flat, bisect_left(said.piece_of, piece), spans[k][0]))
    if not here and opening:
        here = expand_labels(opening[-1]["list"])
    if not labels or set(here) < set(labels):
        return here or labels
    return labels


def _series(flat: str, spans: Sequence[tuple[int, int]], k: int) -> list[int]:
    """Return the indexes of the values that stand in one list with a value."""
    low = high = k
    while low > 0 and _LIST_GAP.fullmatch(flat[spans[low - 1][1] : spans[low][0]]):
        low -= 1
    while high + 1 < len(spans) and _LIST_GAP.fullmatch(flat[spans[high][1] : spans[high + 1][0]]):
        high += 1
    return list(range(low, high + 1))


def _of_the_last(said: Prepared, at: int, owned: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the last panel for a value behind it that only seems to be said of all.

    It is the last panel's own when others have theirs, or when only its words speak of microscopy.
    """
    piece = said.piece_of[at]
    labelled = [k for k, labels in enumerate(said.piece_labels) if labels]
    if said.piece_labels[piece] or not labelled or piece < labelled[-1]:
        return ()
    begin, end = said.sentence(at)
    if _OF_IMAGES.match(said.flat, begin) or _THE_IMAGES.search(said.flat, begin, end):
        return ()
    last = said.piece_labels[labelled[-1]]
    if owned - {last}:
        return last
    words: dict[int, str] = {}
    for char, k in zip(said.flat, said.piece_of, strict=True):
        words[k] = words.get(k, "") + char
    seen = [k for k in labelled if _MICROSCOPY.search(words.get(k, ""))]
    return last if seen and all(said.piece_labels[k] == last for k in seen) else ()


def _letter_lists(said: Prepared, flat: str, start: int, stop: int, spans: list[tuple[int, int]]) -> list[_Token]:
    tokens = []
    for match in _LIST.finditer(flat, start, stop):
        begin, end = match.span()
        if any(begin < b and a < end for a, b in spans):
            continue
        bare = re.sub(r"[()]", " ", match[0]).strip()
        labels = expand_labels(bare)
        pointed = bool(_POINTER.search(flat, max(start, begin - 12), begin))
        bracketed = match[0].startswith("(") or flat[begin - 1 : begin] == "("
        if not labels:
            continue
        heads = re.sub(r"and|through|to", "", bare).isupper() and re.match(
            r"\s?[,:;=]?\s?[×xX]?\s?\d", flat[end : end + 6]
        )
        foreign = not said.known.issuperset(labels)
        if foreign and (said.is_given or not (bracketed or pointed or heads)):
            continue
        if (
            (bare == "a" or (bare == "A" and not pointed))
            and not bracketed
            and re.match(r"\s[a-z]", flat[end : end + 2])
        ):
            continue
        if len(bare) == 1 and bare.islower() and not (bracketed or pointed):
            continue
        tokens.append(_Token(begin, end, None, labels))
    return tokens


def _runs(flat: str, tokens: list[_Token]) -> list[list[_Token]]:
    """Cut the tokens of a sentence where more than light words stand between two of them."""
    runs: list[list[_Token]] = []
    for token in tokens:
        if runs and is_light(flat[runs[-1][-1].stop : token.start]):
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs


def is_light(gap: str) -> bool:
    """Whether a stretch of caption says nothing but how letters, bars and numbers hang together."""
    if len(gap) > MAX_GAP_CHARS:
        return False
    words = re.findall(r"[A-Za-z]+|\d|[×%<>±*]", gap)
    return all((len(word) == 1 and word.isalpha()) or word.lower() in _LIGHT for word in words)


def _tie_run(said: Prepared, flat: str, run: list[_Token]) -> dict[int, tuple[str, ...]]:
    groups: list[list[_Token]] = []
    for token in run:
        if groups and (groups[-1][0].value is None) == (token.value is None):
            groups[-1].append(token)
        else:
            groups.append([token])
    tied: dict[int, tuple[str, ...]] = {}
    after = _letters_follow(flat, groups)
    for k, group in enumerate(groups):
        if group[0].value is None:
            continue
        order = (k + 1, k - 1) if after else (k - 1, k + 1)
        for other in order:
            if not 0 <= other < len(groups) or (other == order[1] and len(groups) > 2):
                continue
            near = groups[other][0] if other > k else groups[other][-1]
            value = group[-1] if other > k else group[0]
            gap = flat[value.stop : near.start] if other > k else flat[near.stop : value.start]
            pointed = other > k and re.search(r"\b(?:in|for|on|of|panels?)\b", gap)
            same_piece = said.piece_of[near.start] == said.piece_of[value.start]
            said_before = other < k and re.search(r"\b(?:is|are|at|shown)\b", gap)
            if not (pointed or said_before or same_piece) or (
                other > k and not pointed and re.search(r"[.;]", gap) and len(group) == 1
            ):
                continue
            lists = groups[other]
            labels = tuple(dict.fromkeys(x for token in lists for x in token.labels))
            together = flat[min(group[0].start, lists[0].start) : max(group[-1].stop, lists[-1].stop) + 16]
            one_bracket = "(" not in together[:-16].strip("(") or "respectively" in together
            gaps = [flat[a.stop : b.start] for a, b in pairwise(group)]
            one_list = bool(gaps) and all(_LIST_GAP.fullmatch(gap) for gap in gaps)
            for n, token in enumerate(group):
                zipped = one_list and len(labels) == len(group) and one_bracket
                lists_zip = one_list and len(lists) == len(group) and "respectively" in together
                assert token.value is not None
                tied[token.value] = lists[n].labels if lists_zip else (labels[n],) if zipped else labels
            break
    return tied


def _letters_follow(flat: str, groups: list[list[_Token]]) -> bool:
    """Whether letters stand behind what is said of them: "×100 in A", as against "A, ×100"."""
    if len(groups) < 2:
        return False
    first, last = groups[0][0].value is not None, groups[-1][0].value is not None
    if first != last:
        return first
    for a, b in pairwise(groups):
        if a[0].value is not None and re.search(r"\b(?:in|for|on|of|panels?)\b", flat[a[-1].stop : b[0].start]):
            return True
    return first
