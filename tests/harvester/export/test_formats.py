"""Every format opened by its own tool: as many records as the catalog lets through, labels, boxes and hashes alike."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harvester.export.dataset import export_dataset
from harvester.export.request import FORMATS, ExportRequest
from harvester.export.splits import split_of
from harvester.records import Figure
from tests.harvester.small_harvest import add_article, open_blank

HOSTILE = '=HYPERLINK("http://example.org") <script>alert(1)</script> ](javascript:x) "quoted", ../../etc µm\nnext'


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    with open_blank(tmp_path_factory.mktemp("harvest")) as catalog:
        catalog.finish_run(catalog.start_run("run", {}), 0)
        for number in range(1, 14):
            add_article(catalog, number, mpp_um=0.2 + number / 20, caption=HOSTILE, title=HOSTILE)
        yield catalog


@pytest.fixture(scope="module")
def rows(catalog) -> dict[str, dict]:
    return {row["snapshot_id"]: row for row in catalog.snapshots()}


def read_figures(article_id: str):
    pixels = np.random.default_rng(5).integers(0, 255, (200, 300, 3), np.uint8)
    yield Figure(f"{article_id}/f1", "Figure 1", HOSTILE, None, 2, None, pixels, "pdf")


@pytest.fixture(scope="module")
def made(catalog, tmp_path_factory):
    """One set of each format."""
    root = tmp_path_factory.mktemp("sets")
    for name in FORMATS:
        export_dataset(catalog, root / name, ExportRequest(name), read_figures=read_figures)
    return root


def check(record: dict, rows: dict[str, dict]) -> str:
    """Compare what a tool read with the catalog."""
    row = rows[record["snapshot_id"]]
    assert record["mpp_um"] == row["mpp_um"]
    assert record["magnification_x"] == row["magnification_x"]
    assert record["image_sha256"] == row["image_sha256"]
    assert [record[f"{side}_px"] for side in ("x0", "y0", "x1", "y1")] == [
        row[f"{s}_px"] for s in ("x0", "y0", "x1", "y1")
    ]
    assert record["split"] == split_of(row["pmcid"])
    assert (record["licence_code"], record["citation"]) == (row["licence_code"], row["citation"])
    assert record["caption"] == HOSTILE
    return row["snapshot_id"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset"])
def test_hugging_face_datasets_opens_it_with_a_typed_image(made, rows, tmp_path, monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        found = datasets.load_dataset(str(made / name), cache_dir=str(tmp_path))

    seen = []
    for split, table in found.items():
        feature = table.features["png" if name == "webdataset" else "image"]
        assert isinstance(feature, datasets.Image)
        for item in table:
            record = item["json"] if name == "webdataset" else item
            assert record["split"] == split
            picture = item["png"] if name == "webdataset" else item["image"]
            assert picture.size == (record["width_px"], record["height_px"])
            seen.append(check(record, rows))
    assert sorted(seen) == sorted(rows)


@pytest.mark.slow
def test_webdataset_opens_the_shards(made, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        shards = sorted(map(str, (made / "webdataset").glob("*.tar")))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False))

    seen = []
    for sample in samples:
        record = json.loads(sample["json"])
        assert hashlib.sha256(sample["png"]).hexdigest() == record["image_sha256"]
        seen.append(check(record, rows))
    assert sorted(seen) == sorted(rows)


@pytest.mark.slow
def test_pycocotools_opens_the_boxes_in_the_figures(catalog, made, rows):
    from contextlib import redirect_stdout

    from pycocotools.coco import COCO

    n_regions = n_panels = 0
    for path in sorted((made / "coco" / "annotations").glob("*.json")):
        split = path.stem.removeprefix("instances_")
        with redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
        for image in coco.loadImgs(coco.getImgIds()):
            with Image.open(made / "coco" / "images" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == (300, 200)
            assert image["caption"] == HOSTILE
            for box in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
                if names[box["category_id"]] != "he_region":
                    n_panels += 1
                    [panel] = catalog.rows("SELECT * FROM panel WHERE panel_id = :p", p=box["panel_id"])
                    x, y, w, h = box["bbox"]
                    assert [x, y, x + w, y + h] == [panel[f"{s}_px"] for s in ("x0", "y0", "x1", "y1")]
                    assert names[box["category_id"]] == f"panel_{panel['kind']}"
                    continue
                n_regions += 1
                row = rows[box["snapshot_id"]]
                assert box["mpp_um"] == row["mpp_um"]
                assert box["image_sha256"] == row["image_sha256"]
                assert split == split_of(row["pmcid"])
    assert (n_regions, n_panels) == (len(rows), 3 * 13)


@pytest.mark.slow
def test_pandas_opens_the_tables(made, rows):
    import pandas as pd

    table = pd.read_csv(made / "csv" / "snapshots.csv", keep_default_na=False)
    parquet = pd.read_parquet(made / "parquet" / "data")

    assert sorted(table["snapshot_id"]) == sorted(parquet["snapshot_id"]) == sorted(rows)
    for record in table.to_dict("records"):
        picture = made / "csv" / record["file_name"]
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == record["image_sha256"]
        assert record["caption"] == f"'{HOSTILE}"
        check(record | {"caption": HOSTILE}, rows)
    for record in parquet.to_dict("records"):
        assert hashlib.sha256(record["image"]["bytes"]).hexdigest() == record["image_sha256"]
        check(record, rows)


def test_tifffile_reads_the_pixel_size_and_the_pixels_of_an_ome_tiff(catalog, made, rows):
    import tifffile

    for row in rows.values():
        path = made / "qupath" / "images" / (row["snapshot_id"].replace("/", "_") + ".ome.tif")
        with tifffile.TiffFile(path) as file:
            assert file.is_ome
            pixels = file.pages[0].asarray()
            [image] = ET.fromstring(file.ome_metadata).iterfind("{*}Image")
            tags = {tag.name for tag in file.pages[0].tags}
            n, d = file.pages[0].tags["XResolution"].value
        size = image.find("{*}Pixels")
        assert float(size.get("PhysicalSizeX")) == float(size.get("PhysicalSizeY")) == row["mpp_um"]
        assert size.get("PhysicalSizeXUnit") == "µm"
        assert 1e4 / (n / d) == pytest.approx(row["mpp_um"], rel=1e-6)
        assert "<script>" in image.find("{*}Description").text
        assert not tags & {"DateTime", "Artist", "HostComputer", "ExifTag", "GPSTag"}
        with Image.open(catalog.root / row["image_path"]) as original:
            assert np.array_equal(pixels, np.asarray(original))


def test_a_qupath_project_lists_every_image_below_one_address_and_its_boxes_are_geojson(made, rows):
    root = made / "qupath"
    project = json.loads((root / "project.qpproj").read_text())

    assert {"version", "createTimestamp", "modifyTimestamp", "uri", "lastID", "images"} <= set(project)
    assert project["lastID"] == len(rows) == len(project["images"])
    base = project["uri"].removesuffix("project.qpproj")
    assert str(root) not in (root / "project.qpproj").read_text()
    for number, entry in enumerate(project["images"], start=1):
        assert entry["entryID"] == number
        assert entry["serverBuilder"]["builderType"] == "uri"
        image = root / entry["serverBuilder"]["uri"].removeprefix(base)
        row = rows[entry["metadata"]["snapshot_id"]]
        assert image.is_file()
        assert float(entry["metadata"]["mpp_um"]) == row["mpp_um"]
        boxes = json.loads(image.with_name(image.name.replace(".ome.tif", ".geojson")).read_text())
        [feature] = boxes["features"]
        [ring] = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1] == [0, 0]
        assert ring[2] == [row["width_px"], row["height_px"]]
        assert feature["properties"]["measurements"]["mpp_um"] == row["mpp_um"]
        assert feature["properties"]["metadata"]["caption"] == HOSTILE
    classes = json.loads((root / "classifiers" / "classes.json").read_text())
    assert classes["pathClasses"][0]["name"] == "H&E"


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_has_its_sum_and_every_image_its_credit(made, name):
    root = made / name
    listed = dict(reversed(line.split("  ", 1)) for line in (root / "SHA256SUMS").read_text().splitlines())

    files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file() and p.name != "SHA256SUMS"}

    assert set(listed) == set(files)
    for relative, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[relative], relative
    with (root / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        credits = list(csv.DictReader(file))
    assert len(credits) == (13 if name == "coco" else 26)
    assert all(row["citation"] and row["licence_url"] and row["changes"] for row in credits)
    assert all(row["title"].startswith("'=HYPERLINK") for row in credits)


@pytest.mark.parametrize("name", FORMATS)
def test_no_card_turns_words_of_an_article_into_markup(made, name):
    card = (made / name / "README.md").read_text()

    assert "<script>" not in card
    assert "registry.opendata.aws/ncbi-pmc" in card
    assert "| ±15% |" in card
    assert "not for" in card


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_catalog_gives_the_same_bytes_in_every_format(catalog, made, tmp_path, name):
    export_dataset(catalog, tmp_path / "again", ExportRequest(name), read_figures=read_figures)

    def bytes_of(root: Path) -> dict[str, bytes]:
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    assert bytes_of(tmp_path / "again") == bytes_of(made / name)


def test_label_studio_tasks_hold_captions_as_data_and_the_estimate_as_a_prediction(made, rows):
    tasks = json.loads((made / "csv" / "label_studio" / "tasks.json").read_text())
    config = ET.fromstring((made / "csv" / "label_studio" / "config.xml").read_text())

    names = {element.get("name") for element in config.iter()}
    assert len(tasks) == len(rows)
    for task in tasks:
        row = rows[task["data"]["snapshot_id"]]
        assert task["data"]["caption"] == HOSTILE
        assert (made / "csv" / task["data"]["image"].removeprefix("/data/local-files/?d=")).is_file()
        [prediction] = task["predictions"]
        [result] = prediction["result"]
        assert {result["from_name"], result["to_name"]} <= names
        assert result["value"]["number"] == round(row["magnification_x"], 2)
        assert 0 < prediction["score"] <= 1


def test_a_figure_that_is_no_longer_as_it_was_is_left_out_of_coco(catalog, tmp_path):
    def changed(article_id: str):
        for figure in read_figures(article_id):
            if article_id != "PMC1.1":
                yield figure

    summary = export_dataset(catalog, tmp_path / "coco", ExportRequest("coco"), read_figures=changed)

    assert summary.tally.left_out["figure_unreadable"] == 2
    assert summary.tally.n_images == 24
