"""Prints how well scale bars are read: drawn ones over micrographs of seeds kept out of development, and real articles.

    python -m tests.benchmarks.bench_bars [--pictures N] [--first SEED] [--tissue real|drawn|both] [--misses N]

Real micrographs and articles are read from ../shared when they are there. A bar counts as found when its pixel size is
within 2 % of the true one; a bar given to a picture without one, or with another scale, is a false one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harvester.documents.figures import extract_figures
from harvester.documents.jats import parse_jats
from harvester.geometry import BoxPt, RgbImage
from harvester.panels.split import split_figure
from harvester.records import ScaleBar
from harvester.scale.bars import find_scale_bars
from harvester.scale.lettering import ReadText, TextReader
from harvester.settings import DocumentSettings, PanelSettings
from harvester.stain.detect import score_kind
from tests.harvester.scale.drawn_bars import HELD_OUT_SEED, DrawnBar, as_panel, draw_bar

MICROGRAPHS = ("he", "ihc", "other_stain", "cytology", "fluorescence", "electron")
HOLDS = ("with a labelled bar", "with other letters", "without letters")


@dataclass(frozen=True)
class TimedReader(TextReader):
    """A reader that notes the processor time it takes."""

    seconds: tuple[list[float], ...] = field(default_factory=lambda: ([],))

    def find_lines(self, pixels: RgbImage) -> list[ReadText]:
        begin = time.process_time()
        try:
            return super().find_lines(pixels)
        finally:
            self.seconds[0].append(time.process_time() - begin)

    def read_lines(self, pictures: Sequence[RgbImage]) -> list[tuple[str, float]]:
        begin = time.process_time()
        try:
            return super().read_lines(pictures)
        finally:
            self.seconds[0].append(time.process_time() - begin)


def judge(drawn: DrawnBar, bars: list[ScaleBar]) -> tuple[str, float | None]:
    """Return right, label (found, wrong length), length (found, ends wrong), place, missed, false or silent."""
    scaled = [bar for bar in bars if bar.mpp_um is not None]
    if drawn.box is None:
        return ("false" if scaled else "silent"), None
    if not scaled:
        return "missed", None
    bar = scaled[0]
    x, y = 0.5 * (bar.box.x0 + bar.box.x1), 0.5 * (bar.box.y0 + bar.box.y1)
    near = 0.1 * (drawn.bar_px or 0) + 6
    box = drawn.box
    if not (box.x0 - near <= x <= box.x1 + near and box.y0 - near <= y <= box.y1 + near):
        return "place", None
    assert drawn.length_um and bar.length_um and drawn.bar_px
    error = bar.bar_px / drawn.bar_px - 1
    if abs(bar.length_um / drawn.length_um - 1) > 0.001:
        return "label", error
    return ("right" if abs(error) <= 0.02 else "length"), error


def _holds(drawn: DrawnBar) -> str:
    if drawn.box is not None and drawn.style != "unlabelled":
        return HOLDS[0]
    return HOLDS[1] if drawn.style in ("letters", "underline", "axis") else HOLDS[2]


def bench_drawn(first: int, n_pictures: int, histology: Path | None, n_misses: int) -> None:
    reader = TimedReader()
    reader.read_line(np.zeros((48, 96, 3), np.uint8))  # the models load before the clock runs
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    errors: list[float] = []
    worst: list[str] = []
    seconds, read_in = 0.0, Counter[str]()
    for seed in range(first, first + n_pictures):
        drawn = draw_bar(seed, histology=histology)
        panel, figure = as_panel(drawn)
        calls, begin = len(reader.seconds[0]), time.process_time()
        bars = find_scale_bars(panel, figure, drawn.stated, reader)
        seconds += time.process_time() - begin
        read_in[_holds(drawn)] += len(reader.seconds[0]) > calls
        read_in[f"pictures {_holds(drawn)}"] += 1
        verdict, error = judge(drawn, bars)
        counts[drawn.style][verdict] += 1
        errors += [abs(error)] if error is not None else []
        if verdict not in ("right", "silent"):
            got = f"{bars[0].text!r} {bars[0].bar_px:.1f} px, score {bars[0].score}" if bars else "nothing"
            true = f"{drawn.label!r} {drawn.bar_px:.1f} px" if drawn.bar_px else "none"
            worst.append(f"seed {seed} {drawn.style}: {verdict}; true {true}, got {got}")
    print("| style | pictures | right | wrong label | wrong length | elsewhere | missed | false |\n" + "|---" * 8 + "|")
    total: Counter[str] = Counter()
    for style, c in sorted(counts.items()):
        total += c
        row = [c[k] for k in ("label", "length", "place", "missed", "false")]
        right = c["right"] + c["silent"]
        print(f"| {style} | {c.total()} | {right} | " + " | ".join(map(str, row)) + " |")
    true = sum(total[k] for k in ("right", "label", "length", "place", "missed"))
    placed = total["right"] + total["label"] + total["length"]
    given = placed + total["place"] + total["false"]
    print(f"\nrecall (bar found) {placed / true:.3f}, precision {placed / given:.3f}, of {true} bars and ", end="")
    print(
        f"{total['silent'] + total['false']} pictures without; label right {1 - total['label'] / placed:.3f}, ", end=""
    )
    print(f"length within 2 % {np.mean(np.array(errors) <= 0.02):.3f}, median error {100 * np.median(errors):.2f} %; ")
    print(f"pixel size right of all bars {total['right'] / true:.3f}, of all given {total['right'] / given:.3f}")
    ocr = sum(reader.seconds[0])
    print(f"{seconds / n_pictures:.2f} s of processor time a picture, {ocr / seconds:.0%} of it reading text, ", end="")
    print("which ran in " + ", ".join(f"{read_in[k]} of {read_in[f'pictures {k}']} pictures {k}" for k in HOLDS))
    print("\n".join(worst[:n_misses]), end="\n\n")


def bench_real(folder: Path) -> None:
    """Score the bars of the articles by the rule of their score.py: within 10 %, none on panels without."""
    truth = json.loads((folder / "truth.json").read_text())
    reader = TimedReader()
    reader.read_line(np.zeros((48, 96, 3), np.uint8))
    reader.seconds[0].clear()
    panels, seconds, n_micrographs, n_figures, n_read = [], 0.0, 0, 0, 0
    for pmcid in sorted(
        {item["pmcid"] for item in truth["figures"] + truth["negatives"]} | set(truth["articles_without_HE"])
    ):
        text = parse_jats((folder / pmcid / "fulltext.xml").read_bytes())
        pdf = (folder / pmcid / "fulltext.pdf").read_bytes()
        for figure in extract_figures(pmcid, pdf, text, {}, DocumentSettings())[0]:
            n_figures += 1
            for panel in split_figure(figure, PanelSettings()):
                is_micrograph = score_kind(panel.pixels).kind in MICROGRAPHS
                n_micrographs += is_micrograph
                calls, begin = len(reader.seconds[0]), time.process_time()
                bars = find_scale_bars(panel, figure, [], reader, search_pixels=is_micrograph)
                seconds += time.process_time() - begin
                n_read += len(reader.seconds[0]) > calls
                panels.append((pmcid, figure.page_number, panel, bars))
    right = n_true = 0
    errors, matched = [], set()
    for item in truth["figures"]:
        for wanted in item["panels"]:
            place = BoxPt(*(v * 72 / 150 for v in wanted["bbox_150dpi"]))
            here = [p for p in panels if p[0] == item["pmcid"] and p[1] == item["page"] and p[2].page_box]
            best = max(here, key=lambda p: p[2].page_box.iou(place) if p[2].page_box else 0.0, default=None)
            scale = (wanted.get("scale_bar") or {}).get("um_per_px_150dpi")
            n_true += scale is not None
            if best is None or best[2].page_box is None or best[2].page_box.iou(place) <= 0.66:
                continue
            read = next((bar for bar in best[3] if bar.mpp_um), None)
            if scale is not None:
                matched.add(best[2].panel_id)
            if scale is None or read is None or read.mpp_um is None:
                continue
            mpp_um = scale * 150 / 72 * best[2].page_box.width / best[2].pixels.shape[1]
            errors.append(abs(math.log(read.mpp_um / mpp_um)))
            right += errors[-1] < 0.1
    false = [(p[2].panel_id, bar) for p in panels for bar in p[3] if bar.mpp_um and p[2].panel_id not in matched]
    print(f"{right} of {n_true} bars of the articles within 10 % of the hand measure, ", end="")
    print(f"largest difference {max(errors, default=0):.3f} (log); {len(false)} on the other panels of {len(panels)}")
    for panel_id, bar in false:
        print(f"  {panel_id}: {bar.text!r}, {bar.found_in}, {bar.bar_px:.1f} px at {bar.box}")
    print(f"{seconds / n_figures:.2f} s of processor time a figure ({n_figures}; {n_micrographs} of their ", end="")
    print(f"{len(panels)} panels searched in pixels, text read in {n_read}), ", end="")
    print(f"{sum(reader.seconds[0]) / max(1e-9, seconds):.0%} of it reading text")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--first", type=int, default=HELD_OUT_SEED, help="seeds below 10,000 are for development")
    parser.add_argument("--tissue", choices=("real", "drawn", "both", "none"), default="both")
    parser.add_argument("--misses", type=int, default=40)
    options = parser.parse_args()
    shared = Path(__file__).resolve().parents[3] / "shared"
    if options.tissue in ("real", "both") and (shared / "histology" / "catalog.csv").exists():
        print("Bars drawn over real micrographs\n")
        bench_drawn(options.first, options.pictures, shared / "histology", options.misses)
    if options.tissue in ("drawn", "both"):
        print("Bars drawn over drawn tissue\n")
        bench_drawn(options.first, options.pictures // 3, None, options.misses)
    if options.tissue != "drawn" and (shared / "articles" / "truth.json").exists():
        bench_real(shared / "articles")


if __name__ == "__main__":
    main()
