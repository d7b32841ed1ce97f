"""The paper's figures 3 and 5 to 10 as PNG, from stored answers and, where pictures are shown, the built data set."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hagnifinder.data.patches import Patch
from hagnifinder.errors import DataError, ImageError
from hagnifinder.evaluation.paper_runs import Run
from hagnifinder.images import read_rgb
from hagnifinder.model import AdaptiveScaling
from hagnifinder.preprocess import RgbImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLE = (-1.0, 1.0, -2.0, 2.0, 300.0)
"""The paper's own, of Fig. 3."""
_BLUE, _RED = "#2c6fbb", "#c1432e"
_PICTURES = 6


def figure_3() -> bytes:
    """tanh of the example as it is, after the module, and after scaling to [-1, 1]: the true values."""
    x = torch.tensor(EXAMPLE)
    ways = {
        "tanh(x)": torch.tanh(x),
        "tanh(ASM(x)), unbiased variance": torch.tanh(AdaptiveScaling()(x)),
        "tanh(ASM(x)), population variance": torch.tanh(AdaptiveScaling(unbiased=False)(x)),
        "tanh of x from least to most on [-1, 1]": torch.tanh(2 * (x - x.min()) / (x.max() - x.min()) - 1),
    }
    figure = _figure(9, 4.6)
    for i, (name, values) in enumerate(ways.items()):
        axes = figure.add_subplot(2, 2, i + 1)
        axes.bar([f"{v:g}" for v in EXAMPLE], values.tolist(), color=_BLUE)
        axes.axhline(0, color="black", lw=0.6)
        axes.set_ylim(-1.35, 1.35)
        axes.set_title(name, fontsize=9)
        for j, v in enumerate(values.tolist()):
            axes.text(j, v + (0.06 if v >= 0 else -0.2), f"{v:.4f}", ha="center", fontsize=8)
    return _png(figure)


