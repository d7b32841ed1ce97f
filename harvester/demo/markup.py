"""JATS of drawn articles, in the serialisation that PMC serves since 2026:
ids with version, custom-meta, ali:license_ref."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape, quoteattr

LICENCE_URLS = {
    "CC BY": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-SA": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC BY-ND": "https://creativecommons.org/licenses/by-nd/4.0/",
    "CC BY-NC": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC BY-NC-SA": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "CC BY-NC-ND": "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
}


@dataclass(frozen=True, slots=True)
class FigureMarkup:
    """A figure as the XML has it; `rights` becomes a permission block of its own."""

    label: str
    caption: str
    href: str
    rights: str | None = None


def make_jats(
    *,
    number: int,
    version: int,
    title: str,
    journal: str,
    authors: Sequence[tuple[str, str]],
    doi: str,
    pmid: int,
    released: date,
    licence_code: str | None,
    abstract: str,
    keywords: Sequence[str],
    sections: Sequence[tuple[str, str]],
    figures: Sequence[FigureMarkup],
    is_manuscript: bool = False,
) -> bytes:
    """Return the XML of one article version."""
    url = LICENCE_URLS.get(licence_code or "")
    people = "".join(
        f'<contrib contrib-type="author"><name><surname>{escape(last)}</surname><given-names>{escape(first)}'
        "</given-names></name></contrib>"
        for last, first in authors
    )
    licence = ""
    if url:
        kind = (licence_code or "").lower().replace(" ", "").replace("-", "") + "license"
        licence = (
            f'<license><ali:license_ref xmlns:ali="http://www.niso.org/schemas/ali/1.0/" '
            f'specific-use="textmining" content-type="{kind}">{url}</ali:license_ref><license-p>This is an open access '
            f'article under the <ext-link ext-link-type="uri" xlink:href="{url}">{licence_code}</ext-link> '
            "licence.</license-p></license>"
        )
    props = {
        "pmc-status-live": "yes",
        "pmc-status-embargo": "no",
        "pmc-prop-open-access": "yes" if url else "no",
        "pmc-prop-manuscript": "yes" if is_manuscript else "no",
        "pmc-prop-is-scanned-article": "no",
    } | ({"pmc-license-ref": licence_code} if licence_code else {})
    custom = "".join(
        f"<custom-meta><meta-name>{name}</meta-name><meta-value>{value}</meta-value></custom-meta>"
        for name, value in props.items()
    )
    day = f"<day>{released.day}</day><month>{released.month}</month><year>{released.year}</year>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.4 20241031//EN" \
"JATS-archivearticle1-4.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" article-type="research-article" xml:lang="en" dtd-version="1.4">\
<front><journal-meta><journal-id journal-id-type="nlm-ta">{escape(journal)}</journal-id><journal-title-group>\
<journal-title>{escape(journal)}</journal-title></journal-title-group></journal-meta><article-meta>\
<article-id pub-id-type="pmcid">PMC{number}</article-id><article-id pub-id-type="pmcid-ver">PMC{number}.{version}\
</article-id><article-id pub-id-type="pmcaid">{number}</article-id><article-id pub-id-type="pmcaiid">{number}\
</article-id><article-id pub-id-type="pmid">{pmid}</article-id><article-id pub-id-type="doi">{doi}</article-id>\
<article-version article-version-type="pmc-version">{version}</article-version><title-group><article-title>\
{escape(title)}</article-title></title-group><contrib-group>{people}</contrib-group><pub-date pub-type="epub">{day}\
</pub-date><pub-history><event event-type="pmc-release"><date>{day}</date></event></pub-history><permissions>\
<copyright-statement>© {released.year} the program that drew it</copyright-statement><copyright-year>{released.year}\
</copyright-year>{licence}</permissions><abstract><p>{escape(abstract)}</p></abstract><kwd-group>\
{"".join(f"<kwd>{escape(word)}</kwd>" for word in keywords)}</kwd-group><custom-meta-group>{custom}</custom-meta-group>\
</article-meta></front><body>\
{"".join(f"<sec><title>{escape(head)}</title><p>{escape(text)}</p></sec>" for head, text in sections)}\
<sec><title>Figures</title>{"".join(_figure(i, figure) for i, figure in enumerate(figures, 1))}</sec></body></article>
""".encode()


def _figure(i: int, figure: FigureMarkup) -> str:
    rights = ""
    if figure.rights:
        rights = f"<permissions><copyright-statement>{escape(figure.rights)}</copyright-statement></permissions>"
    return (
        f'<fig id="fig{i}" position="float"><label>{escape(figure.label)}</label><caption><p>{escape(figure.caption)}'
        f'</p></caption><graphic position="float" xlink:href={quoteattr(figure.href)}/>{rights}</fig>'
    )
