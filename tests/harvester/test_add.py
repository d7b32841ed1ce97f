"""Your own files: what makes an article, what names its group, and that taking them in twice changes nothing."""

from __future__ import annotations

import pytest

from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.fetch.store import Store
from harvester.pipeline.add import add, compile_group, find_articles
from tests.harvester import bad_files
from tests.harvester.harvests import files_of, rows_of

JATS = b"""<article><front><journal-meta><journal-title>J Own</journal-title></journal-meta><article-meta>
<article-id pub-id-type="pmc">123</article-id>
<title-group><article-title>Ours</article-title></title-group><permissions>
<license xmlns:ali="http://www.niso.org/schemas/ali/1.0/">
<ali:license_ref>https://creativecommons.org/licenses/by/4.0/</ali:license_ref></license>
</permissions></article-meta></front></article>"""


@pytest.fixture
def source(tmp_path):
    """A folder as people have them: an article folder, a PDF with its XML, pictures of two cases, other things."""
    root = tmp_path / "mine"
    article = root / "PMC123"
    article.mkdir(parents=True)
    (article / "fulltext.pdf").write_bytes(bad_files.pdf())
    (article / "fulltext.xml").write_bytes(JATS)
    (article / "fig1.png").write_bytes(bad_files.saved(bad_files.Image.fromarray(bad_files.picture(90, 70)), "PNG"))
    (root / "alone.pdf").write_bytes(bad_files.pdf(pages=2))
    (root / "alone.xml").write_bytes(JATS.replace(b"123", b"124"))
    (root / "notes.txt").write_text("not for us")
    for case in ("case7", "case8"):
        (root / case).mkdir()
        for n in range(2):
            image = bad_files.Image.fromarray(bad_files.picture(80, 60, seed=int(case[-1]) * 10 + n))
            (root / case / f"{n}.png").write_bytes(bad_files.saved(image, "PNG"))
    return root


def take(source, root, **options):
    articles, n_ignored = find_articles([source])
    with Catalog.open(root, create=True) as catalog:
        return add(articles, catalog, Store(root), **options), n_ignored


def test_articles_are_found_whatever_the_layout(source):
    articles, n_ignored = find_articles([source])

    by_name = {item.relative_name: item for item in articles}
    assert set(by_name) == {"PMC123", "alone.pdf", "case7/0.png", "case7/1.png", "case8/0.png", "case8/1.png"}
    assert by_name["PMC123"].xml and [p.name for p in by_name["PMC123"].media] == ["fig1.png"]
    assert by_name["alone.pdf"].xml.name == "alone.xml"
    assert n_ignored == 1


def test_the_xml_says_licence_and_number_and_the_option_wins(source, tmp_path):
    take(source, tmp_path / "a")
    take(source, tmp_path / "b", licence_code="own")

    with Catalog.open(tmp_path / "a") as catalog:
        rows = {r["title"]: r for r in catalog.rows("select title, pmcid, licence_code, source from article")}
    assert rows["Ours"]["licence_code"] == "CC BY" and rows["Ours"]["pmcid"] in ("PMC123", "PMC124")
    assert rows["case7/0.png"]["licence_code"] is None
    with Catalog.open(tmp_path / "b") as catalog:
        assert {r["licence_code"] for r in catalog.rows("select licence_code from article")} == {"own"}


def test_the_group_is_what_the_expression_captures(source, tmp_path):
    take(source, tmp_path / "h", pattern=compile_group(r"case(\d+)"))

    with Catalog.open(tmp_path / "h") as catalog:
        groups = [r["group_name"] for r in catalog.rows("select group_name from article")]
    assert sorted(g for g in groups if g) == ["7", "7", "8", "8"]


def test_a_malformed_expression_is_refused():
    with pytest.raises(UsageError, match="regular expression"):
        compile_group("case(")


def test_taking_the_same_in_twice_changes_no_row_and_no_file(source, tmp_path):
    root = tmp_path / "h"
    first, _ = take(source, root)
    rows, files = rows_of(root), files_of(root)

    second, _ = take(source, root)

    assert (first.n_added, first.n_known) == (6, 0)
    assert (second.n_added, second.n_known) == (0, 6)
    assert rows_of(root) == rows and files_of(root) == files


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No PDF and no image"):
        find_articles([tmp_path])
