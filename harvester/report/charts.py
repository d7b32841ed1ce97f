"""Plots as inline SVG: no script, colours from the page's style sheet, so that they follow dark mode.

Written here rather than by a plotting library: its SVG carries its own fonts and colours, which a dark page or a screen
reader can do nothing with, and is some twenty times as large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harvester.report.tallies import LogTally

FINEST_UM, COARSEST_UM = 2.0**-3.5, 2.0**4
STEP_OCTAVES = 0.25
TICKS_UM = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
TICKS_X = (100.0, 40.0, 20.0, 10.0, 5.0, 2.5, 1.0)


@dataclass(frozen=True, slots=True)
class LogAxis:
    """Maps values between `low` and `high` to positions between `start` and `end`, by their logarithm."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the position of a value; what lies outside is put on the edge."""
        share = math.log(min(self.high, max(self.low, value)) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)


def _text(x: float, y: float, words: str, css: str = "", anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(x, y, css, anchor, words)


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, css)


def _svg(name: str, width: float, height: float, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    head = Markup(
        '<svg class="plot" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>'
    ).format(width, height, width, name, name, name, title, name, description)
    return head + Markup("").join(parts) + Markup("</svg>")


def number(value: float) -> str:
    """Return a number with at most three significant digits: 0.25, 1.5, 40."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def scale_edges() -> list[float]:
    """Return the edges of the histogram's bins, in µm per pixel."""
    n = round(math.log2(COARSEST_UM / FINEST_UM) / STEP_OCTAVES)
    return [FINEST_UM * 2.0 ** (i * STEP_OCTAVES) for i in range(n + 1)]


def scale_chart(rows: Sequence[tuple[str, str, LogTally]]) -> Markup:
    """Draw one histogram of µm per pixel below the other, on one axis, with the magnification along the top.

    Args:
        rows: Name, CSS class of its colour, and the counts.
    """
    left, right, top, row_height = 132.0, 708.0, 40.0, 74.0
    height = top + row_height * len(rows) + 40
    axis = LogAxis(FINEST_UM, COARSEST_UM, left, right)
    edges = scale_edges()
    parts = [_line(axis.at(tick), top - 8, axis.at(tick), height - 38, "grid") for tick in TICKS_UM]
    parts += [_text(axis.at(10.0 / x), top - 14, f"{number(x)}x", "tick") for x in TICKS_X]
    parts += [_text(axis.at(um), height - 24, number(um), "tick") for um in TICKS_UM]
    parts += [
        _text((left + right) / 2, height - 6, "µm per pixel, logarithmic", "label"),
        _text((left + right) / 2, 11, "magnification (10 / µm per pixel)", "label"),
    ]
    for i, (name, css, tally) in enumerate(rows):
        base = top + (i + 1) * row_height
        counts = tally.coarse(edges)
        most = max(max(counts), 1)
        parts += [
            _text(left - 10, base - 26, name, "name", "end"),
            _text(left - 10, base - 10, f"{tally.n:,}", "tick", "end"),
        ]
        for count, lo, hi in zip(counts, edges, edges[1:], strict=False):
            tall = (row_height - 16) * count / most
            if count:
                parts.append(
                    Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>').format(
                        axis.at(lo) + 0.6, base - max(tall, 1.0), axis.at(hi) - axis.at(lo) - 1.2, max(tall, 1.0), css
                    )
                )
        parts.append(_line(left, base, right, base, "axis"))
    described = "; ".join(
        f"{name}: {tally.n:,}" + (f", median {number(tally.quantile(0.5) or 0)} µm per pixel" if tally.n else "")
        for name, _, tally in rows
    )
    return _svg("scale", 720, height, "Pixel size by witness", described + ". The table below has the numbers.", parts)


