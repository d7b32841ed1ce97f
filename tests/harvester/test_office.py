import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harvester.documents.office as office
from harvester.catalog import Catalog
from harvester.documents.office import office_pictures
from harvester.errors import MalformedArticle
from harvester.fetch.store import Store
from harvester.pipeline.add import add, find_articles
from harvester.pipeline.labels import Label

A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"


def png(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rels(**targets: str) -> str:
    rows = ""
    for key, target in targets.items():
        mode = ' TargetMode="External"' if "://" in target else ""
        rows += f'<Relationship Id="{key}" Target="{target}"{mode}/>'
    return f'<Relationships xmlns="{RELS}">{rows}</Relationships>'


def picture(key: str) -> str:
    return f'<w:p><w:r><w:drawing><a:blip r:embed="{key}"/></w:drawing></w:r></w:p>'


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def write(path: Path, parts: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def docx(path: Path, body: str, targets: dict[str, str], media: dict[str, bytes]) -> Path:
    return write(
        path,
        {
            "word/document.xml": f"<w:document {W} {A} {R}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": rels(**targets),
            **{f"word/media/{name}": data for name, data in media.items()},
        },
    )


@pytest.fixture
def report(tmp_path: Path) -> Path:
    body = (
        paragraph("A man of 61.")
        + picture("r1")
        + paragraph("")
        + paragraph("Figure 1. Colon, H&amp;E, x200.")
        + picture("r2")
        + paragraph("Figure 2. CT.")
        + picture("r1")
        + picture("r9")
        + picture("r3")
    )
    targets = {"r1": "media/a.png", "r2": "media/b.PNG", "r3": "https://example.org/c.png", "r9": "../../etc/passwd"}
    return docx(tmp_path / "case 7.docx", body, targets, {"a.png": png(1), "b.PNG": png(2)})


def test_pictures_come_once_as_they_were_put_in_with_the_words_below_them(report: Path) -> None:
    found = list(office_pictures(report))

    assert [(p.number, p.suffix, p.words) for p in found] == [
        (1, ".png", "Figure 1. Colon, H&E, x200."),
        (2, ".png", "Figure 2. CT."),
    ]
    assert [p.data for p in found] == [png(1), png(2)]


def test_slides_are_read_in_their_order_and_a_slides_words_belong_to_all_its_pictures(tmp_path: Path) -> None:
    def slide(words: str) -> str:
        return f'<s {A} {R}><a:p><a:r><a:t>{words}</a:t></a:r></a:p><a:blip r:embed="r1"/></s>'

    parts: dict[str, str | bytes] = {}
    for number in (1, 2, 10):
        parts[f"ppt/slides/slide{number}.xml"] = slide(f"slide {number}")
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = rels(r1=f"../media/i{number}.png")
        parts[f"ppt/media/i{number}.png"] = png(number)

    found = list(office_pictures(write(tmp_path / "talk.pptx", parts)))

    assert [p.words for p in found] == ["slide 1", "slide 2", "slide 10"]
    assert [p.data for p in found] == [png(1), png(2), png(10)]


def test_what_is_no_document_or_larger_inside_than_any_is_refused(
    tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.docx"
    broken.write_bytes(report.read_bytes()[:300])
    with pytest.raises(MalformedArticle, match=r"'broken\.docx' is no Word or PowerPoint file"):
        list(office_pictures(broken))
    with pytest.raises(MalformedArticle, match="neither a page nor a slide"):
        list(office_pictures(write(tmp_path / "empty.docx", {"x.txt": "x"})))
    bad = docx(tmp_path / "bad.docx", "<w:p>", {}, {})
    with pytest.raises(MalformedArticle, match="no Word"):
        list(office_pictures(bad))
    monkeypatch.setattr(office, "MAX_PICTURE_BYTES", 100)
    with pytest.raises(MalformedArticle, match="larger than"):
        list(office_pictures(report))
    monkeypatch.setattr(office, "MAX_PARTS", 2)
    with pytest.raises(MalformedArticle, match="more parts"):
        list(office_pictures(report))


def test_entities_of_a_hostile_part_are_not_resolved(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    page = (
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        f"<w:document {W} {A} {R}><w:body>{paragraph('&x;')}{picture('r1')}</w:body></w:document>"
    )
    path = write(
        tmp_path / "evil.docx",
        {"word/document.xml": page, "word/_rels/document.xml.rels": rels(r1="media/a.png"), "word/media/a.png": png()},
    )

    assert [p.words for p in office_pictures(path)] == [""]


def test_a_documents_pictures_become_articles_of_one_group_with_its_words(tmp_path: Path, report: Path) -> None:
    (tmp_path / "files").mkdir()
    report.rename(tmp_path / "files" / report.name)
    (tmp_path / "files" / "broken.pptx").write_bytes(b"PK")
    (tmp_path / "unpacked").mkdir()
    root = tmp_path / "harvest"

    articles, n_ignored = find_articles([tmp_path / "files"], tmp_path / "unpacked")
    with Catalog.open(root, create=True) as catalog:
        labels = {"case 7.docx/picture2.png": Label("case 7.docx/picture2.png", case="7", diagnosis="polyp")}
        outcome = add(articles, catalog, Store(root), licence_code="own", labels=labels)
        again = add(articles, catalog, Store(root), licence_code="own", labels=labels)
        rows = sorted((row["title"], row["group_name"]) for row in catalog.rows("select * from article"))

    assert (outcome.n_added, again.n_added, n_ignored) == (2, 0, 1)
    assert rows == [("case 7.docx/picture1.png", "case 7.docx"), ("case 7.docx/picture2.png", "7")]
    kept = sorted(path.read_text() for path in root.rglob("*.json") if "local-" in path.name)
    assert any("Figure 1. Colon, H&E, x200." in text for text in kept)
    assert any("polyp" in text for text in kept)
