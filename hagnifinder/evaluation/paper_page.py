"""All tables and figures of the paper as files: CSV, PNG, one HTML page that needs nothing else, and a results page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hagnifinder.data.patches import Patch
from hagnifinder.evaluation import paper_figures as figures
from hagnifinder.evaluation import paper_tables as tables
from hagnifinder.evaluation.paper_runs import Run, headline
from hagnifinder.evaluation.paper_tables import Table

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "td,th{border:1px solid #ccc;padding:3px 7px;text-align:left;white-space:nowrap}th{background:#f2f2f2}"
    "img{max-width:100%;height:auto}"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the numbers were measured on: a day, a machine in words, results that could not be read, speeds if known."""

    day: str
    machine: str
    damaged: Sequence[str] = ()
    speeds: Mapping[str, Mapping[str, float]] | None = None


def paper_files(runs: Sequence[Run], data: Path | None, patches: Sequence[Patch], facts: Facts) -> dict[str, bytes]:
    """Every file of the command, by name; figures that show patches are made when the data set is given.

    Args:
        patches: rows of the data set's manifest, refused ones included; empty when it is not given.
    """
    shown = headline(runs)
    kept = [p for p in patches if p.is_kept]
    organs, worst = tables.by_organ(shown), tables.worst_levels(shown)
    made = [
        tables.table_2(runs),
        *tables.table_3(runs),
        tables.beside(runs, "P1", "P2"),
        tables.beside(runs, "P2", "P4"),
    ]
    made += [tables.curve(runs), tables.all_systems(runs)]
    if facts.speeds:
        made.append(_speeds(facts.speeds))
    drawn = {
        "curve": figures.figure_curve(runs),
        "fig3": figures.figure_3(),
        "fig7": figures.figure_7(shown),
        "fig8": figures.figure_8(shown),
        "fig9": figures.figure_9(organs.rows),
        "fig10a": figures.figure_10(worst.rows),
    }
    if data is not None:
        made.append(tables.by_level(kept))
        drawn["fig5"] = figures.figure_5(data, patches)
        drawn["fig6"] = figures.figure_6(kept)
        drawn["fig10b"] = figures.figure_10_pictures(data, kept, shown, [row[0] for row in worst.rows[:6]])
    made += [organs, worst]
    files = {f"{table.name}.csv": table.csv() for table in made}
    files |= {f"{name}.png": picture for name, picture in drawn.items()}
    files["index.html"] = _html(shown, made, drawn, facts).encode()
    files["paper.md"] = _markdown(shown, runs, made, kept, facts).encode()
    return files


CAPTIONS = {
    "fig3": "Fig. 3: the example of the paper through tanh. Scaling does not spread the small values.",
    "fig5": "Fig. 5: accepted patches above, refused ones below.",
    "fig6": "Fig. 6: patches of each level, all and by organ. The paper has 94,643 patches of 128 slides.",
    "fig7": "Fig. 7: confusion of levels. The paper: 93.5 % at 1x, 92.3 % at 40x, more between.",
    "fig8": "Fig. 8: what was said at each level, by organ.",
    "fig9": "Fig. 9: share and number of mispredictions by organ. The paper's worst: cervix 4.688 %, colon 2.745 %.",
    "fig10a": "Fig. 10a: mispredictions by level, the worst first.",
    "fig10b": "Fig. 10b: wrong ones of the worst levels above, right ones below.",
    "curve": "Accuracy against training samples; the paper's 82.8 % (ResNet18) and 98.9 % (ResNet50) lie far above.",
}


def _speeds(speeds: Mapping[str, Mapping[str, float]]) -> Table:
    rows = []
    for name, found in speeds.items():
        loader, step, both = (float(found[k]) for k in ("loader_per_s", "step_per_s", "both_per_s"))
        rows.append((name, f"{loader:.1f}", f"{step:.1f}", f"{both:.1f}", f"{loader / step:.1f}"))
    heads = ("system", "loader alone, crops/s", "step alone", "both, as in training", "loader over step")
    return Table("speed", "Loader against step", heads, tuple(rows))


