"""What a caption says of scale: magnifications, bar lengths and field widths, each tied to its panels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harvester.records import CaptionReading, StatedLength, StatedMagnification
from harvester.scale.captions_lengths import find_lengths
from harvester.scale.captions_magnification import FoundMagnification, find_magnifications
from harvester.scale.captions_objective import Reading, implied_objective
from harvester.scale.captions_text import Prepared, prepare, tie_to_panels

_OBJECTIVE = re.compile(
    r"objective|\blens|/\s?[01]\.\d|\bNA\b|numerical aperture|\bplan\b|apo\b|apochromat|neofluar", re.IGNORECASE
)
_ORIGINAL = re.compile(r"\b(?:original|total|final)\b", re.IGNORECASE)
_OIL = re.compile(r"\boil\b(?! red)|\bimmersion\b", re.IGNORECASE)
_INSET = re.compile(r"\binsets?\b|\binserts?\b", re.IGNORECASE)

MAX_VALUES = 200
"""No real caption states more; what goes beyond is not read."""
MAX_BODY_CHARS = 1_000_000
_BODY_PICTURES = re.compile(
    r"\b(?:micrograph|photograph|photomicrograph|image|picture|photo)\w*\b[^.]{0,80}\b(?:taken|captured|acquired|obtained|"
    r"photographed|recorded|made)\b|\b(?:photographed|captured|imaged)\b",
    re.IGNORECASE,
)
_BODY_END = re.compile(r"(?<=[.;])\s+(?=[A-Z(])")
_HAS_NUMBER = re.compile(r"[×xX]\s?\d|\d\s?[×xX]|magnif", re.IGNORECASE)
_OTHER_PICTURES = re.compile(r"fluoresc|confocal|electron|gel\b|blot|immunofl", re.IGNORECASE)

INSET_SCORE, BODY_SCORE, BY_PART_SCORE, BY_LETTER_SCORE = 0.3, 0.3, 0.9, 0.95


def read_caption(caption: str, letters: Sequence[str] = (), body: str = "") -> CaptionReading:
    """Read every statement of scale in a figure's caption.

    A statement is tied to the letters next to it, or to the part of the caption that it stands in, or to the whole
    figure. The article's text is the weakest source and read only where the caption states no number.

    Args:
        caption: The whole caption of the figure, plain text; what goes beyond 12,000 characters is not read.
        letters: The figure's panel letters; empty when they are not known.
        body: Text of the article; only sentences on how its pictures were taken are read.

    Returns:
        The statements in their order, each with the panel letters it is said of (none: the whole figure).
    """
    said = prepare(caption, letters)
    lengths = find_lengths(said)[:MAX_VALUES]
    length_spans = [(f.start, f.stop) for f in lengths]
    found = [f for f in find_magnifications(said) if not any(f.start < b and a < f.stop for a, b in length_spans)]
    found = found[:MAX_VALUES]
    spans = [(f.start, f.stop) for f in found]
    stated = _magnifications(said, found, tie_to_panels(said, spans, length_spans), "part")
    tied = tie_to_panels(said, length_spans, spans)
    read = tuple(
        StatedLength(
            text=said.text[one.start if one.text_start is None else one.text_start : one.stop],
            kind=one.kind,
            value=one.value,
            unit=one.unit,
            length_um=one.length_um,
            letters=labels,
            origin="part" if labels else "preamble",
            score=one.score * _score(said, one.start, one.stop, labels),
        )
        for one, labels in zip(lengths, tied, strict=True)
    )
    if body and not any(m.stated_x for m in stated):
        stated += _from_body(body)
    return CaptionReading(stated, read)


def for_panel(reading: CaptionReading, label: str | None) -> CaptionReading:
    """Keep what applies to one panel: what is said of its letter, and what is said of the whole figure.

    A panel without a letter keeps only what is said of the whole figure, unless all letters say the same.
    """
    name = label.upper() if label is not None else None
    return replace(
        reading,
        magnifications=tuple(m for m in reading.magnifications if not m.letters or name in m.letters),
        lengths=tuple(n for n in reading.lengths if not n.letters or name in n.letters),
    )


def _score(said: Prepared, start: int, stop: int, labels: tuple[str, ...]) -> float:
    if _INSET.search(said.flat[max(said.sentence(start)[0], start - 30) : stop + 12]):
        return INSET_SCORE
    return BY_LETTER_SCORE if labels else BY_PART_SCORE


def _magnifications(
    said: Prepared,
    found: list[FoundMagnification],
    tied: list[tuple[str, ...]],
    origin: Literal["part", "body"],
) -> tuple[StatedMagnification, ...]:
    values = [x for f in found for x in (f.stated_x, f.stated_to_x) if x is not None]
    result = []
    for one, labels in zip(found, tied, strict=True):
        objective_x, reading = _objective(said, one, found, frozenset(values))
        result.append(
            StatedMagnification(
                text=said.text[one.start : one.stop].strip(" ,:="),
                stated_x=one.stated_x,
                objective_x=objective_x,
                reading=reading,
                letters=labels,
                stated_to_x=one.stated_to_x,
                origin="body" if origin == "body" else "part" if labels else "preamble",
                score=BODY_SCORE if origin == "body" else _score(said, one.start, one.stop, labels),
            )
        )
    return tuple(result)


def _objective(
    said: Prepared, one: FoundMagnification, found: list[FoundMagnification], values: frozenset[float]
) -> tuple[float | None, Reading]:
    if one.stated_x is None:
        return None, "words"
    if one.stated_to_x is not None:
        return None, "unclear"
    low, high = said.sentence(one.start)
    near = said.flat[max(low, one.start - 24) : min(high, one.stop + 20)]
    own = said.flat[one.start : one.stop]
    product = re.search(r"(\d+)\s?[×xX]\s?(\d+)", own)
    if product:
        return max(min(one.stated_x / 10.0, 100.0), 1.0), "with_eyepiece"
    # "low power, ×40": the words must stand in this sentence, or just before it
    words = [f for f in found if f.degree and -80 <= one.start - f.start <= 120 and f.degree != "medium"]
    degrees = {f.degree for f in words}
    power: Literal["low", "high"] | None = None
    if len(degrees) == 1:
        power = "low" if "low" in degrees else "high"
    return implied_objective(
        one.stated_x,
        names_objective=bool(_OBJECTIVE.search(near)),
        names_original=bool(_ORIGINAL.search(own) or _ORIGINAL.search(near)),
        names_oil=bool(_OIL.search(near)),
        power=power,
        others_x=values - {one.stated_x},
    )


def _from_body(body: str) -> tuple[StatedMagnification, ...]:
    """Read sentences such as "All micrographs were taken at ×200"; those on other kinds of microscope are left out."""
    text = " ".join(body[:MAX_BODY_CHARS].split())
    stated: list[StatedMagnification] = []
    for sentence in _BODY_END.split(text):
        if len(sentence) > 1000 or not _HAS_NUMBER.search(sentence) or _OTHER_PICTURES.search(sentence):
            continue
        if _BODY_PICTURES.search(sentence):
            said = prepare(sentence)
            found = [f for f in find_magnifications(said) if f.stated_x is not None]
            stated += _magnifications(said, found, [()] * len(found), "body")
        if len(stated) > 8:
            break
    return tuple(stated)
