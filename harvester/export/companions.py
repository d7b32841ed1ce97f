"""Files for programs that people already use: tasks for Label Studio, descriptions for Datasette."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harvester.export.columns import COLUMNS

LABEL_CONFIG = """<View>
  <Header value="$title_line"/>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <Text name="caption" value="$caption"/>
  <Choices name="verdict" toName="image" choice="single" showInLine="true">
    <Choice value="accept"/>
    <Choice value="reject"/>
    <Choice value="correct"/>
  </Choices>
  <Number name="magnification_x" toName="image" min="0.1" max="400" step="0.01"/>
  <TextArea name="note" toName="image" maxSubmissions="1"/>
</View>
"""
"""The labelling page: captions stand in it as data, never as markup."""


def label_task(record: Mapping[str, Any], file_name: str) -> dict[str, Any]:
    """Return a task of Label Studio with the magnification filled in as a prediction.

    The image is served by Label Studio's local storage, whose root has to be the folder of the data set. The score, by
    which tasks can be sorted, is the lower over the upper end of the 90 % interval: 1 is sure, near 0 is open.

    Source: Label Studio, "Import pre-annotated data" and "Local storage".
    """
    names = ("snapshot_id", "tile", "caption", "mpp_um", "magnification_x", "magnification_source", "agreement",
             "citation", "licence_code", "licence_url", "article_url")  # fmt: skip
    data = {name: record[name] for name in names}
    data["image"] = f"/data/local-files/?d={file_name}"
    data["title_line"] = f"{record['snapshot_id']} {record['figure_label']} {record['panel_label']}".strip()
    task: dict[str, Any] = {"data": data}
    if record["magnification_x"] is not None:
        lo, hi = record["mpp_lo_um"], record["mpp_hi_um"]
        number = {
            "from_name": "magnification_x",
            "to_name": "image",
            "type": "number",
            "value": {"number": round(record["magnification_x"], 2)},
        }
        task["predictions"] = [
            {
                "model_version": record["model_id"] or record["magnification_source"],
                "score": round(lo / hi, 4) if lo and hi else 1.0,
                "result": [number],
            }
        ]
    return task


def datasette_metadata() -> dict[str, Any]:
    """Return metadata for Datasette: what the columns of the catalog's view mean, and which to sort and count by.

        datasette HARVEST/catalog.db --metadata DATASET/datasette.json

    Source: Datasette, "Metadata".
    """
    meanings = {name: meaning for name, (_, meaning) in COLUMNS.items() if name not in _ONLY_IN_SETS}
    return {
        "title": "H&E snapshots with their pixel size",
        "description": "Cropped from figures of articles; each row names the licence and the source of its image.",
        "license": "per image: licence_code, licence_url",
        "databases": {
            "catalog": {
                "tables": {
                    "snapshots": {
                        "title": "Snapshots, one a row",
                        "columns": meanings,
                        "facets": ["licence_code", "magnification_source", "agreement", "kind", "organ"],
                        "size": 50,
                    }
                }
            }
        },
    }


_ONLY_IN_SETS = frozenset(
    {"file_name", "split", "tile", "article_url", "licence_name", "changes", "native_mpp_um", "source_sha256"}
)
