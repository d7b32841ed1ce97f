"""JATS XML, as PubMed Central serialised it in the 2010s and as it does since 2026, read into an `ArticleText`.

Source: JATS 1.0 to 1.4 (ANSI/NISO Z39.96); what differs between the years is listed in the comments where it matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5

from lxml import etree

from harvester.errors import MalformedArticle
from harvester.licences import normalise_licence
from harvester.records import ArticleText, FigureText

Element = etree._Element

MAX_BYTES = 100_000_000
MAX_CITED_AUTHORS = 6

_RIGHTS = re.compile(
    r"\b(?:re(?:produced|printed|drawn|used)|adapted|modified|taken|republished)\b[^.;]{0,120}"
    r"\b(?:permission|courtesy|copyright|licen[cs]e|from|by)\b"
    r"|\bwith(?: kind)? permission\b|\b(?:by )?courtesy\b|\bpermission (?:of|from|by)\b|©|\bcopyright\b",
    re.IGNORECASE,
)
# "Tissue was taken from", "modified by" are methods: these verbs count only beside a source or a permission.
_METHOD = re.compile(
    r"\b(?:taken|modified)\b(?![^.;]{0,120}\b(?:permission|courtesy|copyright|reference|\[\d|et al))", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.;])(?<!Dr\.)(?<!Prof\.)(?<!Mr\.)(?<!Ms\.)(?<!\b[A-Z]\.)\s+(?=[A-Z(©])")

_CC_LINK = re.compile(
    r"(?:https?:)?//(?:www\.|web\.)?creativecommons\.org/[a-z]+/[a-z-]+(?:/\d\.\d)?[^\s\"'<>)]*", re.IGNORECASE
)
_CC_PROSE = re.compile(
    r"creative commons\s+(?:cc[\s-]*)?(?P<name>(?:attribution|by\b)"
    r"(?:[\s,–-]+(?:non[\s-]?commercial|no[\s-]?deriv(?:ative)?s?|share[\s-]?alike|nc|nd|sa)\b)*)"
    r"|\bcc[\s-](?P<code>by(?:-(?:nc|nd|sa))*)\b",
    re.IGNORECASE,
)

# Left out of flattened text: markup that repeats the formula, and what is no part of a caption.
_SILENT = frozenset(
    {"tex-math", "annotation", "annotation-xml", "permissions", "attrib", "graphic", "media", "fn", "object-id"}
)
_SPACED = frozenset({"p", "title", "break", "list-item", "disp-formula", "td", "th", "tr", "label", "sec"})
# Figures in here are not the article's own printed ones.
_OUTSIDE = frozenset({"supplementary-material", "sub-article", "response", "abstract", "trans-abstract"})


def parse_jats(xml: bytes) -> ArticleText:
    """Read one article. Nothing outside the bytes is ever opened: no DTD, no entity, no network.

    Args:
        xml: An `article`, alone or inside the wrapper of E-utilities or OAI-PMH (the first one is read).

    Raises:
        MalformedArticle: "xml_malformed", "xml_entities" (entities declared inside), "xml_not_jats", "xml_too_large".
    """
    root = _parse(xml)
    article = next((e for e in root.iter() if _name(e) == "article"), None)
    if article is None:
        raise MalformedArticle("The XML holds no JATS article.", "xml_not_jats")
    meta = _first(article, "front", "article-meta")
    if meta is None:
        meta = _first(article, "front-stub")
    if meta is None:
        meta = etree.Element("article-meta")
    journal = _first(article, "front", "journal-meta")
    ids = _article_ids(meta)
    title = _text(_first(meta, "title-group", "article-title"))
    journal_title = None
    if journal is not None:
        in_group = _text(_first(journal, "journal-title-group", "journal-title"))
        journal_title = in_group or _text(_first(journal, "journal-title"))
    year = _year(meta)
    licence_code, licence_url = _licence(meta)
    return ArticleText(
        title=title,
        journal=journal_title,
        year=year,
        pmcid=ids.get("pmcid"),
        pmid=int(ids["pmid"]) if "pmid" in ids else None,
        doi=ids.get("doi"),
        licence_code=licence_code,
        licence_url=licence_url,
        copyright_line=_copyright(meta),
        citation=_citation(meta, title, journal_title, year, ids.get("doi")),
        keywords=_keywords(meta, mesh=False),
        mesh_terms=_keywords(meta, mesh=True),
        figures=tuple(_figures(article)),
        body=_body_on_scale(article),
    )


_ON_SCALE = re.compile(
    r"magnif|micrograph|\bobjective|scale\s+bars?|[×x]\s?\d{2,4}\b|\b\d{2,4}\s?[×x]\b", re.IGNORECASE
)
_MAX_BODY_CHARS = 20_000


def _body_on_scale(article: Element) -> str:
    """Return the body's paragraphs that may say how pictures were taken, captions left out; a bounded length."""
    body = _first(article, "body")
    if body is None:
        return ""
    found: list[str] = []
    room = _MAX_BODY_CHARS
    for paragraph in (e for e in body.iter() if _name(e) == "p"):
        if any(_name(above) in ("fig", "table-wrap", "supplementary-material") for above in paragraph.iterancestors()):
            continue
        words = _text(paragraph) or ""
        if _ON_SCALE.search(words) and len(words) <= room:
            found.append(words)
            room -= len(words)
    return "\n".join(found)


