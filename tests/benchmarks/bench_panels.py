"""Prints how many panels are found: on drawn figures of seeds kept out of development, and on the real articles.

    python -m tests.benchmarks.bench_panels [--figures N] [--first SEED] [--only TABLE] [--errors]

The real articles and the micrographs under compound figures are read from ../shared when they are there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from harvester.documents.figures import extract_figures
from harvester.documents.jats import parse_jats
from harvester.geometry import BoxPt, BoxPx
from harvester.panels.gutters import split_raster
from harvester.panels.split import split_figure
from harvester.records import Raster
from harvester.settings import DocumentSettings, PanelSettings
from tests.harvester.panels.compound import draw_compound
from tests.harvester.panels.detection import COCO_IOUS, Found, average_precision, imageclef_accuracy
from tests.harvester.panels.drawn_figures import HELD_OUT_SEED, draw_figure, matched


def bench_drawn(first: int, n_figures: int) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds, megapixels = 0.0, 0.0
    for seed in range(first, first + n_figures):
        drawn = draw_figure(seed)
        begin = time.process_time()
        found = [piece.box for piece in split_raster(drawn.pixels, PanelSettings().min_panel_px)]
        seconds += time.process_time() - begin
        megapixels += drawn.pixels.size / 3e6
        for name in (drawn.gutter, "all"):
            counts[name].update(true=len(drawn.boxes), found=len(found), right=matched(found, drawn.boxes), figures=1)
    print("| gutter | figures | panels | recall | precision |\n|---|---|---|---|---|")
    for name, c in sorted(counts.items()):
        recall, precision = c["right"] / c["true"], c["right"] / c["found"]
        print(f"| {name} | {c['figures']} | {c['true']} | {recall:.3f} | {precision:.3f} |")
    print(f"\n{seconds / n_figures:.2f} s of CPU a figure, {seconds / megapixels:.2f} s a megapixel\n")


def bench_compound(first: int, n_figures: int, micrographs: Path | None, *, list_errors: bool) -> None:
    """Print the detection metrics by gutter, by layout and by what is known of the letters."""
    found: dict[str, list[Found]] = defaultdict(list)
    true: dict[str, list[tuple[BoxPx, ...]]] = defaultdict(list)
    accuracy: dict[str, list[float]] = defaultdict(list)
    letters: dict[str, list[bool]] = defaultdict(list)
    errors = []
    for seed in range(first, first + n_figures):
        drawn = draw_compound(seed, micrographs)
        panels = split_figure(drawn.figure, PanelSettings())
        score = imageclef_accuracy([p.box for p in panels], drawn.boxes)
        said = "none" if drawn.style == "none" else "text" if drawn.has_text else "pixels alone"
        right = []
        for box, label in zip(drawn.boxes, drawn.labels, strict=True):
            best = max(panels, key=lambda p: p.box.iou(box))
            if best.box.iou(box) > 0.66:
                right.append(best.label == label)
        for name in ("all", f"gutter: {drawn.gutter}", f"layout: {drawn.layout}", f"letters: {said}"):
            found[name].append([(p.box, p.split_score) for p in panels])
            true[name].append(drawn.boxes)
            accuracy[name].append(score)
            letters[name] += right
        if score < 1 or not all(right):
            errors.append(
                f"{seed}: {drawn.layout}, {drawn.gutter}, letters {drawn.style} ({said}): {len(panels)} found of "
                f"{len(drawn.boxes)}, accuracy {score:.2f}, letters {sum(right)} of {len(right)}"
            )
    print("| compound figures | figures | panels | ImageCLEF accuracy | mAP50 | mAP50-95 | letters |")
    print("|---|---|---|---|---|---|---|")
    for name in sorted(found):
        at = [average_precision(found[name], true[name], iou) for iou in COCO_IOUS]
        right_share = sum(letters[name]) / max(1, len(letters[name]))
        print(f"| {name} | {len(true[name])} | {sum(map(len, true[name]))} | {fmean(accuracy[name]):.3f} ", end="")
        print(f"| {at[0]:.3f} | {fmean(at):.3f} | {right_share:.3f} |")
    print()
    if list_errors:
        print(*errors, "", sep="\n")


def bench_real(folder: Path) -> None:
    truth = json.loads((folder / "truth.json").read_text())
    figures = []
    for pmcid in sorted({item["pmcid"] for item in truth["figures"]}):
        text = parse_jats((folder / pmcid / "fulltext.xml").read_bytes())
        pdf = (folder / pmcid / "fulltext.pdf").read_bytes()
        figures += extract_figures(pmcid, pdf, text, {}, DocumentSettings())[0]
    print("| H&E figures | panels | recall | precision | letters |\n|---|---|---|---|---|")
    for name in ("as printed", "flattened"):
        n: Counter[str] = Counter()
        for item in truth["figures"]:
            box = BoxPt(*(v * 72 / 150 for v in item["figure_bbox_150dpi"]))
            here = [f for f in figures if f.figure_id.startswith(item["pmcid"] + "/") and f.page_number == item["page"]]
            here = [f for f in here if f.page_box and f.page_box.iou(box) > 0]
            if name == "flattened":
                here = [replace(f, parts=(Raster(f.pixels, f.page_box, "render"),)) for f in here]
            panels = [p for f in here for p in split_figure(f, PanelSettings())]
            n.update(found=len(panels), true=len(item["panels"]))
            for wanted in item["panels"]:
                place = BoxPt(*(v * 72 / 150 for v in wanted["bbox_150dpi"]))
                match = [p for p in panels if p.page_box and p.page_box.iou(place) > 0.66]
                n.update(
                    right=len(match[:1]), letters=sum((p.label or "") == wanted["letter"].upper() for p in match[:1])
                )
        print(f"| {name} | {n['true']} | {n['right'] / n['true']:.3f} | {n['right'] / n['found']:.3f} ", end="")
        print(f"| {n['letters'] / max(1, n['right']):.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=int, default=60)
    parser.add_argument("--first", type=int, default=HELD_OUT_SEED, help="seeds below 10,000 are for development")
    parser.add_argument("--errors", action="store_true", help="list every compound figure that is not all right")
    parser.add_argument("--only", choices=["compound", "drawn", "articles"], help="one of the three tables")
    options = parser.parse_args()
    shared = Path(__file__).resolve().parents[3] / "shared"
    micrographs = shared / "histology" if (shared / "histology" / "catalog.csv").exists() else None
    if options.only in (None, "compound"):
        bench_compound(options.first, options.figures, micrographs, list_errors=options.errors)
    if options.only in (None, "drawn"):
        bench_drawn(options.first, options.figures)
    folder = shared / "articles"
    if options.only in (None, "articles") and (folder / "truth.json").exists():
        bench_real(folder)


if __name__ == "__main__":
    main()
