"""Identifiers and file names from outside, judged before anything is built from them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

_ARTICLE_ID = re.compile(r"(?:PMC[1-9][0-9]{0,11}\.[1-9][0-9]{0,3}|local-[0-9a-f]{8,64})")
_PMCID = re.compile(r"PMC[1-9][0-9]{0,11}")
_VERSIONED = re.compile(r"(PMC[1-9][0-9]{0,11})(?:\.([1-9][0-9]{0,3}))?")

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".webp"})

MAX_NAME_BYTES = 240
"""File systems take 255 bytes; the rest is for the suffixes of a file that is still under way."""


def is_article_id(text: str) -> bool:
    """Return whether this is "PMC123.1" or "local-" and hex digits, and so safe as the name of a folder."""
    return _ARTICLE_ID.fullmatch(text) is not None


def is_pmcid(text: str) -> bool:
    """Return whether this is "PMC" and digits."""
    return _PMCID.fullmatch(text) is not None


def parse_article_version(text: str) -> tuple[str, int | None] | None:
    """Read "PMC123" or "PMC123.1"; None for anything else."""
    match = _VERSIONED.fullmatch(text)
    if match is None:
        return None
    return match[1], int(match[2]) if match[2] else None


def is_plain_file_name(name: str) -> bool:
    """Return whether a name stays inside its folder on any system and can be written at all.

    Quotes, blanks and emoji are fine. Refused: separators of any system, "." and "..", drive letters and streams (":"),
    control and line characters, lone surrogates, a blank or dot at the end (which Windows drops), names longer than
    240 bytes, and the suffixes that mark a file under way.
    """
    if not name or name in {".", ".."} or any(c in name for c in "/\\:") or name[-1] in " .":
        return False
    if name.endswith((".part", ".etag", ".lock")):
        return False
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        return False
    return len(name.encode()) <= MAX_NAME_BYTES


def is_image_name(name: str) -> bool:
    """Return whether a name ends like a picture that is looked at."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
