from __future__ import annotations

import pytest

from harvester.documents.jats import parse_jats
from harvester.errors import MalformedArticle
from harvester.records import FigureText

DOCTYPE = (
    '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.1 20151215//EN" '
    '"JATS-archivearticle1.dtd">\n'
)


def article(meta: str = "", body: str = "", *, doctype: str = DOCTYPE, floats: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{doctype}<article xmlns:xlink="http://www.w3.org/1999/xlink" '
        'xmlns:ali="http://www.niso.org/schemas/ali/1.0/" xmlns:mml="http://www.w3.org/1998/Math/MathML">'
        "<front><journal-meta><journal-title-group><journal-title>Case Reports in Pathology</journal-title>"
        f"</journal-title-group></journal-meta><article-meta>{meta}</article-meta></front>"
        f"<body>{body}</body><floats-group>{floats}</floats-group></article>"
    ).encode()


def fig(label: str | None, caption: str, inner: str = '<graphic xlink:href="a-g001"/>') -> str:
    shown = f"<label>{label}</label>" if label else ""
    return f"<fig>{shown}<caption>{caption}</caption>{inner}</fig>"


def figures(body: str) -> tuple[FigureText, ...]:
    return parse_jats(article(body=body)).figures


AUTHORS = "<contrib-group>" + "".join(
    f'<contrib contrib-type="author"><name><surname>Author{c}</surname><given-names>Jane {c}.</given-names></name></contrib>'  # noqa: E501
    for c in "ABCDEFG"
) + '<contrib contrib-type="editor"><name><surname>Nobody</surname></name></contrib></contrib-group>'  # fmt: skip


def test_front_matter_of_the_2010s() -> None:
    text = parse_jats(
        article(
            '<article-id pub-id-type="pmc">4735918</article-id><article-id pub-id-type="pmid">26881175</article-id>'
            '<article-id pub-id-type="doi">10.1155/2016/5764625</article-id>'
            "<title-group><article-title>A <italic>rare</italic> tumour<xref>*</xref></article-title></title-group>"
            + AUTHORS
            + '<pub-date pub-type="ppub"><year>2017</year></pub-date><pub-date pub-type="epub"><year>2016</year></pub-date>'  # noqa: E501
            '<pub-date pub-type="pmc-release"><year>2018</year></pub-date><volume>12</volume><fpage>34</fpage>'
            "<permissions><copyright-statement>Copyright © 2016 A. et al.</copyright-statement></permissions>"
            '<kwd-group><kwd>liver</kwd><kwd> bile\n duct </kwd></kwd-group><kwd-group kwd-group-type="MeSH"><kwd>Adenoma</kwd></kwd-group>'  # noqa: E501
            '<kwd-group kwd-group-type="abbreviations"><kwd>HE</kwd></kwd-group>'
        )
    )

    assert (text.pmcid, text.pmid, text.doi) == ("PMC4735918", 26881175, "10.1155/2016/5764625")
    assert (text.journal, text.year, text.keywords, text.mesh_terms) == (
        "Case Reports in Pathology", 2016, ("liver", "bile duct"), ("Adenoma",),
    )  # fmt: skip
    assert text.copyright_line == "Copyright © 2016 A. et al."
    assert text.citation == (
        "AuthorA JA, AuthorB JB, AuthorC JC, AuthorD JD, AuthorE JE, AuthorF JF, et al. A rare tumour*. "
        "Case Reports in Pathology. 2016;12:34. doi:10.1155/2016/5764625."
    )


def test_front_matter_since_2026() -> None:
    text = parse_jats(
        article(
            '<article-id pub-id-type="pmcid">PMC4924218</article-id><article-id pub-id-type="pmcid-ver">PMC4924218.1</article-id>'  # noqa: E501
            '<article-id pub-id-type="pmcaid">111</article-id><article-id pub-id-type="pmcaiid">222</article-id>'
            "<custom-meta-group><custom-meta><meta-name>pmc-license-ref</meta-name><meta-value>CC BY-NC</meta-value></custom-meta>"  # noqa: E501
            "</custom-meta-group>",
            doctype="",
        )
    )

    assert (text.pmcid, text.pmid, text.licence_code, text.licence_url) == ("PMC4924218", None, "CC BY-NC", None)


