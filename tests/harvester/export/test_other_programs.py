"""What users open a data set with: boxes that lie where they should, and files that other programs' own rules pass."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harvester.catalog import Catalog
from harvester.export.companions import label_task
from harvester.export.dataset import export_dataset
from harvester.export.request import ExportRequest
from harvester.geometry import BoxPt, BoxPx
from harvester.records import ArticleResult, Figure, FigureRow, PanelRow, SnapshotRow
from tests.harvester.small_harvest import (
    add_article,
    make_article,
    make_estimate,
    open_blank,
    save_model,
    write_pdf,
    write_png,
)

GROUND, PANEL_A, PANEL_B, TISSUE_A, TISSUE_B = (
    (255, 255, 255), (200, 200, 200), (120, 120, 120), (230, 150, 190), (190, 90, 150),
)  # fmt: skip
BOXES = {
    "a": (BoxPx(10, 20, 130, 110), 2, BoxPx(20, 30, 200, 150), TISSUE_A),
    "b": (BoxPx(150, 5, 290, 190), 1, BoxPx(0, 7, 133, 185), TISSUE_B),
}
"""Letter: panel in the figure, how much finer its own raster is, region in that raster, colour of the region."""


def drawn_figure() -> np.ndarray:
    """A figure of two panels, each with one region of its own colour."""
    pixels = np.full((200, 300, 3), GROUND, np.uint8)
    for (box, finer, region, colour), ground in zip(BOXES.values(), (PANEL_A, PANEL_B), strict=True):
        box.crop(pixels)[:] = ground
        x0, y0, x1, y1 = (side // finer for side in (region.x0, region.y0, region.x1, region.y1))
        BoxPx(x0, y0, x1, y1).shifted(box.x0, box.y0).crop(pixels)[:] = colour
    return pixels


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        catalog.finish_run(catalog.start_run("run", {}), 0)
        yield catalog


def add_drawn_figure(catalog: Catalog) -> None:
    article, figure_id = make_article(1), "PMC1.1/f1"
    catalog.save_article(article, [write_pdf(catalog.root, article.article_id)])
    save_model(catalog)
    page = BoxPt(0, 0, 300, 200)
    panels, snapshots = [], []
    for seed, (letter, (box, finer, region, _)) in enumerate(BOXES.items()):
        native = box.width * finer, box.height * finer
        panels.append(
            PanelRow(f"{figure_id}/{letter}", figure_id, letter.upper(), "Words.", box, None, *native, "he", 0.9)
        )
        path, sha = write_png(catalog.root, seed)
        row = SnapshotRow(f"{panels[-1].panel_id}/s1", panels[-1].panel_id, region, 0.9, 0.7, path, sha, sha[:16])
        snapshots.append(row)
    figure = FigureRow(figure_id, "Figure 1", "Words.", None, 1, page, 300, 200, "pdf")
    result = ArticleResult("PMC1.1", figures=(figure,), panels=tuple(panels), snapshots=tuple(snapshots))
    catalog.save_result(result, [make_estimate(row.snapshot_id) for row in snapshots])


# pycocotools 2.0 hands numpy 2 an array the old way
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.slow
def test_the_boxes_of_coco_hold_the_regions_to_the_pixel(catalog, tmp_path, capsys):
    from pycocotools.coco import COCO

    add_drawn_figure(catalog)

    def read_figures(article_id: str):
        yield Figure("PMC1.1/f1", "Figure 1", "Words.", None, 1, None, drawn_figure(), "pdf")

    export_dataset(catalog, tmp_path / "coco", ExportRequest("coco"), read_figures=read_figures)

    [path] = (tmp_path / "coco" / "annotations").glob("*.json")
    coco = COCO(str(path))
    [image] = coco.loadImgs(coco.getImgIds())
    [file] = (tmp_path / "coco" / "images").rglob(image["file_name"])
    with Image.open(file) as opened:
        pixels = np.asarray(opened)
    seen = set()
    for annotation in coco.loadAnns(coco.getAnnIds()):
        box, _, _, colour = BOXES[annotation["panel_label"].lower()]
        if not annotation["snapshot_id"]:
            assert annotation["bbox"] == [box.x0, box.y0, box.width, box.height]
            continue
        x, y, w, h = annotation["bbox"]
        assert all(float(side).is_integer() for side in (x, y, w, h))
        inside = np.zeros(pixels.shape[:2], bool)
        inside[int(y) : int(y + h), int(x) : int(x + w)] = True
        assert np.array_equal(inside, (pixels == colour).all(axis=2))
        assert np.array_equal(inside, coco.annToMask(annotation).astype(bool))
        assert annotation["area"] == inside.sum()
        seen.add(annotation["snapshot_id"])
    assert seen == {"PMC1.1/f1/a/s1", "PMC1.1/f1/b/s1"}


def test_the_metadata_of_an_ome_tiff_passes_the_schema(catalog, tmp_path):
    ome_types = pytest.importorskip("ome_types")
    import tifffile

    add_article(catalog, 1, n=2, caption='<b>&"\x01 µm ]]> Ω')
    add_article(catalog, 2, abstained=True, mpp_um=None)
    export_dataset(catalog, tmp_path / "set", ExportRequest("qupath", include_abstained=True))

    rows = {row["snapshot_id"].replace("/", "_"): row for row in catalog.snapshots()}
    files = sorted((tmp_path / "set" / "images").glob("*.ome.tif"))
    assert len(files) == len(rows) == 4
    for path in files:
        with tifffile.TiffFile(path) as file:
            text = file.ome_metadata
        ome_types.validate_xml(text)
        [image] = ome_types.from_xml(text).images
        row = rows[path.name.removesuffix(".ome.tif")]
        assert (image.pixels.size_x, image.pixels.size_y) == (row["width_px"], row["height_px"])
        assert image.pixels.physical_size_x == image.pixels.physical_size_y == row["mpp_um"]
        if row["mpp_um"]:
            assert image.pixels.physical_size_x_unit.value == "µm"


def test_a_qupath_project_has_the_fields_and_types_that_qupath_reads(catalog, tmp_path):
    """QuPath's own reader is Java and not asked here; these are the fields of its `DefaultProject` and their types."""
    add_article(catalog, 1, n=2)
    export_dataset(catalog, tmp_path / "set", ExportRequest("qupath"))

    project = json.loads((tmp_path / "set" / "project.qpproj").read_text(encoding="utf-8"))

    kinds = {"version": str, "createTimestamp": int, "modifyTimestamp": int, "uri": str, "lastID": int, "images": list}
    assert {name: type(value) for name, value in project.items()} == kinds
    assert len({entry["entryID"] for entry in project["images"]}) == len(project["images"]) == project["lastID"]
    for entry in project["images"]:
        kinds = {"serverBuilder": dict, "entryID": int, "randomizedName": str, "imageName": str, "description": str,
                 "metadata": dict}  # fmt: skip
        assert {name: type(value) for name, value in entry.items()} == kinds
        builder = entry["serverBuilder"]
        assert {name: type(value) for name, value in builder.items()} == {
            "builderType": str, "providerClassName": str, "uri": str, "args": list,
        }  # fmt: skip
        assert builder["builderType"] == "uri"
        assert uuid.UUID(entry["randomizedName"])
        assert all(isinstance(value, str) for value in entry["metadata"].values())