def _parse(xml: bytes) -> Element:
    if not xml.strip():
        raise MalformedArticle("The XML is empty.", "xml_malformed")
    if len(xml) > MAX_BYTES:
        raise MalformedArticle(f"The XML has {len(xml):,} bytes, more than an article can need.", "xml_too_large")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False, remove_pis=True,
        remove_comments=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        if "entity" in str(error).lower() or "amplification" in str(error).lower():
            raise MalformedArticle("The XML uses entities that it may not define.", "xml_entities") from error
        where = f" (line {error.lineno})" if isinstance(error, etree.XMLSyntaxError) and error.lineno else ""
        raise MalformedArticle(f"The XML is not well formed{where}.", "xml_malformed") from error
    subset = root.getroottree().docinfo.internalDTD
    if subset is not None and any(True for _ in subset.iterentities()):  # type: ignore[union-attr]
        raise MalformedArticle("The XML declares entities of its own, which no article needs.", "xml_entities")
    return root


def _name(element: Element) -> str:
    """Return the tag without its namespace; "" for entities."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _attribute(element: Element, name: str) -> str | None:
    """Return an attribute whatever its namespace (xlink:href of either spelling)."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return " ".join(str(value).split()) or None
    return None


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _name(child) == name)


def _first(element: Element, *path: str) -> Element | None:
    for name in path:
        found = next(_children(element, name), None)
        if found is None:
            return None
        element = found
    return element


def _pieces(element: Element) -> Iterator[str]:
    if element.text:
        yield element.text
    for child in element:
        if child.tag is etree.Entity:
            yield html5.get(f"{child.name};", " ")  # type: ignore[attr-defined]
        elif isinstance(child.tag, str):
            name = _name(child)
            if name not in _SILENT:
                spaced = name in _SPACED
                if spaced:
                    yield " "
                yield from _pieces(child)
                if spaced:
                    yield " "
        if child.tail:
            yield child.tail


def _text(element: Element | None) -> str | None:
    """Flatten to plain text with single spaces; None when nothing is left."""
    return None if element is None else " ".join("".join(_pieces(element)).split()) or None