def figure_5(folder: Path, patches: Sequence[Patch]) -> bytes:
    """Patches that were accepted and, below, refused for background, with their share of tissue."""
    rows = []
    for kept in (True, False):
        here = [p for p in patches if p.is_kept is kept and p.path]
        step = max(1, len(here) // _PICTURES)
        rows.append(
            [(p, f"{'accepted' if kept else 'refused'}, {p.level_x:g}x\n{p.tissue:.0%} tissue") for p in here[::step]]
        )
    return _pictures(folder, rows)


def figure_6(patches: Sequence[Patch]) -> bytes:
    """How many patches each level has, and how many of each organ."""
    figure = _figure(11, 4.2)
    levels = sorted({p.level_x for p in patches})
    organs = sorted({p.organ or "not known" for p in patches})
    counts = np.array(
        [[sum(p.level_x == x and (p.organ or "not known") == o for p in patches) for x in levels] for o in organs]
    )
    axes = figure.add_subplot(1, 2, 1)
    axes.bar(levels, counts.sum(axis=0), color=_BLUE)
    axes.set(xlabel="magnification, x", ylabel="patches", title="(a) all patches")
    axes = figure.add_subplot(1, 2, 2)
    shown = axes.imshow(counts, aspect="auto", cmap="viridis")
    axes.set_yticks(range(len(organs)), organs, fontsize=7)
    ticks = range(0, len(levels), max(1, len(levels) // 8))
    axes.set_xticks(list(ticks), [f"{levels[i]:g}" for i in ticks])
    axes.set(xlabel="magnification, x", title="(b) by organ")
    figure.colorbar(shown, ax=axes, label="patches")
    return _png(figure)


def figure_7(run: Run) -> bytes:
    """Confusion of levels: what is within 1 counts as right, as in the paper; the rest goes to the nearest level."""
    levels = np.array(sorted({round(a.level_x) for a in run.answers}))
    counts = np.zeros((len(levels), len(levels)))
    for a in run.answers:
        true = int(np.abs(levels - a.level_x).argmin())
        said = true if abs(a.said_x - a.level_x) <= 1 else int(np.abs(levels - a.said_x).argmin())
        counts[true, said] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6.6, 5.6)
    axes = figure.add_subplot()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, origin="lower")
    ticks = list(range(0, len(levels), max(1, len(levels) // 10)))
    axes.set_xticks(ticks, [str(levels[i]) for i in ticks])
    axes.set_yticks(ticks, [str(levels[i]) for i in ticks])
    axes.set(xlabel="said, x", ylabel="true, x", title=_title(run))
    figure.colorbar(shown, ax=axes, label="share of the level's patches")
    return _png(figure)


def figure_8(run: Run) -> bytes:
    """What was said at each level, a panel an organ."""
    organs = sorted({a.organ or "not known" for a in run.answers})
    columns = min(4, len(organs))
    rows = -(-len(organs) // columns)
    figure = _figure(2.6 * columns, 2.4 * rows + 0.4)
    figure.suptitle(_title(run), fontsize=9)
    top = max(a.level_x for a in run.answers) * 1.25
    for i, organ in enumerate(organs):
        here = [a for a in run.answers if (a.organ or "not known") == organ]
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.plot([0, top], [0, top], color="grey", lw=0.7)
        axes.scatter([a.level_x for a in here], [min(a.said_x, top) for a in here], s=5, color=_BLUE, alpha=0.5)
        axes.set(xlim=(0, top), ylim=(0, top))
        axes.set_title(f"{organ} ({len(here)})", fontsize=8)
        axes.tick_params(labelsize=7)
    return _png(figure)


def figure_9(rows: Sequence[tuple[str, ...]]) -> bytes:
    """Number and share of mispredictions by organ, from the rows of its table."""
    return _bars([r[0] for r in rows], [int(r[2]) for r in rows], [float(r[3][:-1]) for r in rows])


def figure_10(rows: Sequence[tuple[str, ...]]) -> bytes:
    """The same by level, the worst first."""
    return _bars([r[0] for r in rows], [int(r[2]) for r in rows], [float(r[3][:-1]) for r in rows])


def figure_10_pictures(folder: Path, patches: Sequence[Patch], run: Run, levels: Sequence[str]) -> bytes:
    """Patches of the worst levels, wrong ones above and right ones below, with what was said of them."""
    of = {p.path: p for p in patches}
    wanted = {float(x[:-1]) for x in levels}
    answers = sorted(run.answers, key=lambda a: -abs(np.log(a.said_x / a.level_x)))
    wrong = [a for a in answers if a.path in of and round(a.level_x) in wanted and abs(a.said_x - a.level_x) > 1]
    right = [a for a in reversed(answers) if a.path in of and abs(a.said_x - a.level_x) <= 1]
    return _pictures(
        folder,
        [
            [(of[a.path], f"{a.level_x:.3g}x\nsaid {a.said_x:.1f}x") for a in part[:_PICTURES]]
            for part in (wrong, right)
        ],
    )


def figure_curve(runs: Sequence[Run]) -> bytes:
    """ACC_1 of the paper's networks against the crops they were trained on."""
    figure = _figure(6.4, 4.2)
    axes = figure.add_subplot()
    for system, marker in (("hagnifinder-r18", "o"), ("hagnifinder-r50", "s")):
        for protocol, colour in (("P1", _RED), ("P2", _BLUE)):
            ours = [r for r in runs if (r.system, r.protocol, r.arm) == (system, protocol, "sane")]
            ours.sort(key=lambda r: r.samples)
            if ours:
                acc = np.array([r.scores.acc["1"] for r in ours]) * 100
                bars = np.abs(acc[:, 1:].T - acc[:, 0])
                axes.errorbar(
                    [r.samples for r in ours], acc[:, 0], bars, marker=marker, color=colour, capsize=2, lw=1,
                    label=f"{system}, {protocol}",
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set(xlabel="crops seen in training", ylabel="ACC_1, %", ylim=(0, None))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    return _png(figure)


def _bars(names: Sequence[str], wrong: Sequence[int], shares: Sequence[float]) -> bytes:
    figure = _figure(max(6.0, 0.32 * len(names) + 2), 4.0)
    axes = figure.add_subplot()
    axes.bar(range(len(names)), shares, color=_BLUE)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("not within 1x, %")
    axes.set_ylim(0, 112)
    for i, (n, share) in enumerate(zip(wrong, shares, strict=True)):
        axes.text(i, share + 1.5, str(n), ha="center", fontsize=7)
    return _png(figure)


def _pictures(folder: Path, rows: Sequence[Sequence[tuple[Patch, str]]]) -> bytes:
    figure = _figure(1.7 * _PICTURES, 2.2 * len(rows))
    for i, row in enumerate(rows):
        for j, (patch, words) in enumerate(row[:_PICTURES]):
            axes = figure.add_subplot(len(rows), _PICTURES, i * _PICTURES + j + 1)
            axes.set_axis_off()
            axes.set_title(words, fontsize=7)
            pixels = _pixels(folder, patch)
            if pixels is None:
                axes.text(0.5, 0.5, "gone", ha="center")
            else:
                axes.imshow(pixels)
    return _png(figure)


def _pixels(folder: Path, patch: Patch) -> RgbImage | None:
    try:
        return np.asarray(read_rgb(folder / patch.path))
    except (ImageError, DataError, OSError):
        return None


def _title(run: Run) -> str:
    return f"{run.name}, {run.protocol}, {run.samples:,} crops seen, {len(run.answers)} patches"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    save: Callable[..., Any] = FigureCanvasAgg(figure).print_png
    figure.set_dpi(130)
    save(file, metadata={"Software": None})
    return file.getvalue()
