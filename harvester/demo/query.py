"""Evaluates search queries on served articles, as far as E-utilities (db=pmc) and Europe PMC are used here.

Both services get the same small grammar: terms joined by AND, OR, NOT from left to right, with parentheses; terms side
by side are joined by AND. What a term means differs, and is decided by a reader of terms for each service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from harvester.demo.served import ServedArticle

Predicate = Callable[[ServedArticle], bool]

LICENCE_FILTERS = {
    "cc0_license": "CC0",
    "cc_by_license": "CC BY",
    "cc_by-sa_license": "CC BY-SA",
    "cc_by-nd_license": "CC BY-ND",
    "cc_by-nc_license": "CC BY-NC",
    "cc_by-nc-sa_license": "CC BY-NC-SA",
    "cc_by-nc-nd_license": "CC BY-NC-ND",
}
TEXT_FIELDS = {
    "all fields": "all",
    "figure/table caption": "caption",
    "title": "title",
    "abstract": "abstract",
    "section title": "all",
    "body - all words": "all",
    "body - key terms": "all",
    "mesh terms": "all",
    "journal": "all",
}
DATE_FIELDS = ("pmcrdat", "edat", "pdat", "crdt")


class QueryError(ValueError):
    """The query can't be read; the message is what the service would answer."""


@dataclass
class Translation:
    """What became of a query.

    Attributes:
        matches: Whether an article is a hit.
        text: The query as understood.
        phrases_not_found, fields_not_found: As E-utilities report them.
        expansions: (from, to) of words that were looked up in all fields.
    """

    matches: Predicate
    text: str
    phrases_not_found: list[str] = field(default_factory=list)
    fields_not_found: list[str] = field(default_factory=list)
    expansions: list[tuple[str, str]] = field(default_factory=list)


def contains(article: ServedArticle, where: str, phrase: str) -> bool:
    """Whether a phrase stands in a field of an article as whole words; a trailing star cuts the last word short."""
    words = re.escape(" ".join(phrase.lower().rstrip("*").split()))
    end = r"\w*" if phrase.endswith("*") else ""
    return re.search(rf"(?<!\w){words}{end}(?!\w)", article.search_text[where]) is not None


def parse_day(text: str, *, last: bool = False) -> date | None:
    """Read YYYY, YYYY/MM or YYYY/MM/DD; with `last` the last day meant. None when it is no date."""
    match = re.fullmatch(r"(\d{4})(?:[/-](\d{1,2})(?:[/-](\d{1,2}))?)?", text.strip().strip('"'))
    if not match:
        return None
    year, month, day = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    try:
        if not last or day:
            return date(year, month or 1, day or 1)
        return date(year + (month in (0, 12)), month % 12 + 1 if month else 1, 1) - timedelta(days=1)
    except ValueError:
        return None


def _between(first: date, last: date) -> Predicate:
    return lambda article: first <= article.released <= last


_ENTREZ_TOKEN = re.compile(r'\s*(?:([()])|(AND|OR|NOT)(?=[\s(]|$)|("[^"]*"|[^\s()\[\]"]+)|\[([^\]]*)\])', re.I)


def translate_entrez(term: str, articles: Sequence[ServedArticle]) -> Translation:
    """Read a query as ESearch does.

    Raises:
        QueryError: for an empty query or brackets that do not match.
    """
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(term.rstrip()):
        match = _ENTREZ_TOKEN.match(term, position)
        if not match:
            raise QueryError("Unable to parse the query: unbalanced quotes or brackets.")
        position = match.end()
        for kind, text in zip(("bracket", "operator", "word", "field"), match.groups(), strict=True):
            if text is not None:
                tokens.append((kind, text))
    result = Translation(lambda article: False, "")

    def read_term(at: int) -> tuple[Predicate, str, int]:
        words = []
        while at < len(tokens) and tokens[at][0] == "word":
            words.append(tokens[at][1])
            at += 1
            if words[-1].startswith('"') or (at < len(tokens) and tokens[at][0] == "word" and tokens[at][1][0] == '"'):
                break
        if not words:
            raise QueryError("Unable to parse the query: a search term is missing.")
        name = None
        if at < len(tokens) and tokens[at][0] == "field":
            name = tokens[at][1]
            at += 1
        predicate, text = _entrez_term(" ".join(words), name, articles, result)
        return predicate, text, at

    result.matches, result.text = _parse(tokens, read_term)
    return result


def _entrez_term(
    words: str, name: str | None, articles: Sequence[ServedArticle], result: Translation
) -> tuple[Predicate, str]:
    key = (name or "all fields").strip().lower()
    phrase = words.strip('"')
    if key == "filter":
        wanted = phrase.lower().replace(" ", "_")
        code = LICENCE_FILTERS.get(wanted)
        if code is not None:
            return (lambda article: article.licence_code == code), f"{words}[filter]"
        if wanted == "open_access":
            return (lambda article: article.is_open_access), f"{words}[filter]"
        if wanted == "author_manuscript":
            return (lambda article: article.is_manuscript), f"{words}[filter]"
    elif key in DATE_FIELDS:
        first_text, _, last_text = words.partition(":")
        first, last = parse_day(first_text), parse_day(last_text or first_text, last=True)
        if first and last:
            # [crdt] is documented elsewhere and finds nothing in db=pmc
            return (_between(first, last) if key != "crdt" else lambda article: False), f"{words}[{key}]"
    else:
        if key not in TEXT_FIELDS:
            result.fields_not_found.append(name or "")
            key = "all fields"
        where = TEXT_FIELDS[key]
        if name is None and not words.startswith('"') and len(phrase.split()) > 1:
            singles = phrase.split()
            joined = " AND ".join(f'"{word}"[All Fields]' for word in singles)
            text = f'("{phrase}"[MeSH Terms] OR ({joined}) OR "{phrase}"[All Fields])'
            result.expansions.append((phrase, text[1:-1]))
            result.phrases_not_found += [w for w in singles if not any(contains(a, "all", w) for a in articles)]
            return (lambda article: all(contains(article, "all", word) for word in singles)), text
        shown = name if name and key == name.strip().lower() else "All Fields"
        if any(contains(article, where, phrase) for article in articles):
            return (lambda article: contains(article, where, phrase)), f'"{phrase.lower()}"[{shown}]'
        result.phrases_not_found.append(words)
        return (lambda article: False), f"{words}[{shown}]"
    result.phrases_not_found.append(f"{words}[{name}]")
    return (lambda article: False), f"{words}[{name}]"


