"""COCO: whole figures with a box for every panel and every H&E region, a file of boxes a split.

Figures are read again from the article's files, as the harvest keeps only the regions. Every panel and every region of
a figure is there, those that the filters left out too: a detector would learn the missing ones as background.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from harvester.export.columns import image_stem
from harvester.export.formats.writer import FigurePicture, Writer
from harvester.export.pictures import encode
from harvester.export.splits import SPLITS
from harvester.records import PANEL_KINDS

CATEGORIES: tuple[tuple[str, str], ...] = (
    ("he_region", "region"),
    *((f"panel_{kind}", "panel") for kind in PANEL_KINDS),
)
"""(name, supercategory); ids count from 1."""
CHANGES = "figure read from the article's files; pixels unchanged; boxes added beside it"

_IDS = {name: number for number, (name, _) in enumerate(CATEGORIES, start=1)}
_LABELS = ("mpp_um", "mpp_lo_um", "mpp_hi_um", "magnification_x", "magnification_source", "agreement", "he_score",
           "image_mpp_um", "bar_mpp_um", "stated_x", "objective_x", "organ", "image_sha256")  # fmt: skip


class CocoWriter(Writer):
    """Figures in `images/SPLIT/`, boxes in `annotations/instances_SPLIT.json`."""

    counts_figures: ClassVar[bool] = True
    has_table: ClassVar[bool] = False

    def add_figure(self, picture: FigurePicture, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a figure, its boxes and its credit.

        Args:
            records: Those of its snapshots that the filters let through, by snapshot_id; at least one.
        """
        first = next(iter(records.values()))
        split = first["split"]
        name = f"{image_stem({'snapshot_id': picture.figure_id, 'tile': ''})}.png"
        self.workplace.write(f"images/{split}/{name}", encode(picture.pixels))
        image_id = self.state["n_images"] = self.state.get("n_images", 0) + 1
        height, width = picture.pixels.shape[:2]
        image = {
            "id": image_id,
            "file_name": name,
            "width": width,
            "height": height,
            "figure_id": picture.figure_id,
            "figure_label": picture.label or "",
            "caption": picture.caption,
            **{key: first[key] for key in ("article_id", "citation", "licence_code", "licence_url", "article_url")},
        }
        self._line(split, "images", image)
        for region in picture.regions:
            x, y, w, h = region.box
            record = records.get(region.snapshot_id or "")
            category = "he_region" if region.snapshot_id else f"panel_{region.kind}"
            self.state["n_boxes"] = self.state.get("n_boxes", 0) + 1
            box = {
                "id": self.state["n_boxes"],
                "image_id": image_id,
                "category_id": _IDS[category],
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "panel_id": region.panel_id,
                "panel_label": region.label or "",
                "caption": region.caption,
                "snapshot_id": region.snapshot_id or "",
                "passed_the_filters": record is not None,
            }
            self._line(split, "annotations", box | ({key: record[key] for key in _LABELS} if record else {}))
        self._list(
            {**first, "caption": picture.caption, "panel_label": "", "changes": CHANGES}, f"images/{split}/{name}"
        )

    def _line(self, split: str, what: str, value: Mapping[str, Any]) -> None:
        self.workplace.append(f"annotations/{split}.{what}.part", json.dumps(value) + "\n")

    def finish(self) -> None:
        """Put the boxes of each split into one file."""
        for split in SPLITS:
            if not self.workplace.has(f"annotations/{split}.images.part"):
                continue
            name = f"annotations/instances_{split}.json"
            with self.workplace.path(name).open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(self._document(split))
            self.workplace.hash_file(name)
        for split in SPLITS:
            for what in ("images", "annotations"):
                self.workplace.drop(f"annotations/{split}.{what}.part")

    def _document(self, split: str) -> Iterator[str]:
        categories = [
            {"id": _IDS[name], "name": name, "supercategory": supercategory} for name, supercategory in CATEGORIES
        ]
        info = {"description": f"Figures with panels and H&E regions, {split}; licences per image", "version": "1.0"}
        yield f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": {json.dumps(categories)}'
        for what in ("images", "annotations"):
            yield f',\n"{what}": [\n'
            for number, line in enumerate(self.workplace.lines(f"annotations/{split}.{what}.part")):
                yield ("" if number == 0 else ",\n") + line.rstrip("\n")
            yield "\n]"
        yield "}\n"
