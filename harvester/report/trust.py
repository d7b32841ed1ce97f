"""Sections on the scales: how large pixels are, who says so, and whether the witnesses agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harvester.report.charts import Square, bar_table, number, scale_chart, table
from harvester.report.facts import Facts
from harvester.report.tallies import Comparison, LogTally, wilson
from harvester.report.words import AGREEMENT, SOURCES, noun, plain, scale_words, words_of
from harvester.review.agreement import BlindReport, PairAgreement

ROWS = (
    ("all", "reconciled", "all"),
    ("review", "reviewers", "review"),
    ("scale_bar", "scale bars", "scale_bar"),
    ("image", "the image", "image"),
    ("caption", "captions", "caption"),
)
BANDS = (
    (1.25, "up to 1.25x"),
    (2.5, "1.25 to 2.5x"),
    (5.0, "2.5 to 5x"),
    (10.0, "5 to 10x"),
    (20.0, "10 to 20x"),
    (40.0, "20 to 40x"),
)

MAX_PAIRS = 40


@dataclass(frozen=True, slots=True)
class People:
    """What reviewers say of each other and of the model."""

    blind: BlindReport
    pairs: Sequence[PairAgreement]


def scale_facts(facts: Facts) -> dict[str, Any]:
    """Return what the page says of pixel sizes."""
    scan = facts.scan
    tallies = {"all": scan.scales["all"], **scan.says}
    rows = [(label, css, tallies[key]) for key, label, css in ROWS if tallies[key].n or key in ("all", "image")]
    middle, low, high = (scan.scales["all"].quantile(q) for q in (0.5, 0.05, 0.95))
    if middle and low and high:
        words = (
            f"{scan.scales['all'].n:,} of {scan.n:,} snapshots have a reconciled pixel size: half are finer than"
            f" {scale_words(middle)}, nine of ten"
            f" lie between {scale_words(low)} and {scale_words(high)}. A pixel size is of the published pixels,"
            f" whatever the objective was."
        )
    else:
        words = "No snapshot of this harvest has a pixel size yet."
    head = ("says", *(label for _, label in BANDS), "above 40x", "all", "median µm/px")
    return {
        "scale_words": words,
        "scale_chart": scale_chart(rows),
        "scale_table": table(
            "Snapshots by magnification and by who says it",
            head,
            [
                (label, *_bands(tally), f"{tally.n:,}", number(tally.quantile(0.5) or 0) if tally.n else "–")
                for label, _, tally in rows
            ],
            numeric=1,
        ),
        "agreement_table": Markup('<div class="pair">{}{}</div>').format(
            bar_table(
                "Where the pixel size comes from",
                ("from", "snapshots"),
                [(SOURCES.get(key, plain(key)), n) for key, n in scan.sources.most_common()],
            ),
            bar_table(
                "How the witnesses stand to each other",
                ("witnesses", "snapshots"),
                [(AGREEMENT.get(key, plain(key).replace("_", " ")), n) for key, n in scan.agreement.most_common()],
            ),
        ),
        "abstained": bar_table(
            "Why the model abstained",
            ("reason", "snapshots"),
            [(words_of(plain(key)), n) for key, n in scan.abstained.most_common()],
        )
        if scan.abstained
        else "",
    }


def _bands(tally: LogTally) -> list[str]:
    edges_um = [0.001, *(10.0 / x for x, _ in reversed(BANDS)), 1e6]
    return [f"{n:,}" for n in reversed(tally.coarse(edges_um))]


def trust_facts(facts: Facts, people: People) -> dict[str, Any]:
    """Return what the page says of agreement: the image with the other witnesses, people with each other."""
    scan = facts.scan
    plots = []
    ticks_um = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)
    for key, comparison, label in (("bar", scan.image_bar, "scale bar"), ("review", scan.image_review, "reviewer")):
        if comparison.n:
            square = Square(
                f"{key}-plot",
                f"Image against {label}",
                f"{label}, µm per pixel",
                "image, µm per pixel",
                0.08,
                16.0,
                ticks_um,
            )
            css = "scale_bar" if key == "bar" else "review"
            points = [(x, y, "conflict" if bad else css) for x, y, bad in comparison.points.items()]
            words = (
                f"{_drawn(len(points), comparison.n)}. Dashed: the same; shaded: within a factor of two; crosses:"
                " conflicts."
            )
            plots.append(
                {"svg": square.draw(points, f"{_summary(comparison)} The table has the numbers."), "words": words}
            )
    stated = [(x, y, "caption") for x, y in scan.caption_points.items()]
    if stated:
        square = Square(
            "caption-plot",
            "Image against the caption's objective",
            "objective the caption implies, x",
            "image, 10 / (µm per pixel)",
            0.8,
            125.0,
            (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 100.0),
        )
        words = (
            f"{_drawn(len(stated), scan.caption_points.n_seen)}. The two need not be equal: a figure is resized"
            f" on its way to print, so"
            " points below the line are what one expects."
        )
        plots.append(
            {"svg": square.draw(stated, f"{len(stated)} snapshots. The table has the numbers."), "words": words}
        )
    named = [("image against scale bar", scan.image_bar), ("image against reviewer", scan.image_review)]
    rows = [(label, *_comparison_row(c)) for label, c in named if c.n]
    head = (
        "",
        "snapshots",
        "median factor apart",
        "image over the other, median",
        "within a quarter",
        "within a factor of 2",
        "90 % interval holds it",
    )
    objectives = [
        (f"{number(x)}x", f"{tally.n:,}", *(f"{number(tally.quantile(q) or 0)}x" for q in (0.5, 0.16, 0.84)))
        for x, tally in sorted(scan.by_objective.items())
    ]
    return {
        "plots": plots,
        "comparisons": table("How far the image is from other witnesses", head, rows, numeric=1) if rows else "",
        "objectives": table(
            "What the image says where the caption implies an objective",
            ("objective", "snapshots", "median", "16 % below", "84 % below"),
            objectives,
            numeric=1,
        )
        if objectives
        else "",
        "people": _people(people),
    }


def _drawn(n_shown: int, n: int) -> str:
    return noun(n, "snapshot") if n_shown == n else f"{n_shown:,} of {n:,} snapshots, drawn at random"


def _summary(c: Comparison) -> str:
    return f"{noun(c.n, 'snapshot')}, in the middle a factor of {c.distance.quantile(0.5) or 1:.2f} apart."


def _comparison_row(c: Comparison) -> list[str]:
    return [
        f"{c.n:,}",
        f"{c.distance.quantile(0.5) or 1:.2f}",
        f"{c.ratio.quantile(0.5) or 1:.2f}",
        _with_interval(c.n_within_quarter, c.n),
        _with_interval(c.n_within_double, c.n),
        _with_interval(c.n_inside, c.n_interval),
    ]


def _with_interval(n_hits: int, n: int) -> str:
    if not n:
        return "–"
    low, high = wilson(n_hits, n)
    return f"{n_hits / n:.0%} ({low:.0%} to {high:.0%})"


def _factor(log2: float | None) -> str:
    return "–" if log2 is None else f"{2.0**log2:.2f}"


def _people(people: People) -> Markup:
    blind, parts = people.blind, []
    if blind.guesses or blind.n_without_truth:
        words = (
            f"{noun(len(blind.guesses), 'magnification')} given by reviewers before they saw any witness can be"
            f" compared with a scale bar or another reviewer;"
            f" {blind.n_without_truth:,} more cannot."
        )
        rows = [
            (
                "reviewers, where the model gave a number too",
                f"{blind.n_with_model:,}",
                _factor(blind.reviewers_median_log2),
            ),
            ("the model, on the same", f"{blind.n_with_model:,}", _factor(blind.model_median_log2)),
            ("reviewers, all", f"{len(blind.guesses):,}", _factor(blind.reviewers_median_log2_all)),
        ]
        head = ("who", "guesses", "median factor off")
        parts.append(
            Markup("<p>{}</p>{}").format(words, table("Blind guesses beside the model's", head, rows, numeric=1))
        )
    if people.pairs:
        pairs = [
            (
                f"{plain(p.reviewer_a, 40)} and {plain(p.reviewer_b, 40)}",
                f"{p.n_both:,}",
                f"{p.observed:.0%}",
                "–" if p.kappa is None else f"{p.kappa:.2f}",
                _factor(p.median_log2),
            )
            for p in people.pairs[:MAX_PAIRS]
        ]
        names = ("reviewers", "snapshots of both", "same verdict", "Cohen's kappa", "median factor apart")
        parts.append(table("Agreement between reviewers", names, pairs, numeric=1))
    return Markup("").join(parts)
