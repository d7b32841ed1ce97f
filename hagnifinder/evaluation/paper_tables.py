"""The paper's tables from stored runs, the paper's own numbers beside ours. Cells are words."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hagnifinder.data.patches import Patch
from hagnifinder.evaluation.paper_runs import Run
from hagnifinder.evaluation.systems import FOUR_LEVELS_X

NO_DATA = "data not available"
PAPER_TABLE_2 = {"hagnifinder-r18": ("53.4%", "82.80%", "99.89%"), "hagnifinder-r50": ("88.22%", "98.89%", "100%")}
PAPER_BREAKHIS = {
    "bayramoglu": ("84.87%", "79.74%", "71.72%", "84.13%"),
    "zaveri": ("97.72%", "95.51%", "95.17%", "96.56%"),
    "hagnifinder-r50": ("98.02%", "97.41%", "95.29%", "96.92%"),
}
PAPER_FOUR = {
    "zaveri": ("99.14%", "98.83%", "99.2%", "99.19%"),
    "hagnifinder-r50": ("100%", "99.79%", "99.25%", "93.29%"),
}
PAPER_ERRORS = {"cervix": "4.688%", "colon": "2.745%"}
_REACH = {"hagnifinder-r18": 0.828, "hagnifinder-r50": 0.9889}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its file name, what it shows, heads and cells."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown; a bar in a cell stays in its cell."""
        lines = ["| " + " | ".join(self.heads) + " |", "|---" * len(self.heads) + "|"]
        lines += ["| " + " | ".join(c.replace("|", "/") for c in row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def csv(self) -> bytes:
        """As CSV; no cell is a formula to a spreadsheet."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.heads)
        writer.writerows([f"'{c}" if c[:1] in ("=", "@", "+") else c for c in row] for row in self.rows)
        return text.getvalue().encode()


def table_2(runs: Sequence[Run]) -> Table:
    """ACC_0.5, ACC_1, ACC_5 by backbone and protocol."""
    rows = []
    for run in runs:
        if run.system in PAPER_TABLE_2:
            paper = PAPER_TABLE_2[run.system] if run.protocol == "P1" else ("",) * 3
            cells = [
                cell for k, theirs in zip(("0.5", "1", "5"), paper, strict=True) for cell in (_acc(run, k), theirs)
            ]
            rows.append((run.name, run.protocol, f"{run.samples:,}", *cells))
    heads = ("network", "protocol", "crops seen", *(h for k in ("0.5", "1", "5") for h in (f"ACC_{k}", "the paper")))
    return Table("table2", "Table 2: accuracy by backbone", heads, tuple(rows))


def table_3(runs: Sequence[Run]) -> list[Table]:
    """BreakHis, which is not to be had, and the four levels of Hagni40 scored both ways."""
    levels = [f"{x:g}x" for x in FOUR_LEVELS_X]
    breakhis = [(name, *(c for theirs in paper for c in (NO_DATA, theirs))) for name, paper in PAPER_BREAKHIS.items()]
    four = []
    for run in runs:
        paper = PAPER_FOUR.get(run.system, ("",) * 4) if run.protocol == "P1" else ("",) * 4
        cells = []
        for x, theirs in zip(FOUR_LEVELS_X, paper, strict=True):
            ours = run.scores.four.get(f"{x:g}")
            cells += [*(f"{v:.1%}" for v in ours)] if ours else ["no patches", "no patches"]
            cells.append(theirs)
        four.append((run.name, run.protocol, f"{run.samples:,}", *cells))
    heads = tuple(h for x in levels for h in (f"{x} within 1", f"{x} nearest", f"{x} paper"))
    return [
        Table(
            "table3_breakhis",
            "Table 3: BreakHis",
            ("system", *(h for x in levels for h in (f"{x} ours", f"{x} paper"))),
            tuple(breakhis),
        ),
        Table(
            "table3_hagni40",
            "Table 3: four levels of Hagni40, within 1 of the level and nearest of the four",
            ("system", "protocol", "crops seen", *heads),
            tuple(four),
        ),
    ]


def all_systems(runs: Sequence[Run]) -> Table:
    """Every run and every control under every protocol."""
    rows = []
    seen = set()
    for run in runs:
        for row in (run.scores, *run.controls):
            is_own = row is run.scores
            name = run.name if is_own else f"control: {row.name}"
            if row.name == "shuffled tissue":
                name += f" ({run.name}, {run.samples:,})"
            if not is_own and (run.protocol, name) in seen:
                continue
            seen.add((run.protocol, name))
            a, low, high = row.acc["1"]
            rows.append(
                (
                    run.protocol,
                    name,
                    f"{run.samples:,}" if is_own else "",
                    str(row.patches),
                    str(row.slides),
                    f"{row.acc['0.5'][0]:.1%}",
                    f"{a:.1%} ({low:.1%} to {high:.1%})",
                    f"{row.acc['5'][0]:.1%}",
                    f"{row.median_log2:.3f}",
                    f"{row.p90_log2:.3f}",
                    _number(row.r2),
                    _number(row.kappa),
                )
            )
    heads: tuple[str, ...] = (
        "protocol",
        "system",
        "crops seen",
        "patches",
        "slides",
        "ACC_0.5",
        "ACC_1 (95 %)",
        "ACC_5",
    )
    heads += ("median abs. log2", "90th pct.", "R²", "kappa")
    rows.sort(key=lambda r: (r[0], r[1].startswith("control")))
    return Table("systems", "All systems and controls", heads, tuple(rows))


def beside(runs: Sequence[Run], first: str, second: str) -> Table:
    """Systems of the same budget under two protocols: P1 beside P2 is the leak, P2 beside P4 the cues of making."""
    of = {(r.protocol, r.system, r.arm, r.samples): r for r in runs}
    rows = []
    for run in runs:
        other = of.get((second, run.system, run.arm, run.samples))
        if run.protocol == first and other is not None:
            a, b = run.scores, other.scores
            rows.append(
                (
                    run.name,
                    f"{run.samples:,}",
                    _acc_interval(run),
                    _acc_interval(other),
                    f"{(a.acc['1'][0] - b.acc['1'][0]) * 100:+.1f}",
                    f"{a.acc['5'][0]:.1%}",
                    f"{b.acc['5'][0]:.1%}",
                    f"{a.median_log2:.3f}",
                    f"{b.median_log2:.3f}",
                )
            )
    heads: tuple[str, ...] = (
        "system",
        "crops seen",
        f"{first} ACC_1 (95 %)",
        f"{second} ACC_1 (95 %)",
        "difference, points",
    )
    heads += (f"{first} ACC_5", f"{second} ACC_5", f"{first} median abs. log2", f"{second} median abs. log2")
    return Table(f"{first.lower()}_beside_{second.lower()}", f"{first} beside {second}", heads, tuple(rows))


def curve(runs: Sequence[Run]) -> Table:
    """Accuracy of the paper's networks against the crops they were trained on, and where a line would meet theirs."""
    rows = []
    for system in PAPER_TABLE_2:
        for protocol in ("P1", "P2"):
            ours = [r for r in runs if (r.system, r.protocol) == (system, protocol) and r.arm == "sane"]
            ours.sort(key=lambda r: r.samples)
            for run in ours:
                rows.append((system, protocol, f"{run.samples:,}", _acc_interval(run), _acc(run, "5")))
            if ours:
                points = [(r.samples, r.scores.acc["1"][0]) for r in ours]
                rows.append((system, protocol, "to the paper's", where(points, _REACH[system]), ""))
    heads = ("network", "protocol", "crops seen", "ACC_1 (95 %)", "ACC_5")
    return Table("curve", "Accuracy against training samples", heads, tuple(rows))


def where(points: Sequence[tuple[int, float]], wanted: float) -> str:
    """Where a straight line through (ln crops, logit of the accuracy) meets an accuracy; words when it cannot be said.

    Beyond ten times the most crops that were seen nothing is claimed.
    """
    usable = [(math.log(n), math.log(a / (1 - a))) for n, a in points if 0 < a < 1]
    if len(usable) < 3:
        return "cannot be said from fewer than three budgets"
    mx, my = (sum(v) / len(usable) for v in zip(*usable, strict=True))
    slope = sum((x - mx) * (y - my) for x, y in usable) / sum((x - mx) ** 2 for x, _ in usable)
    if slope <= 0:
        return "cannot be said: accuracy does not rise with the budgets seen"
    log_n = mx + (math.log(wanted / (1 - wanted)) - my) / slope
    if log_n > max(x for x, _ in usable) + math.log(10):
        return "cannot be said: beyond ten times the largest budget"
    return f"about {math.exp(log_n):,.0f} crops, by a line through the logits"


def by_level(patches: Sequence[Patch]) -> Table:
    """Fig. 6: patches, slides and patients of each level, and the range of µm/px that its name hides."""
    rows = []
    for x in sorted({p.level_x for p in patches}):
        here = [p for p in patches if p.level_x == x]
        um = [p.mpp_um for p in here]
        patients = len({p.patient for p in here})
        slides = len({p.slide_id for p in here})
        rows.append(
            (f"{x:g}x", str(len(here)), str(slides), str(patients), f"{10 / x:.4f}", f"{min(um):.4f}", f"{max(um):.4f}")
        )
    heads = ("level", "patches", "slides", "patients", "nominal µm/px", "least µm/px", "most µm/px")
    return Table("fig6_levels", "Fig. 6: patches of each level", heads, tuple(rows))


def by_organ(run: Run) -> Table:
    """Fig. 9: mispredictions (not within 1) by organ."""
    n = Counter(a.organ or "not known" for a in run.answers)
    wrong = Counter(a.organ or "not known" for a in run.answers if abs(a.level_x - a.said_x) > 1)
    rows = [(o, str(n[o]), str(wrong[o]), f"{wrong[o] / n[o]:.1%}", PAPER_ERRORS.get(o, "")) for o in sorted(n)]
    rows.sort(key=lambda r: -wrong[r[0]] / n[r[0]])
    heads = ("organ", "patches", "wrong", "share", "the paper")
    return Table("fig9_organs", "Fig. 9: mispredictions by organ", heads, tuple(rows))


def worst_levels(run: Run) -> Table:
    """Fig. 10: mispredictions by level in colon, or in all organs where there is no colon."""
    organ = "colon" if any(a.organ == "colon" for a in run.answers) else ""
    here = [a for a in run.answers if not organ or a.organ == organ]
    n = Counter(round(a.level_x) for a in here)
    wrong = Counter(round(a.level_x) for a in here if abs(a.level_x - a.said_x) > 1)
    rows = [(f"{x}x", str(n[x]), str(wrong[x]), f"{wrong[x] / n[x]:.1%}") for x in n]
    rows.sort(key=lambda r: (-float(r[3][:-1]), float(r[0][:-1])))
    where_ = organ or "all organs"
    return Table(
        "fig10_levels", f"Fig. 10: worst levels in {where_}", ("level", "patches", "wrong", "share"), tuple(rows)
    )


def _acc(run: Run, key: str) -> str:
    return f"{run.scores.acc[key][0]:.1%}"


def _acc_interval(run: Run) -> str:
    a, low, high = run.scores.acc["1"]
    return f"{a:.1%} ({low:.1%} to {high:.1%})"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