def _article_ids(meta: Element) -> dict[str, str]:
    ids: dict[str, str] = {}
    for element in _children(meta, "article-id"):
        kind, value = element.get("pub-id-type"), _text(element)
        if not value:
            continue
        # Since 2026 "pmcid" holds PMC123; before, "pmc" and "pmcid" held bare digits. "pmcaid" is another number.
        if kind in ("pmcid", "pmc") and re.fullmatch(r"(?:PMC)?\d{1,12}", value):
            ids["pmcid"] = "PMC" + value.removeprefix("PMC")
        elif kind == "pmid" and re.fullmatch(r"\d{1,12}", value):
            ids["pmid"] = value
        elif kind == "doi" and value.startswith("10.") and not re.search(r"\s", value):
            ids["doi"] = value
    return ids


def _year(meta: Element) -> int | None:
    order = {"epub": 0, "electronic": 0, "epub-ppub": 0, "collection": 1, "ppub": 2, "print": 2, "pub": 1}
    found: list[tuple[int, int]] = []
    for date in _children(meta, "pub-date"):
        year = _text(_first(date, "year"))
        kind = date.get("pub-type") or date.get("publication-format") or date.get("date-type") or ""
        if year and re.fullmatch(r"[12]\d{3}", year) and kind not in ("pmc-release", "nihms-submitted"):
            found.append((order.get(kind, 3), int(year)))
    return min(found)[1] if found else None


def _licence(meta: Element) -> tuple[str | None, str | None]:
    """Return (code, address): license_ref, the licence's own link, links in its prose, its words, PMC's own field."""
    for licence in (e for p in _children(meta, "permissions") for e in _children(p, "license")):
        for reference in (e for e in licence.iter() if _name(e) == "license_ref"):
            address = _text(reference)
            code = normalise_licence(address) or normalise_licence(reference.get("content-type"))
            if code:
                return code, address if address and "//" in address else None
        links = [_attribute(licence, "href"), *(_attribute(e, "href") for e in licence.iter() if e is not licence)]
        prose = " ".join("".join(_pieces(licence)).split())
        for link in [*links, *_CC_LINK.findall(prose)]:
            address = (link or "").rstrip(".,;:")
            code = normalise_licence(address)
            if code:
                return code, address
        code = normalise_licence(licence.get("license-type")) or _licence_words(prose)
        if code:
            return code, None
    for item in (e for group in _children(meta, "custom-meta-group") for e in _children(group, "custom-meta")):
        if _text(_first(item, "meta-name")) == "pmc-license-ref":
            return normalise_licence(_text(_first(item, "meta-value"))), None
    return None, None


def _licence_words(prose: str) -> str | None:
    match = _CC_PROSE.search(prose)
    if match is None:
        return None
    words = re.sub(r"[^a-z]", "", (match["name"] or match["code"]).lower())
    parts = ["by"]
    for part, pattern in (("nc", "noncommercial|nc"), ("sa", "sharealike|sa"), ("nd", "noderiv|nd")):
        if re.search(pattern, words.removeprefix("attribution").removeprefix("by")):
            parts.append(part)
    return normalise_licence("cc " + "-".join(parts))


def _copyright(meta: Element) -> str | None:
    permissions = _first(meta, "permissions")
    if permissions is None:
        return _text(_first(meta, "copyright-statement"))
    statement = _text(_first(permissions, "copyright-statement"))
    if statement:
        return statement
    holder, year = _text(_first(permissions, "copyright-holder")), _text(_first(permissions, "copyright-year"))
    return " ".join(filter(None, ("©", year, holder))) if holder or year else None


def _authors(meta: Element) -> list[str]:
    names = []
    for contrib in (e for g in _children(meta, "contrib-group") for e in _children(g, "contrib")):
        if contrib.get("contrib-type", "author") != "author":
            continue
        person = _first(contrib, "name")
        if person is None:
            person = _first(contrib, "name-alternatives", "name")
        if person is not None:
            surname, given = _text(_first(person, "surname")), _text(_first(person, "given-names")) or ""
            initials = "".join(word[0] for word in re.split(r"[\s.-]+", given) if word)
            if surname:
                names.append(f"{surname} {initials}".strip())
        elif group := _text(_first(contrib, "collab")):
            names.append(group)
    return names