# datasette 0.65 uses pkg_resources-era calls of its own dependencies; its warnings are not ours to mend
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_datasette_shows_the_meaning_of_the_columns_from_its_metadata_file(catalog, tmp_path):
    add_article(catalog, 1, n=3)
    export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))
    from datasette.app import Datasette
    from datasette.utils import parse_metadata

    metadata = parse_metadata((tmp_path / "set" / "datasette.json").read_text(encoding="utf-8"))

    async def ask() -> tuple[str, dict]:
        site = Datasette([str(catalog.root / "catalog.db")], metadata=metadata, settings={"suggest_facets": False})
        await site.invoke_startup()
        page = await site.client.get("/catalog/snapshots")
        found = (await site.client.get("/catalog/snapshots.json?_size=10")).json()
        return page.text, found

    page, found = asyncio.run(ask())

    assert "Snapshots, one a row" in page
    columns = metadata["databases"]["catalog"]["tables"]["snapshots"]["columns"]
    assert set(columns) <= set(found["columns"])
    assert f'data-column-description="{columns["mpp_um"]}"' in page
    facets = {facet["name"]: facet["results"] for facet in found["facet_results"].values()}
    assert [(row["value"], row["count"]) for row in facets["licence_code"]] == [("CC BY", 3)]
    assert {"magnification_source", "agreement", "kind"} <= set(facets)


def test_label_studio_passes_its_own_configuration_tasks_and_predictions(catalog, tmp_path):
    """Runs where label-studio-sdk is installed; it brings half a gigabyte along, so no group names it."""
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    add_article(catalog, 1, n=2, caption="<script>alert(1)</script>")
    export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))
    folder = tmp_path / "set" / "label_studio"

    config = interface.LabelInterface((folder / "config.xml").read_text())
    config.validate()

    for task in json.loads((folder / "tasks.json").read_text()):
        for prediction in task.pop("predictions"):
            assert config.validate_prediction(prediction)
        assert config.validate_task(task)


def test_a_task_of_label_studio_has_the_documented_shape(catalog, tmp_path):
    """Label Studio, "Import pre-annotated data": data, and predictions of model_version, score and results."""
    add_article(catalog, 1)
    export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))

    for task in json.loads((tmp_path / "set" / "label_studio" / "tasks.json").read_text()):
        assert set(task) == {"data", "predictions"}
        assert all(value is None or isinstance(value, str | int | float) for value in task["data"].values())
        [prediction] = task["predictions"]
        assert {name: type(value) for name, value in prediction.items()} == {
            "model_version": str, "score": float, "result": list,
        }  # fmt: skip
        [result] = prediction["result"]
        assert set(result) == {"from_name", "to_name", "type", "value"}
        assert (result["type"], set(result["value"])) == ("number", {"number"})


def test_a_task_without_a_scale_predicts_nothing():
    from collections import defaultdict

    record = defaultdict(str, magnification_x=None, mpp_um=None)

    assert set(label_task(record, "images/a.png")) == {"data"}
