"""The label of a scale bar: a number and a unit of length, as printed or as a text reader takes it for others."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

UM_PER_UNIT = {"nm": 0.001, "µm": 1.0, "mm": 1000.0, "cm": 10_000.0}

# How the unit is printed, typed and misread. "pm" is a µ typed without the key; no picture of tissue has picometres.
_MICRO = r"(?:µm|um|pm|µ|microns?|micromet(?:er|re)s?)"
# What a text reader makes of a small µ over tissue.
_MICRO_READ = r"(?:[µupjyvghlxwifн]{1,2}[mnr]{1,3}|[µu]|[µupj]\s?[mnr]{1,2}|m|rm|им|иm|цm)"
_NUMBER = r"(?P<number>\d[\d., ]*)"
_DIGITS_READ = str.maketrans(
    {"O": "0", "o": "0", "Q": "0", "D": "0", "l": "1", "L": "1", "I": "1", "|": "1", "i": "1", "S": "5"}
)
_BEFORE = r"(?:^|(?<=[\s=:(\[|,;–-]))"
_AFTER = r"(?=$|[\s.,;:)\]|_—–-])(?!\s*[/×x^²³]|\s?hg\b)"

_PRINTED = re.compile(rf"{_BEFORE}{_NUMBER}\s?(?P<unit>{_MICRO}|nm|mm|cm){_AFTER}")
_READ = re.compile(rf"^[^\d]{{0,3}}{_NUMBER}\s?(?P<unit>nm|mm|cm|{_MICRO}|{_MICRO_READ})(?:[^\w]{{0,3}}|\s?\w)$")

ROUND_VALUES = frozenset(
    {
        1,
        2,
        3,
        4,
        5,
        6,
        7.5,
        8,
        10,
        12,
        12.5,
        15,
        16,
        20,
        25,
        30,
        35,
        40,
        45,
        50,
        60,
        62.5,
        70,
        75,
        80,
        90,
        0.5,
        0.2,
        0.1,
    }
    | {100, 120, 125, 150, 160, 180, 200, 250, 300, 350, 400, 450, 500, 600, 625, 700, 750, 800, 900, 0.25, 0.3, 0.4}
    | {1000, 1200, 1250, 1500, 2000, 2500, 3000, 4000, 5000, 0.05, 1.25, 2.5, 0.75, 0.6, 0.8, 37.5, 1.5}
)
"""Lengths that people and programs give a bar; an odd one is more often a misreading."""


@dataclass(frozen=True, slots=True)
class BarLabel:
    """A length as a bar's label gives it.

    Attributes:
        text: As found, white space collapsed.
        value, unit: The number, and nm, µm, mm or cm.
        length_um: The same in micrometres.
        certainty: 0 to 1; lower where letters had to be guessed or the number is odd.
    """

    text: str
    value: float
    unit: str
    length_um: float
    certainty: float


def parse_label(text: str) -> BarLabel | None:
    """Return the length in a line of text that a machine wrote, None when there is none or it is another quantity."""
    plain = _plain(text)
    found = _PRINTED.search(plain if re.search(r"µM|[uμ]M", plain) else plain.lower())
    return _label(text, found["number"], found["unit"], 1.0) if found else None


def parse_read_label(text: str) -> BarLabel | None:
    """Return the length in a line that was read from pixels; letters taken for digits and spoiled units are mended."""
    plain = _plain(text)
    if len(plain) > 16:
        printed = parse_label(text)
        return printed
    head = re.match(r"^[^\w]{0,2}([\dOoQDlLI|iS.,]+(?: [\dO]{3})?)(.*)$", plain)
    if not head or not any(c.isdigit() for c in head[1]):
        printed = parse_label(text)
        return printed
    number, rest = head[1].translate(_DIGITS_READ), head[2].lower()
    found = _READ.match(number + rest)
    if not found:
        return None
    stray = found["number"].strip()
    if re.fullmatch(r"0[1-9]\d?", stray):
        if stray not in head[1]:
            return None
        # nobody prints 01: the point between is too small for the reader; nor has tissue bars below a micrometre
        unit = "mm" if found["unit"] == "m" else found["unit"]
        return _label(text, f"0.{stray[1:]}", unit, 0.85)
    if re.fullmatch(r"\d+1", stray) and _value(stray) not in ROUND_VALUES and _value(stray[:-1]) in ROUND_VALUES:
        # the first stroke of the µ, or of what lies under it
        return _label(text, stray[:-1], "µm" if found["unit"] == "m" else found["unit"], 0.6)
    sure = bool(re.fullmatch(rf"{_MICRO}|nm|mm|cm", found["unit"]))
    mended = number != head[1]
    if found["unit"] == "m" and len(stray) == 1:
        return None  # metres, on an axis
    if found["unit"] == "m" and (value := _value(stray)) is not None and value < 1 and "." in head[1]:
        return _label(text, stray, "mm", 0.75)
    return _label(text, found["number"], found["unit"], (1.0 if sure else 0.75) * (0.85 if mended else 1.0))


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).replace("μ", "µ").replace("\u200b", "")
    return " ".join(folded.split())


def _label(text: str, number: str, unit: str, certainty: float) -> BarLabel | None:
    value = _value(number)
    if value is None:
        return None
    if unit not in UM_PER_UNIT:
        unit = "µm"
    length_um = value * UM_PER_UNIT[unit]
    if not 0.0005 <= length_um <= 200_000:
        return None
    if round(value, 4) not in ROUND_VALUES:
        certainty *= 0.6
    return BarLabel(" ".join(text.split()), value, unit, length_um, certainty)


def _value(number: str) -> float | None:
    """Read "1,000", "1 000", "0,5" and "2.5"; None when it is no number."""
    digits = number.strip(" .,")
    if re.fullmatch(r"[1-9]\d{0,2}(?:[, ]\d{3})+", digits):
        digits = re.sub(r"[, ]", "", digits)
    digits = digits.replace(",", ".")
    try:
        value = float(digits)
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None
