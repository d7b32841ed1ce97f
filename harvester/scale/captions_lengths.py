"""Lengths in the words of a caption: of scale bars, and of a side of the picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from harvester.scale.captions_text import Prepared, is_light

_SPELLED = {
    "one": 1.0, "two": 2.0, "five": 5.0, "ten": 10.0, "twenty": 20.0, "twenty-five": 25.0, "twenty five": 25.0,
    "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "hundred": 100.0, "a hundred": 100.0, "one hundred": 100.0,
    "two hundred": 200.0, "two hundred and fifty": 250.0, "five hundred": 500.0, "one thousand": 1000.0,
}  # fmt: skip
_UM_PER_UNIT: tuple[tuple[str, float], ...] = (
    # "pm" and "lm" are µ lost on the way; nobody draws a bar of picometres
    (r"µ\s?m|µ|um|pm|lm|mkm|microns?|micro\s?met(?:er|re)s?|micro\s?m", 1.0),
    (r"mm|millimet(?:er|re)s?", 1000.0),
    (r"nm|nanomet(?:er|re)s?", 0.001),
    (r"cm|centimet(?:er|re)s?", 10_000.0),
    (r"m", 1.0),
)
_UNIT = "|".join(unit for unit, _ in _UM_PER_UNIT)
_DIGITS = r"\d{1,3}[, ]000|\d{1,4}(?:[.,·]\d{1,3})?"
_WORD_NUMBERS = "|".join(sorted(_SPELLED, key=len, reverse=True))
_LENGTH = rf"(?<![\w.,×])(?P<v>{_DIGITS}|(?:{_WORD_NUMBERS})\b)(?:(?:\s?-?\s?)(?P<u>{_UNIT})(?![A-Za-z0-9]|\d|[²³2]))?"
_VALUE = re.compile(_LENGTH, re.IGNORECASE)
_BAR = re.compile(
    r"\b(?:(?:scale|calibration|magnification|size|length)[- ]?)?bars?\b|\b(?:scale|size|calibration) ?markers?\b|"
    r"\bscale(?:s| is| are)?(?=\s?[:=,(]| \d| in\b)|\bscalebars?\b",
    re.IGNORECASE,
)
_NO_BAR = re.compile(r"\berror\s?$|\b(?:white|black|grey|gray|open|closed|filled|solid)\s?$", re.IGNORECASE)
_BEFORE_BAR = re.compile(
    rf"{_LENGTH}[- ]?(?:long )?\(?(?:(?:scale|calibration)[- ]?)?(?:bars?|markers?)\b", re.IGNORECASE
)
_WIDTH = re.compile(
    r"\b(?:(?:field|image|picture|frame|photograph|micrograph|"
    r"panel)(?: of view)?s?(?:\s?\(FOV\))?(?:'s)? (?:width|side)|"
    r"width of (?:the |each |every )?(?:field|image|picture|frame|panel|micrograph)s?(?: of view)?|"
    r"horizontal field(?: width)?|"
    r"field of view|fields of view|FOV|HFW)\b\s?[,:=(]?\s?(?:is |was |are |of |measures |equals |= ?|about |"
    r"approximately )*",
    re.IGNORECASE,
)
_WIDE = re.compile(
    rf"\b(?:images?|fields?|pictures?|panels?|micrographs?|frames?)\b[^.;]{{0,30}}?\s{_LENGTH} (?:wide|in width|"
    rf"across)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FoundLength:
    """A length in a prepared caption; `unit` as printed, with one micro sign for both."""

    start: int
    stop: int
    """Where the number and its unit stand."""
    kind: Literal["scale_bar", "field_width"]
    value: float
    unit: str
    length_um: float
    score: float = 1.0
    text_start: int | None = None
    """Where the words begin, with the word bar, if not at the number."""


def find_lengths(said: Prepared) -> list[FoundLength]:
    """Find the lengths of bars and fields, in the order of the caption."""
    found: list[FoundLength] = []
    taken = 0
    for match in _BAR.finditer(said.flat):
        if match.start() < taken or _NO_BAR.search(said.flat[max(0, match.start() - 8) : match.start()]):
            continue
        values = _after_bar(said, match.end())
        found += values
        taken = values[-1].stop if values else match.end()
    for pattern, kind in ((_BEFORE_BAR, "scale_bar"), (_WIDE, "field_width")):
        for match in pattern.finditer(said.flat):
            made = _made(match, "scale_bar" if kind == "scale_bar" else "field_width")
            if made and not any(made.start < f.stop and f.start < made.stop for f in found):
                found.append(made)
    for match in _WIDTH.finditer(said.flat):
        width = _VALUE.match(said.flat, match.end())
        # "300 × 300 µm" is a field of that width
        if width and not width["u"]:
            square = re.match(rf"\s?[×x]\s?(?:{_DIGITS})\s?(?P<u>{_UNIT})(?![A-Za-z0-9²])", said.flat[width.end() :])
            made = _length(width, square["u"], "field_width") if square else None
        else:
            made = _made(width, "field_width") if width else None
        if made:
            found.append(made)
    return sorted(found, key=lambda f: f.start)


def _after_bar(said: Prepared, begin: int) -> list[FoundLength]:
    """Read the values behind the word bar while only light words stand between; "A 100, B 20 µm" shares its unit."""
    _, stop = said.sentence(begin - 1)
    found: list[FoundLength] = []
    waiting: list[re.Match[str]] = []
    at = begin
    while (match := _VALUE.search(said.flat, at, min(stop, at + 120))) and is_light(
        _bare(said.flat[at : match.start()])
    ):
        if match["u"]:
            for earlier in waiting:
                one = _length(earlier, match["u"], "scale_bar")
                found += [one] if one else []
            waiting = []
            made = _made(match, "scale_bar")
            found += [made] if made else []
        else:
            waiting.append(match)
        at = match.end()
    if found:
        # the first carries the word "bar", as it was printed
        starts = max(0, begin - 24)
        name = re.search(r"(?:\w+[- ])?bars?$|\w+$", said.flat[starts:begin])
        if name and found[0].start - begin <= 20:
            found[0] = replace(found[0], text_start=starts + name.start())
    return found


def _bare(gap: str) -> str:
    """Return a gap without panel letters and counts of insets."""
    return re.sub(r"(?<![A-Za-z])[A-Za-z]['’]?(?![A-Za-z])|\[[^\]]{0,3}\]|\bpanels? \d\b", " ", gap)


def _made(match: re.Match[str], kind: Literal["scale_bar", "field_width"]) -> FoundLength | None:
    return _length(match, match["u"], kind) if match["u"] else None


def _length(match: re.Match[str], unit: str, kind: Literal["scale_bar", "field_width"]) -> FoundLength | None:
    printed = match["v"].lower()
    if printed in _SPELLED:
        value = _SPELLED[printed]
    elif re.fullmatch(r"\d{1,3}[, ]000", printed):
        value = float(re.sub(r"[, ]", "", printed))
    else:
        value = float(printed.replace(",", ".").replace("·", "."))
    factor = next((f for u, f in _UM_PER_UNIT if re.fullmatch(u, unit, re.IGNORECASE)), None)
    if factor is None or value <= 0:
        return None
    # a lone m stands for a lost µm, and mM and MM are nobody's lengths
    score = 0.6 if unit in ("m", "M") else 1.0
    return FoundLength(
        match.start(), match.end("u") if match["u"] else match.end("v"), kind, value, unit, value * factor, score
    )