BY4 = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (f'<license><ali:license_ref specific-use="textmining" content-type="ccbylicense">{BY4}</ali:license_ref></license>', ("CC BY", BY4)),  # noqa: E501
        ('<license><ali:license_ref content-type="ccbyncndlicense"/></license>', ("CC BY-NC-ND", None)),
        (f'<license license-type="open-access" xlink:href="{BY4}"><license-p>words</license-p></license>', ("CC BY", BY4)),  # noqa: E501
        (f'<license><license-p>See <ext-link xlink:href="{BY4}">here</ext-link>; data under '
         '<ext-link xlink:href="http://creativecommons.org/publicdomain/zero/1.0/">CC0</ext-link></license-p></license>', ("CC BY", BY4)),  # noqa: E501
        (f"<license><license-p>Under the terms at {BY4}, which permit reuse</license-p></license>", ("CC BY", BY4)),
        ("<license><license-p>Distributed under the Creative Commons Attribution License, which permits</license-p></license>", ("CC BY", None)),  # noqa: E501
        ("<license><license-p>the Creative Commons Attribution-NonCommercial-ShareAlike 4.0 License</license-p></license>", ("CC BY-NC-SA", None)),  # noqa: E501
        ("<license><license-p>Creative Commons Attribution Non Commercial No Derivatives 4.0</license-p></license>", ("CC BY-NC-ND", None)),  # noqa: E501
        ("<license><license-p>an open access article under the CC BY-NC-ND license.</license-p></license>", ("CC BY-NC-ND", None)),  # noqa: E501
        ("<license><license-p>All rights reserved.</license-p></license>", (None, None)),
        ("<copyright-year>2016</copyright-year>", (None, None)),
    ],
)  # fmt: skip
def test_the_licence_is_found_wherever_it_stands(licence: str, expected: tuple[str | None, str | None]) -> None:
    text = parse_jats(article(f"<permissions>{licence}</permissions>"))

    assert (text.licence_code, text.licence_url) == expected


def test_captions_become_plain_text() -> None:
    (figure,) = figures(
        fig(
            "<bold>Fig.&#160;1</bold>",
            "<title>Liver  of\n<italic>Ocimum</italic></title><p>CD4<sup>+</sup> cells (<xref>Figure 2</xref>), "
            "<inline-formula><tex-math>\\alpha</tex-math><mml:math><mml:mi>α</mml:mi></mml:math></inline-formula> = 1."
            "<!-- no --></p><p>Bar, 50 μm.</p>",
        )
    )

    assert (figure.label, figure.caption) == ("Fig. 1", "Liver of Ocimum CD4+ cells (Figure 2), α = 1. Bar, 50 μm.")


def test_figures_keep_their_order_and_files() -> None:
    choice = '<alternatives><graphic xlink:href="g2.tif"/><graphic xlink:href="g2.jpg"/></alternatives>'
    found = figures(
        fig("Figure 1", "<p>One.</p>", '<graphic xlink:href="g1.jpg"/>')
        + f"<sec><p>text {fig('Figure 2', '<p>Two.</p>', choice)}</p></sec>"
    )

    assert [(f.label, f.order, f.hrefs) for f in found] == [
        ("Figure 1", 0, ("g1.jpg",)),
        ("Figure 2", 1, ("g2.tif", "g2.jpg")),
    ]


def test_figures_in_the_floats_group_count_and_those_of_supplements_and_abstracts_do_not() -> None:
    text = parse_jats(
        article(
            f'<abstract abstract-type="graphical">{fig(None, "<p>Graphical abstract.</p>")}</abstract>',
            f"<supplementary-material>{fig('Figure S1', '<p>More.</p>')}</supplementary-material>"
            "<p><fig><graphic xlink:href='ornament'/></fig></p>",
            floats=fig("Figure 1", "<p>One.</p>"),
        )
    )

    assert [f.label for f in text.figures] == ["Figure 1"]


def test_a_group_with_one_number_is_one_figure() -> None:
    (figure,) = figures(
        "<fig-group><label>Figure 3</label><caption><p>Whole.</p></caption>"
        + fig(None, "<p>(a) left</p>", '<graphic xlink:href="g3a"/>')
        + fig(None, "<p>(b) right</p>", '<graphic xlink:href="g3b"/>')
        + "</fig-group>"
    )

    assert (figure.label, figure.caption, figure.hrefs) == ("Figure 3", "Whole. (a) left (b) right", ("g3a", "g3b"))


