"""Licence codes, the policies that choose among them, and how the sources' many spellings become one code.

Source: NCBI, "PMC Article Datasets" (license_code of the metadata, grouping into commercial and non-commercial reuse)
and the Creative Commons deeds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harvester.errors import UsageError

CODES: tuple[str, ...] = (
    "CC0", "CC BY", "CC BY-SA", "CC BY-NC", "CC BY-NC-SA", "CC BY-ND", "CC BY-NC-ND", "TDM", "own",
)  # fmt: skip
"""Every code the catalog may hold, freest first. TDM: text mining and fair use only. own: your files, your terms."""

COMMERCIAL: frozenset[str] = frozenset({"CC0", "CC BY", "CC BY-SA"})
REMIX: frozenset[str] = COMMERCIAL | {"CC BY-NC", "CC BY-NC-SA"}
NO_DERIVATIVES: frozenset[str] = frozenset({"CC BY-ND", "CC BY-NC-ND"})
"""A crop of a figure is arguably a derivative, so these leave only when asked for."""

_NAMED: dict[str, frozenset[str]] = {"remix": REMIX, "commercial": COMMERCIAL}

_NAMES: dict[str, str] = {
    "CC0": "CC0 1.0 Universal (public domain dedication)",
    "CC BY": "Creative Commons Attribution",
    "CC BY-SA": "Creative Commons Attribution-ShareAlike",
    "CC BY-NC": "Creative Commons Attribution-NonCommercial",
    "CC BY-NC-SA": "Creative Commons Attribution-NonCommercial-ShareAlike",
    "CC BY-ND": "Creative Commons Attribution-NoDerivatives",
    "CC BY-NC-ND": "Creative Commons Attribution-NonCommercial-NoDerivatives",
    "TDM": "text and data mining only",
    "own": "supplied by the person who made this harvest",
}

_ADDRESS = re.compile(
    r"^(?:https?:)?//(?:www\.|web\.)?creativecommons\.org/"
    r"(?:(?P<zero>publicdomain/zero)|(?:licen[sc]es)/(?P<parts>[a-z]{2}(?:-[a-z]{2}){0,3}))(?:/|$)"
)
_VERSION = re.compile(r"[\s_/-]*(?:v\.?\s*)?\d\.\d$|\s+(?:international|unported|generic)$")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which licences a harvest or an export takes.

    Attributes:
        name: As the user typed it, tidied; goes into settings.toml and the export's card.
        codes: The codes it names; None for `any`.
    """

    name: str
    codes: frozenset[str] | None

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read `remix`, `commercial`, `any`, or codes with commas between ("CC BY,CC0").

        Raises:
            UsageError: when a word is neither a policy nor a code.
        """
        word = text.strip().lower()
        if word == "any":
            return cls("any", None)
        if word in _NAMED:
            return cls(word, _NAMED[word])
        codes = {normalise_licence(part) or _refuse(part) for part in text.split(",")}
        return cls(",".join(code for code in CODES if code in codes), frozenset(codes))

    def allows_download(self, code: str | None) -> bool:
        """Say whether an article of this licence may be harvested. `any` takes what has no stated licence too."""
        return self.codes is None or code == "own" or code in self.codes

    def allows_crops(self, code: str | None, *, include_nd: bool = False) -> bool:
        """Say whether crops of its figures may leave in an export.

        TDM and unknown licences never do. ND licences do when `include_nd` is given, or when the policy names the very
        code; `any` alone does not ask for them. Your own files always may.
        """
        if code == "own":
            return True
        if code is None or code == "TDM" or not self.allows_download(code):
            return False
        return code not in NO_DERIVATIVES or include_nd or self.codes is not None


def check_code(text: str) -> str:
    """Return the code a user means.

    Raises:
        UsageError: when it is none.
    """
    code = normalise_licence(text)
    if code is None:
        raise UsageError(f"{text!r} is no licence code; known are {', '.join(CODES)}.")
    return code


def _refuse(part: str) -> str:
    raise UsageError(
        f"{part.strip()!r} is no licence policy: give remix, commercial, any, or codes with commas between,"
        f" such as 'CC BY,CC0' (known: {', '.join(CODES)})."
    )


def normalise_licence(text: str | None) -> str | None:
    """Return the code for any known spelling, None for anything else.

    Understands the codes of PMC ("CC BY-NC"), of Europe PMC ("cc by-nc"), of JATS ("ccbyncndlicense", "CC-BY-4.0") and
    addresses of Creative Commons; the address itself is kept by the caller, as it holds the version.
    """
    if text is None or len(text) > 300:
        return None
    word = " ".join(text.split()).lower()
    if "//" in word:
        return _code_of_address(word)
    word = _VERSION.sub("", _VERSION.sub("", word))
    if word in ("own", "tdm"):
        return "own" if word == "own" else "TDM"
    letters = re.sub(r"[\s_-]", "", word).removesuffix("license").removesuffix("licence")
    if letters in ("cc0", "cczero"):
        return "CC0"
    return _code_of_parts(re.findall("by|nc|nd|sa", letters[2:]), letters[2:]) if letters.startswith("cc") else None


def _code_of_address(address: str) -> str | None:
    match = _ADDRESS.match(address)
    if match is None:
        return None
    if match["zero"]:
        return "CC0"
    return _code_of_parts(match["parts"].split("-"), match["parts"].replace("-", ""))


def _code_of_parts(parts: list[str], letters: str) -> str | None:
    # the old "nd-nc" order of version 1.0 and 2.0 means the same licence
    if not parts or parts[0] != "by" or "".join(parts) != letters or len(set(parts)) != len(parts):
        return None
    code = "CC " + "-".join(part for part in ("by", "nc", "nd", "sa") if part in parts).upper()
    return code if code in CODES else None


def licence_name(code: str | None) -> str:
    """Return the licence's name for a person."""
    return _NAMES.get(code or "", "no licence stated" if code is None else code)