@dataclass(frozen=True, slots=True)
class Square:
    """A plot of one witness against another on two logarithmic axes of the same range."""

    name: str
    title: str
    x_label: str
    y_label: str
    low: float
    high: float
    ticks: Sequence[float]

    def draw(self, points: Sequence[tuple[float, float, str]], description: str) -> Markup:
        """Draw (x, y, css) points, the line of agreement, and the band of a factor of two."""
        left, top, side = 62.0, 14.0, 340.0
        across = LogAxis(self.low, self.high, left, left + side)
        up = LogAxis(self.low, self.high, top + side, top)
        band = [(self.low, self.low * 2), (self.high / 2, self.high), (self.high, self.high)]
        band += [(self.high, self.high / 2), (self.low * 2, self.low), (self.low, self.low)]
        corners = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in band)
        parts = [Markup('<polygon points="{}" class="band"/>').format(corners)]
        for tick in self.ticks:
            parts += [
                _line(across.at(tick), top, across.at(tick), top + side, "grid"),
                _line(left, up.at(tick), left + side, up.at(tick), "grid"),
                _text(across.at(tick), top + side + 18, number(tick), "tick"),
                _text(left - 8, up.at(tick) + 4, number(tick), "tick", "end"),
            ]
        parts.append(_line(left, top + side, left + side, top, "same"))
        for x, y, css in points:
            # a conflict is told by shape as well as by colour
            cross = Markup('<path d="M{:.1f} {:.1f}m-4 -4l8 8m0 -8l-8 8" class="{}"/>')
            dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3.2" class="{}"/>')
            parts.append((cross if css == "conflict" else dot).format(across.at(x), up.at(y), css))
        middle = top + side / 2
        parts += [
            _text(left + side / 2, top + side + 40, self.x_label, "label"),
            Markup(
                '<text transform="translate(16 {:.1f}) rotate(-90)" class="label" text-anchor="middle">{}</text>'
            ).format(middle, self.y_label),
        ]
        return _svg(self.name, left + side + 16, top + side + 50, self.title, description, parts)


def bar_table(
    caption: str, head: tuple[str, str], counts: Mapping[str, int] | Sequence[tuple[str, int]], n_rows: int = 15
) -> Markup:
    """Return a table that is a bar plot as well: name, count, share, bar. What is beyond `n_rows` is added up."""
    given = list(counts.items()) if isinstance(counts, Mapping) else list(counts)
    total = sum(n for _, n in given)
    shown = given[:n_rows]
    if rest := given[n_rows:]:
        shown.append((f"{len(rest):,} more", sum(n for _, n in rest)))
    most = max([n for _, n in shown] + [1])
    rows = Markup("").join(
        Markup(
            '<tr><th scope="row"><bdi>{}</bdi></th><td class="n">{}</td><td class="n">{}</td>'
            '<td class="bar" aria-hidden="true"><span style="width:{:.1f}%"></span></td></tr>'
        ).format(name, f"{n:,}", f"{n / total:.0%}" if total else "", 100 * n / most)
        for name, n in shown
    )
    return Markup(
        '<table class="bars"><caption>{}</caption><thead><tr><th scope="col">{}</th><th scope="col" class="n">{}</th>'
        '<th scope="col" class="n">share</th><td></td></tr></thead><tbody>{}</tbody></table>'
    ).format(caption, head[0], head[1], rows)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]], numeric: int = 99) -> Markup:
    """Return a plain table; the first column names the row, columns from `numeric` on are numbers."""
    marks = [Markup(' class="n"') if i >= numeric else Markup("") for i in range(len(head))]
    top = Markup("").join(Markup('<th scope="col"{}>{}</th>').format(m, h) for m, h in zip(marks, head, strict=True))
    lines = []
    for row in rows:
        first, *others = (cell if isinstance(cell, Markup) else Markup("<bdi>{}</bdi>").format(cell) for cell in row)
        cells = Markup("").join(Markup("<td{}>{}</td>").format(m, c) for m, c in zip(marks[1:], others, strict=True))
        lines.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(first, cells))
    return Markup(
        '<div class="wide"><table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(caption, top, Markup("").join(lines))


__all__ = ["LogAxis", "Square", "bar_table", "number", "scale_chart", "scale_edges", "table"]
