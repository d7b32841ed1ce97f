"""Prints how the estimates of published H&E panels sit in the brackets that their nuclei and red cells allow.

    python -m tests.benchmarks.bench_brackets [MODEL...]

The panels are taken from ../shared/articles by the harvester's own stages, in native pixels, whole: with the arrows,
letters and bars that are printed in them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from hagnifinder.evaluation.brackets import Judged, brackets_markdown, panels_markdown, read_brackets
from hagnifinder.predict import Predictor
from harvester.documents.figures import extract_figures
from harvester.documents.jats import parse_jats
from harvester.geometry import BoxPt
from harvester.panels.split import split_figure
from harvester.records import RgbImage
from harvester.settings import DocumentSettings, PanelSettings

ARTICLES = Path(__file__).resolve().parents[3] / "shared" / "articles"
TABLE = Path(__file__).resolve().parents[1] / "hagnifinder" / "brackets" / "panels.csv"


def published_panels(folder: Path) -> Iterator[tuple[str, RgbImage]]:
    """The name and native pixels, (H, W, 3) uint8, of every H&E panel of the truth that the stages find."""
    truth = json.loads((folder / "truth.json").read_text())
    for pmcid in sorted({item["pmcid"] for item in truth["figures"]}):
        text = parse_jats((folder / pmcid / "fulltext.xml").read_bytes())
        pdf = (folder / pmcid / "fulltext.pdf").read_bytes()
        figures = extract_figures(pmcid, pdf, text, {}, DocumentSettings())[0]
        for item in truth["figures"]:
            here = [f for f in figures if item["pmcid"] == pmcid and f.page_number == item["page"]]
            panels = [p for f in here for p in split_figure(f, PanelSettings()) if p.page_box]
            for wanted in item["panels"] if panels else []:
                place = BoxPt(*(v * 72 / 150 for v in wanted["bbox_150dpi"]))
                best = max(panels, key=lambda p: p.page_box.iou(place) if p.page_box else 0.0)
                if wanted["is_HE"] and best.page_box and best.page_box.iou(place) > 0.66:
                    yield f"{item['id']}_{wanted['letter']}".rstrip("_"), best.pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["default"])
    options = parser.parse_args()
    brackets = {b.panel: b for b in read_brackets(TABLE)}
    panels = [(name, pixels) for name, pixels in published_panels(ARTICLES) if name in brackets]
    print(f"{len(panels)} of {len(brackets)} panels found\n")
    for model in options.models:
        predictor = Predictor.load(model, "cpu")
        estimates = predictor.predict_many([pixels for _, pixels in panels])
        judged = [
            Judged(brackets[name], estimate, pixels.shape[1])
            for (name, pixels), estimate in zip(panels, estimates, strict=True)
        ]
        print(brackets_markdown(predictor.model_id, judged))
        print(panels_markdown(judged))


if __name__ == "__main__":
    main()
