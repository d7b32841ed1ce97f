"""What was measured, as text, as CSV files, as plots and as one page of HTML."""

from __future__ import annotations

import csv
import html
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harvester.evaluate.measure import MIN_ARTICLES, MIN_SNAPSHOTS, Compared, Line, ObjectiveSize, band_of

HEAD = ("truth", "by", "name", "snapshots", "articles", "median", "p90", "bias", "coverage", "abstained", "")
NOTE = (
    "Errors are log2(image / truth): 1 is a factor of two; bias above 0 is too coarse. Coverage: share of truths inside"
    " the image's 90 % interval. Bars that were called conflicts count under 'all scale bars as read' only."
)

MAX_GROUPS = 12
MARKS = {"review": ("#1b7f5c", "o"), "scale_bar": ("#2c5aa0", "o"), "scale_bar_in_conflict": ("#c0392b", "x")}


def text_page(lines: Sequence[Line], sizes: Sequence[ObjectiveSize]) -> str:
    """Return the tables as plain text."""
    rows = [HEAD, *(_cells(line) for line in lines)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*table, "", NOTE, "", *_objective_lines(sizes)])


def _cells(line: Line) -> tuple[str, ...]:
    numbers = (line.median_log2, line.p90_log2, line.bias_log2, line.coverage, line.abstained)
    remark = "" if line.is_enough else "none" if not line.snapshots else "too few to say"
    counts = (str(line.snapshots), str(line.articles))
    return (line.truth, line.by, line.name, *counts, *("-" if v is None else f"{v:.3f}" for v in numbers), remark)


def _objective_lines(sizes: Sequence[ObjectiveSize]) -> list[str]:
    if not sizes:
        return ["No snapshot has both a pixel size and a stated objective."]
    lines = ["µm per pixel by stated objective (median, 5 to 95 %):"]
    for objective in sorted({size.objective_x for size in sizes}):
        here = [size for size in sizes if size.objective_x == objective]
        low, middle, high = np.percentile([size.mpp_um for size in here], [5, 50, 95])
        articles = len({size.article_id for size in here})
        lines.append(
            f"  {objective:g}x  {middle:.3g} µm ({low:.3g} to {high:.3g})  {len(here)} snapshots, {articles} articles"
            + ("" if articles >= MIN_ARTICLES and len(here) >= MIN_SNAPSHOTS else ", too few to say")
        )
    return lines