@pytest.mark.parametrize(
    ("caption", "inner", "rights"),
    [
        ("Liver. Reproduced with permission from Elsevier.", "", "Reproduced with permission from Elsevier."),
        ("Adapted from Smith et al. [12]. Bar 50.", "", "Adapted from Smith et al."),
        ("Image courtesy of Dr. Brown", "", "Image courtesy of Dr. Brown"),
        ("Liver.", "<attrib>From Gray 1918</attrib>", "From Gray 1918"),
        ("Liver.", "<permissions><copyright-statement>© Wiley</copyright-statement></permissions>", "© Wiley"),
        ("Biopsy taken from the colon, modified by heat; cells were drawn by needle.", "", None),
        ("Tissue from the patient, used with haematoxylin.", "", None),
    ],
)
def test_a_permission_note_is_kept(caption: str, inner: str, rights: str | None) -> None:
    (figure,) = figures(fig("Figure 1", f"<p>{caption}</p>", inner + '<graphic xlink:href="g"/>'))

    assert (figure.rights is not None) == (rights is not None)
    assert rights is None or (figure.rights or "").startswith(rights)


def test_wrappers_and_namespaces_of_the_services() -> None:
    inner = article(body=fig("Figure 1", "<p>One.</p>"), doctype="").decode().split("?>", 1)[1]
    efetch = f"<pmc-articleset>{inner}<article/></pmc-articleset>".encode()
    spaced = inner.replace("<article ", "<article xmlns='https://jats.nlm.nih.gov/ns/archiving/1.3/' ")
    oai = f"<OAI-PMH xmlns='http://www.openarchives.org/OAI/2.0/'>{spaced}</OAI-PMH>".encode()

    assert [len(parse_jats(x).figures) for x in (efetch, oai)] == [1, 1]


def test_a_jats_document_type_without_entities_is_fine_and_named_characters_survive() -> None:
    (figure,) = figures(fig("Figure 1", "<p>5&nbsp;&mu;m</p>"))

    assert figure.caption == "5 μm"


LAUGHS = (
    "<!DOCTYPE a [<!ENTITY l0 'ha'>" + "".join(f"<!ENTITY l{i} '{f'&l{i - 1};' * 10}'>" for i in range(1, 10)) + "]>"
)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (b"", "xml_malformed"),
        (b"   \n", "xml_malformed"),
        (b"<article><front></article>", "xml_malformed"),
        (b"%PDF-1.4", "xml_malformed"),
        (b"<html><body>Not found</body></html>", "xml_not_jats"),
        (b"<a>" * 5000 + b"</a>" * 5000, "xml_malformed"),
        (f"{LAUGHS}<article>&l9;</article>".encode(), "xml_entities"),
        (f"{LAUGHS}<article>&l9;</article>".encode("utf-16"), "xml_entities"),
        (
            b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><article><front>&x;</front></article>",
            "xml_entities",
        ),
        (b"<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://127.0.0.1:9/x.dtd'>%x;]><article/>", "xml_entities"),
        (b"<!DOCTYPE a [<!ENTITY never 'used'>]><article/>", "xml_entities"),
    ],
)
def test_hostile_or_broken_xml_is_refused_in_one_sentence(xml: bytes, reason: str) -> None:
    with pytest.raises(MalformedArticle) as caught:
        parse_jats(xml)

    assert caught.value.reason == reason
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_an_outside_dtd_is_never_opened(tmp_path) -> None:
    dtd = tmp_path / "evil.dtd"
    dtd.write_text("<!ENTITY secret 'gotcha'>")

    text = parse_jats(
        article(body=fig("Figure 1", "<p>&secret;</p>"), doctype=f'<!DOCTYPE article SYSTEM "{dtd.as_uri()}">')
    )

    assert "gotcha" not in text.figures[0].caption


def test_every_real_article_is_read(shared_dir) -> None:
    counts = {}
    for path in sorted((shared_dir / "articles").glob("PMC*/fulltext.xml")):
        text = parse_jats(path.read_bytes())
        assert text.licence_code == "CC BY"
        assert text.pmcid == path.parent.name
        assert text.citation and text.doi and text.doi in text.citation
        counts[path.parent.name] = len(text.figures)

    assert sum(counts.values()) == 69