def _words(shown: Run, facts: Facts) -> list[str]:
    words = [
        f"{facts.day}, {facts.machine}. Figures 7 to 10 show {shown.name} under {shown.protocol} after "
        f"{shown.samples:,} crops.",
        "P1 splits by patch, as the paper's first code does: patches of one tile stand on all sides. P2 keeps patients "
        "apart. P4 is P2 with resizing, blur and compression that hide how patches were made.",
        "The paper's numbers come from 128 whole slides and millions of crops, split as P1 by its code.",
    ]
    if facts.damaged:
        words.append(f"Left out, since they cannot be read: {', '.join(facts.damaged)}.")
    return words


def _html(shown: Run, made: Sequence[Table], drawn: Mapping[str, bytes], facts: Facts) -> str:
    parts = [f"<p>{html.escape(w)}</p>" for w in _words(shown, facts)]
    for table in made:
        heads = "".join(f"<th>{html.escape(h)}</th>" for h in table.heads)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in table.rows)
        parts.append(f"<h2>{html.escape(table.title)}</h2><table><tr>{heads}</tr>{rows}</table>")
    for name in sorted(drawn, key=lambda n: (n == "curve", int("".join(c for c in n if c.isdigit()) or 0), n)):
        data = base64.b64encode(drawn[name]).decode()
        caption = html.escape(CAPTIONS[name])
        parts.append(f'<h2>{caption}</h2><img alt="{caption}" src="data:image/png;base64,{data}">')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>The paper's tables and figures</title><style>{_STYLE}</style></head><body>"
        "<h1>The paper's tables and figures</h1>" + "\n".join(parts) + "</body></html>\n"
    )


def _markdown(shown: Run, runs: Sequence[Run], made: Sequence[Table], kept: Sequence[Patch], facts: Facts) -> str:
    parts = ["# The paper's tables, from our runs", "", "Written by `hagnifinder paper`.", ""]
    parts += [f"{w}\n" for w in _words(shown, facts)]
    if kept:
        low, high = min(p.level_x for p in kept), max(p.level_x for p in kept)
        finest = [p.slide_mpp_um for p in kept if p.nominal_x == 40.0]
        parts.append(
            f"Data: {len(kept):,} patches of {len({p.slide_id for p in kept})} pictures of "
            f"{len({p.patient for p in kept})} patients, {len({p.level_x for p in kept})} levels, "
            f"{low:g}x to {high:g}x."
            + (
                f" 40x stands for a stated {min(finest):.4g} to {max(finest):.4g} µm/px; "
                f"in TCGA a nominal 0.25 hides 0.227 to 0.253."
                if finest
                else ""
            )
            + "\n"
        )
    parts.append(_leak_words(runs))
    for table in made:
        parts += [f"## {table.title}", "", table.markdown() if table.rows else "No run.\n"]
    return "\n".join(parts)


def _leak_words(runs: Sequence[Run]) -> str:
    """What the pairs say, in words: clear only where the intervals lie apart."""
    of = {(r.protocol, r.system, r.arm, r.samples): r for r in runs}
    clear: list[str] = []
    unclear: list[str] = []
    for run in runs:
        other = of.get(("P2", run.system, run.arm, run.samples))
        if run.protocol == "P1" and other is not None:
            a, b = run.scores.acc["1"], other.scores.acc["1"]
            word = f"{run.name} at {run.samples:,} crops ({(a[0] - b[0]) * 100:+.1f} points)"
            (clear if a[1] > b[2] or b[1] > a[2] else unclear).append(word)
    if not clear and not unclear:
        return "No system was tested under both P1 and P2.\n"
    words = f"P1 less P2 at ACC_1: the intervals lie apart for {'; '.join(clear) if clear else 'no system'}"
    return words + (f", and overlap for {'; '.join(unclear)}" if unclear else "") + ".\n"
