"""Looks at a query before it is sent: is it closed in itself, and which of its words will be searched everywhere."""

from __future__ import annotations

import re

from harvester.errors import UsageError

_QUOTED = re.compile(r'"[^"]*"')
_FIELD_TAG = re.compile(r"\[[^\[\]]*\]")


def check_query(query: str) -> str:
    """Return the query with white space collapsed.

    Raises:
        UsageError: when it is empty, or its quotes or brackets don't match. As filters are AND-ed to it in brackets, an
            open one would let it escape them.
    """
    text = " ".join(query.split())
    if not text:
        raise UsageError("The query is empty: give words to search for, such as 'colorectal adenoma'.")
    if text.count('"') % 2:
        raise UsageError("The query has a quotation mark without its partner.")
    depth = 0
    for sign in re.sub(r"[^()]", "", _QUOTED.sub("", text)):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            break
    if depth:
        raise UsageError("The query has a bracket without its partner.")
    if any(ord(sign) < 32 for sign in text):
        raise UsageError("The query holds a control character.")
    return text


def _operands(query: str) -> list[str]:
    """Return what stands between operators and brackets, quotes kept together."""
    quotes: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quotes.append(match[0])
        return f"\x00{len(quotes) - 1}\x00"

    bare = _QUOTED.sub(keep, query)
    parts = re.split(r"\s+(?:AND|OR|NOT)\s+|^NOT\s+|[()]", bare)
    return [re.sub("\x00([0-9]+)\x00", lambda m: quotes[int(m[1])], part).strip() for part in parts if part.strip()]


def unfielded_in_entrez(query: str) -> list[str]:
    """Return the parts of an E-utilities query that name no field; the service looks for them everywhere.

    >>> unfielded_in_entrez('adenoma AND "H&E"[Figure/Table Caption]')
    ['adenoma']
    """
    return [part for part in _operands(query) if not _FIELD_TAG.search(_QUOTED.sub('""', part))]


def unfielded_in_europepmc(query: str) -> list[str]:
    """Return the parts of a Europe PMC query that name no field.

    >>> unfielded_in_europepmc('adenoma AND TITLE:"tubular"')
    ['adenoma']
    """
    # a field before brackets holds for all inside
    bare = re.sub(r"\b[A-Z_]+:\([^()]*\)", "", query)
    return [part for part in _operands(bare) if not re.match(r"(?:NOT\s+)?[A-Za-z_]+:", part)]


def unfielded_note(parts: list[str], better: str) -> str:
    """Return the sentence that warns of words without a field."""
    return (
        f"No field is named for {'; '.join(parts[:5])}, so the service looks for it everywhere and finds far more than"
        f" is meant; narrow it with a field, such as {better}."
    )