def _parse(
    tokens: Sequence[tuple[str, str]], read_term: Callable[[int], tuple[Predicate, str, int]]
) -> tuple[Predicate, str]:
    """Join terms from left to right; `read_term(position)` returns (predicate, text, next position)."""

    def read_group(at: int, depth: int) -> tuple[Predicate, str, int]:
        if depth > 50:
            raise QueryError("Unable to parse the query: too many brackets.")
        matches, text, operator = None, "", ""
        while at < len(tokens) and tokens[at] != ("bracket", ")"):
            kind, word = tokens[at]
            if kind == "operator":
                operator, at = word.upper(), at + 1
                continue
            if kind == "bracket":
                item, item_text, at = read_group(at + 1, depth + 1)
                if at >= len(tokens):
                    raise QueryError("Unable to parse the query: a closing bracket is missing.")
                item_text, at = f"({item_text})", at + 1
            else:
                item, item_text, at = read_term(at)
            if matches is None:
                matches, text = (_negated(item), f"NOT {item_text}") if operator == "NOT" else (item, item_text)
            else:
                matches, text = _joined(matches, item, operator or "AND"), f"{text} {operator or 'AND'} {item_text}"
            operator = ""
        if matches is None:
            raise QueryError("Empty term and query_key - nothing todo")
        return matches, text, at

    matches, text, at = read_group(0, 0)
    if at < len(tokens):
        raise QueryError("Unable to parse the query: a bracket closes that was never opened.")
    return matches, text


def _negated(item: Predicate) -> Predicate:
    return lambda article: not item(article)


def _joined(left: Predicate, right: Predicate, operator: str) -> Predicate:
    if operator == "OR":
        return lambda article: left(article) or right(article)
    if operator == "NOT":
        return lambda article: left(article) and not right(article)
    return lambda article: left(article) and right(article)


_EPMC_TOKEN = re.compile(
    r'\s*(?:([()])|(AND|OR|NOT)(?=[\s(]|$)|((?:\w+:)?(?:"[^"]*"|\[[^\]]*\]|[^\s()":]+)|\w+:(?=\()))'
)


def translate_europepmc(query: str) -> Predicate:
    """Read a Europe PMC query; a field before brackets holds for every term inside.

    Raises:
        QueryError: when it can't be read.
    """
    query = re.sub(
        r"(\w+):\(([^()]*)\)",
        lambda m: "(" + re.sub(r'("[^"]*"|\b(?!OR\b|AND\b|NOT\b)[^\s"]+)', rf"{m[1]}:\1", m[2]) + ")",
        query,
    )
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(query.rstrip()):
        match = _EPMC_TOKEN.match(query, position)
        if not match:
            raise QueryError("Invalid query: it could not be parsed")
        position = match.end()
        for kind, text in zip(("bracket", "operator", "term"), match.groups(), strict=True):
            if text is not None:
                tokens.append((kind, text))
    return _parse(tokens, lambda at: (_epmc_term(tokens[at][1]), tokens[at][1], at + 1))[0]


def _epmc_term(term: str) -> Predicate:
    match = re.fullmatch(r"(\w+):(.*)", term, re.S)
    name, value = (match[1].upper(), match[2]) if match else ("", term)
    bare = value.strip('"').lower()
    flags: dict[str, Predicate] = {
        "OPEN_ACCESS": lambda article: article.is_open_access,
        "IN_EPMC": lambda article: True,
        "IN_PMC": lambda article: True,
        "HAS_FT": lambda article: True,
        "HAS_PDF": lambda article: article.pdf is not None,
        "HAS_SUPPL": lambda article: bool(article.media),
    }
    if name in flags:
        return flags[name] if bare == "y" else _negated(flags[name])
    if name == "LICENSE":
        return lambda article: (article.licence_code or "").lower() == bare
    if name == "SRC":
        return lambda article: bare == ("med" if article.pmid else "pmc")
    if name == "PMCID":
        return lambda article: article.pmcid.lower() == bare
    if name == "DOI":
        return lambda article: (article.doi or "").lower() == bare
    if name in ("PUB_YEAR", "FIRST_PDATE", "FIRST_IDATE", "E_PDATE", "P_PDATE"):
        first_text, _, last_text = value.strip("[]").partition(" TO ")
        first, last = parse_day(first_text), parse_day(last_text or first_text, last=True)
        if first is None or last is None:
            raise QueryError(f"Invalid query: {term} is no range of dates")
        return _between(first, last)
    where = {"TITLE": "title", "ABSTRACT": "abstract", "FIG": "caption"}.get(name, "all")
    return lambda article: contains(article, where, bare)
