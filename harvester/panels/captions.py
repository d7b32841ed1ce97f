"""Compound captions: which words speak of which panel."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """Take a caption apart by the panel letters in it."""
    return CaptionParts(re.sub(r"\s+", " ", caption).strip())