def write_page(
    folder: Path, compared: Sequence[Compared], lines: Sequence[Line], sizes: Sequence[ObjectiveSize], about: str
) -> Path:
    """Write index.html with its plots (PNG) and tables (CSV) into a folder, and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "tables.csv", [line.as_dict() for line in lines])
    fields = ("snapshot_id", "article_id", "journal", "publisher", "truth", "true_mpp_um", "image_mpp_um",
              "image_lo_um", "image_hi_um", "abstained", "error_log2")  # fmt: skip
    _write_csv(folder / "snapshots.csv", [{name: getattr(item, name) for name in fields} for item in compared])
    names = ("snapshot_id", "article_id", "objective_x", "mpp_um", "source")
    _write_csv(folder / "objectives.csv", [{name: getattr(size, name) for name in names} for size in sizes])
    plots = _plots(folder, compared, sizes)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(line)) + "</tr>" for line in lines
    )
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEAD)
    figures = "".join(
        f'<figure><img src="{name}" alt=""><figcaption>{why}</figcaption></figure>' for name, why in plots
    )
    objectives = "".join(f"<p>{html.escape(line)}</p>" for line in _objective_lines(sizes))
    page = folder / "index.html"
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Image against bars and reviews</title>"
        "<style>body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.15rem .6rem;text-align:left;border-bottom:1px solid #ddd;"
        "font-variant-numeric:tabular-nums}figure{display:inline-block;margin:1rem 1rem 0 0}img{max-width:34rem}"
        "figcaption{color:#555;max-width:34rem}</style>"
        f"<h1>The image against bars and reviews</h1><p>{html.escape(about)}</p>"
        f"<table><tr>{head}</tr>{rows}</table><p>{html.escape(NOTE)}</p>{objectives}{figures}</html>\n",
        encoding="utf-8",
    )
    return page


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _plots(folder: Path, compared: Sequence[Compared], sizes: Sequence[ObjectiveSize]) -> list[tuple[str, str]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    made = []
    if compared:
        figure = Figure(figsize=(5.6, 5.2), layout="constrained")
        axes = figure.add_subplot()
        for truth, (colour, marker) in MARKS.items():
            here = [item for item in compared if item.truth == truth]
            if here:
                axes.scatter([i.true_mpp_um for i in here], [i.image_mpp_um for i in here], s=22, c=colour,
                             marker=marker, alpha=0.7, label=f"{truth.replace('_', ' ')} ({len(here)})")  # fmt: skip
        ends = [v for i in compared for v in (i.true_mpp_um, i.image_mpp_um)]
        low, high = min(ends) / 1.3, max(ends) * 1.3
        axes.plot([low, high], [low, high], c="#888", lw=1)
        axes.plot([low, high], [2 * low, 2 * high], c="#bbb", lw=0.8, ls=":")
        axes.plot([low, high], [low / 2, high / 2], c="#bbb", lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="µm per pixel by bar or review",
                 ylabel="µm per pixel by the image")  # fmt: skip
        axes.legend(frameon=False, loc="upper left")
        FigureCanvasAgg(figure).print_png(str(folder / "image_against_truth.png"))
        made.append(("image_against_truth.png", "Each point a snapshot; dotted: a factor of two."))
        figure = Figure(figsize=(9.6, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _errors_by(left, compared, lambda item: band_of(item.true_mpp_um), "magnification by bar or review")
        _errors_by(right, compared, lambda item: item.publisher, "publisher (registrant of the DOI)")
        left.set_ylabel("log2(image / bar or review)")
        FigureCanvasAgg(figure).print_png(str(folder / "errors_by_band_and_publisher.png"))
        made.append(
            ("errors_by_band_and_publisher.png", "Errors of the image; above 0 too coarse, dotted: a factor of two.")
        )
    if sizes:
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.add_subplot()
        objectives = sorted({size.objective_x for size in sizes})
        values = [[size.mpp_um for size in sizes if size.objective_x == x] for x in objectives]
        axes.boxplot(values, positions=range(len(objectives)), widths=0.5, whis=(5, 95), showfliers=False)
        for k, of_one in enumerate(values):
            spread = np.linspace(-0.16, 0.16, len(of_one)) if len(of_one) > 1 else [0.0]
            axes.plot(np.asarray(spread) + k, sorted(of_one), "o", ms=3.5, c="#2c5aa0", alpha=0.6)
        axes.set(yscale="log", ylabel="µm per pixel", xlabel="objective that the caption implies")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.set_xticks(
            range(len(objectives)), [f"{x:g}x\nn={len(v)}" for x, v in zip(objectives, values, strict=True)]
        )
        FigureCanvasAgg(figure).print_png(str(folder / "objectives.png"))
        made.append(
            ("objectives.png", "Pixel sizes (review, believed bar, else image) of panels with a stated objective.")
        )
    return made


def _errors_by(axes: Any, compared: Sequence[Compared], key: Callable[[Compared], str], title: str) -> None:
    """Draw a box and the single errors of each group, the largest `MAX_GROUPS` groups."""
    groups: dict[str, list[Compared]] = defaultdict(list)
    for item in compared:
        groups[key(item)].append(item)
    names = sorted(sorted(groups, key=lambda name: -len(groups[name]))[:MAX_GROUPS], key=_in_order)
    axes.boxplot([[i.error_log2 for i in groups[name]] for name in names], positions=range(len(names)), widths=0.5,
                 whis=(5, 95), showfliers=False)  # fmt: skip
    for k, name in enumerate(names):
        spread = np.linspace(-0.16, 0.16, len(groups[name])) if len(groups[name]) > 1 else [0.0]
        for truth, (colour, marker) in MARKS.items():
            here = [(k + x, i.error_log2) for x, i in zip(spread, groups[name], strict=True) if i.truth == truth]
            if here:
                axes.plot(*zip(*here, strict=True), marker, ms=4, c=colour, alpha=0.7)
    for level, style in ((0.0, "-"), (1.0, ":"), (-1.0, ":")):
        axes.axhline(level, c="#999", lw=0.8, ls=style)
    axes.set_xticks(range(len(names)), [f"{name}\nn={len(groups[name])}" for name in names], fontsize=8)
    axes.set_xlabel(title)


def _in_order(name: str) -> tuple[float, str]:
    """Sort bands of magnification by their numbers, other names by their letters."""
    head = name.removeprefix("above ").split("-")[0].removesuffix("x")
    return (float(head) + name.startswith("above"), name) if name.endswith("x") else (0.0, name)
