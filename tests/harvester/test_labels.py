"""What is known of your own pictures: read from a CSV file, kept beside them, and heard by annotate."""

from __future__ import annotations

import pytest

from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.fetch.store import Store
from harvester.pipeline.add import add, find_articles
from harvester.pipeline.labels import Label, label_of_file, read_labels
from harvester.pipeline.read import ArticleJob, read_figures
from harvester.settings import AnnotateSettings
from tests.harvester import bad_files

HEAD = "file,case,organ,diagnosis,mpp_um\n"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "mine"
    for n, name in enumerate(("x/a.png", "y/a.png", "b.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = bad_files.Image.fromarray(bad_files.picture(80, 60, seed=n))
        (folder / name).write_bytes(bad_files.saved(image, "PNG"))
    return folder


def take(pictures, root, labels):
    with Catalog.open(root, create=not root.exists()) as catalog:
        outcome = add(find_articles([pictures])[0], catalog, Store(root), licence_code="own", labels=labels)
        return outcome, {r["title"]: r for r in catalog.rows("select * from article")}


def test_bad_lines_cost_only_themselves(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(
        HEAD + "x/a.png,7,kidney,oncocytoma,0.25\n,1,,,\nx/a.png,8,,,\nb.png,9,,,huge\nc.png,1,2,3,4,5\n.\\d.png\n\n",
        encoding="utf-8-sig",
    )
    labels, skips = read_labels(path)

    assert labels == {"x/a.png": Label("x/a.png", "7", "kidney", "oncocytoma", 0.25), "d.png": Label("d.png")}
    assert [skip.subject_id for skip in skips] == [f"labels.csv:{n}" for n in (3, 4, 5, 6)]
    assert "'huge' as µm per pixel" in skips[2].detail


@pytest.mark.parametrize("content", [b"", b"name,mpp\n", b"\xff\xfe\x00", b"file,file\n"])
def test_a_file_without_the_columns_is_refused(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="--labels"):
        read_labels(path)


def test_cases_are_groups_and_a_known_size_is_a_witness(pictures, tmp_path):
    labels = {
        "x/a.png": Label("x/a.png", "case 1", "kidney", "oncocytoma", 0.25),
        "b.png": Label("b.png", "case 2"),
        "a.png": Label("a.png", "nobody"),
    }
    outcome, rows = take(pictures, tmp_path / "h", labels)
    article = rows["x/a.png"]

    assert (article["group_name"], rows["b.png"]["group_name"]) == ("case 1", "case 2")
    assert rows["y/a.png"]["group_name"] is None
    assert [skip.reason for skip in outcome.label_skips] == ["unused_label"]
    with Catalog.open(tmp_path / "h") as catalog:
        files = catalog.article_files(article["article_id"], tmp_path / "h")
    assert [f.caption for f in read_figures(ArticleJob(tmp_path / "h", files, AnnotateSettings()))] == [
        "oncocytoma, kidney"
    ]
    kept = label_of_file(files.folder / f"{article['article_id']}.json")
    assert kept and kept.pixel_size and kept.pixel_size.mpp_um == 0.25

    again = take(pictures, tmp_path / "h", {})[1]
    assert again["x/a.png"]["group_name"] == "case 1"
    assert label_of_file(files.folder / f"{article['article_id']}.json") == kept


def test_another_label_makes_the_picture_due_again(pictures, tmp_path):
    root = tmp_path / "h"
    take(pictures, root, {"b.png": Label("b.png", mpp_um=0.5)})
    with Catalog.open(root) as catalog, catalog._writing() as connection:
        connection.exec_driver_sql("UPDATE article SET annotated_version = '9'")

    rows = take(pictures, root, {"b.png": Label("b.png", mpp_um=0.25)})[1]

    assert rows["b.png"]["annotated_version"] is None
    assert rows["x/a.png"]["annotated_version"] == "9"


def test_the_known_size_is_a_row_of_evidence(shared_dir, tmp_path):
    """The whole way on a real field: the told size becomes the metadata witness."""
    from harvester.pipeline.read import read_article

    name = "TCGA-18-5592-01Z-00-DX1.jpg"
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_bytes((shared_dir / "histology" / "monuseg" / name).read_bytes())
    rows = take(folder, tmp_path / "h", {name: Label(name, mpp_um=0.25)})[1]
    with Catalog.open(tmp_path / "h") as catalog:
        files = catalog.article_files(rows[name]["article_id"], tmp_path / "h")

    found = read_article(ArticleJob(tmp_path / "h", files, AnnotateSettings()))

    told = [row for row in found.evidence if row.kind == "metadata"]
    assert [(row.mpp_um, row.origin) for row in told] == [(0.25, "known")]


def test_a_damaged_label_in_the_harvest_says_nothing(tmp_path):
    for content in ("", "[]", '{"file": 1, "x": 2}', '{"file": "a", "mpp_um": "x"}', '{"file": "a", "mpp_um": -1}'):
        (tmp_path / "a.json").write_text(content)
        assert label_of_file(tmp_path / "a.json") is None