def _citation(meta: Element, title: str | None, journal: str | None, year: int | None, doi: str | None) -> str | None:
    """Return one line in the manner of PubMed: authors. Title. Journal. Year;volume:pages. doi."""
    authors = _authors(meta)
    shown = ", ".join(authors[:MAX_CITED_AUTHORS]) + (", et al" if len(authors) > MAX_CITED_AUTHORS else "")
    volume = _text(_first(meta, "volume"))
    first_page = _text(_first(meta, "fpage")) or _text(_first(meta, "elocation-id"))
    where = f"{year or ''}{f';{volume}' if volume else ''}{f':{first_page}' if first_page else ''}".strip(";:")
    parts = [shown, title, journal, where, f"doi:{doi}" if doi else None]
    return " ".join(p if p[-1] in ".?!" else f"{p}." for p in parts if p) or None


def _keywords(meta: Element, *, mesh: bool) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for group in _children(meta, "kwd-group"):
        names = (group.get(key) for key in ("kwd-group-type", "vocab", "vocab-identifier"))
        kind = " ".join(filter(None, names)).lower()
        if kind in ("abbreviations", "abbreviation") or ("mesh" in kind) != mesh:
            continue
        for element in group.iter():
            if _name(element) == "kwd" and (word := _text(element)):
                found[word] = None
    return tuple(found)


def _figures(article: Element) -> Iterator[FigureText]:
    order = 0
    groups_done: set[Element] = set()
    for element in article.iter():
        name = _name(element)
        if name not in ("fig", "fig-group") or _is_outside(element, article):
            continue
        parent = element.getparent()
        if name == "fig-group":
            # A group with a number of its own whose parts have none is a single figure.
            parts = [e for e in element.iter() if _name(e) == "fig"]
            if _text(_first(element, "label")) is None or any(_text(_first(p, "label")) for p in parts):
                continue
            groups_done.add(element)
            captions = [_caption(element), *(_caption(p) for p in parts)]
            figure = _figure(element, " ".join(filter(None, captions)), order)
        else:
            if any(a in groups_done for a in element.iterancestors()):
                continue
            caption = _caption(element)
            if parent is not None and _name(parent) == "fig-group":
                caption = " ".join(filter(None, (_caption(parent), caption)))
            figure = _figure(element, caption, order)
        if figure.label is None and (not figure.caption or not figure.hrefs):
            continue  # an ornament, or a graphic that belongs to something else
        order += 1
        yield figure


def _is_outside(element: Element, article: Element) -> bool:
    for ancestor in element.iterancestors():
        if ancestor is article:
            return False
        if _name(ancestor) in _OUTSIDE:
            return True
    return True


def _caption(element: Element) -> str:
    return " ".join(filter(None, (_text(c) for c in _children(element, "caption"))))


def _figure(element: Element, caption: str, order: int) -> FigureText:
    hrefs: dict[str, None] = {}
    for part in element.iter():
        inline = any(_name(a) in ("caption", "inline-formula", "disp-formula") for a in part.iterancestors())
        if _name(part) == "graphic" and not inline and (href := _attribute(part, "href")):
            hrefs[href] = None
    return FigureText(
        label=_text(_first(element, "label")),
        caption=caption,
        hrefs=tuple(hrefs),
        rights=_rights(element, caption),
        order=order,
    )


def _rights(element: Element, caption: str) -> str | None:
    """Return the permission note a figure carries: its own element, or the sentence of the caption that says so."""
    notes = [_text(e) for e in element.iter() if _name(e) in ("permissions", "attrib")]
    note = " ".join(filter(None, notes))
    if note:
        return note
    for sentence in _SENTENCE_END.split(caption):
        if _RIGHTS.search(_METHOD.sub(" ", sentence)):
            return sentence
    return None
