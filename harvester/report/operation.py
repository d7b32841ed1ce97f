"""Sections on what is in the harvest, how its runs went, and the models behind its estimates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from harvester.licences import CODES, licence_name
from harvester.progress import duration
from harvester.report.charts import bar_table, table
from harvester.report.facts import Facts, seconds_between
from harvester.report.words import KINDS, day_and_time, noun, plain, size_words, words_of

MAX_CARD_ROWS = 40
"""Lines shown of a table that comes from outside."""


def content_facts(facts: Facts) -> dict[str, Any]:
    """Return what the page says of what is in the harvest."""
    scan, funnel = facts.scan, facts.funnel

    def named(counts: Counter[str], nothing: str) -> list[tuple[str, int]]:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [(plain(key, 90) or nothing, n) for key, n in ordered]

    years = sorted(scan.years.items(), reverse=True)
    licences = [
        (f"{code} ({licence_name(code)})" if code in CODES else plain(code, 40) or "not stated", n)
        for code, n in sorted(scan.licences.items(), key=lambda item: (-item[1], item[0]))
    ]
    tables = [
        bar_table(
            "Panels by kind",
            ("kind", "panels"),
            [(KINDS.get(k, plain(k)), n) for k, n in funnel.panels_by_kind.items()],
        ),
        bar_table(
            "Snapshots by organ, as the words around them say", ("organ", "snapshots"), named(scan.organs, "not said")
        ),
        bar_table("Snapshots by licence of the article", ("licence", "snapshots"), licences),
        bar_table(
            "Articles by licence",
            ("licence", "articles"),
            [(plain(row["name"], 40) or "not stated", row["n"]) for row in facts.article_licences],
        ),
        bar_table(
            "Snapshots by year of publication", ("year", "snapshots"), [(key or "not known", n) for key, n in years], 20
        ),
        bar_table("Snapshots by journal", ("journal", "snapshots"), named(scan.journals, "not known")),
    ]
    return {"bars": tables if funnel.panels or funnel.articles_found else []}


def operation_facts(facts: Facts) -> dict[str, Any]:
    """Return what the page says of runs, failures and models."""
    funnel = facts.funnel
    reading = [total for total in facts.run_totals if total.command in ("run", "annotate")]
    seconds = sum(total.seconds for total in reading)
    if seconds and funnel.articles_annotated:
        speed = (
            f"{noun(funnel.articles_annotated, 'article')} were read and {noun(funnel.snapshots, 'snapshot')}"
            f" estimated in {duration(seconds)} of"
            f" 'run' and 'annotate' (downloads included): {60 * funnel.articles_annotated / seconds:.1f} articles"
            f" a minute."
        )
    else:
        speed = "No finished run has read articles here, so there is no speed to tell."
    speed += f" The articles' files take {size_words(facts.n_bytes)}."
    totals = [
        (plain(t.command, 30), f"{t.n:,}", f"{t.n_failed:,}", f"{t.n_open:,}", duration(t.seconds))
        for t in facts.run_totals[:MAX_CARD_ROWS]
    ]
    runs = [
        (
            day_and_time(row["started_at"]),
            plain(row["command"], 30),
            _how_long(row),
            "–" if row["exit_code"] is None else str(row["exit_code"]),
            plain(row["version"], 30),
        )
        for row in facts.runs
    ]
    failures = [
        (
            plain(row["subject_id"], 80),
            plain(row["stage"], 20),
            words_of(plain(row["reason"], 60)),
            plain(row["detail"], 240),
        )
        for row in facts.failures
    ]
    n = facts.n_failures
    failure_words = "Nothing failed: no fault of the program, nothing left for a later run."
    if n:
        failure_words = (
            f"{noun(n, 'thing')} failed in passing or by a fault of the program;"
            " `harvester annotate --retry-failed` tries again."
        )
        if n > len(failures):
            failure_words += f" The first {len(failures)} are listed."
    return {
        "speed_words": speed,
        "run_totals": table(
            "Runs by command", ("command", "runs", "with something left", "not ended", "time"), totals, numeric=1
        )
        if totals
        else "",
        "runs": table(
            f"The newest of {noun(facts.n_runs, 'run')}", ("begun (UTC)", "command", "took", "exit", "version"), runs
        )
        if runs
        else "",
        "failure_words": failure_words,
        "failures": table("Failures", ("what", "step", "reason", "detail"), failures) if failures else "",
        "models": [_model(row) for row in facts.models],
    }


def _how_long(row: Mapping[str, Any]) -> str:
    seconds = seconds_between(row["started_at"], row["finished_at"])
    return "not ended" if seconds is None else duration(seconds)


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    card = row["card"]
    # raw SQL gives JSON columns as text
    if isinstance(card, str):
        card = json.loads(card)
    results = card.get("results") if isinstance(card, dict) else None
    measured = results.get("measured_on") if isinstance(results, dict) else None
    words = f"Version {plain(str(row['version']), 30)}, weights {plain(row['weights_sha256'], 64)[:12]}."
    words += f" {plain(str(card.get('limits') or ''), 600)}" if isinstance(card, dict) else ""
    lines = [
        line
        for key, value in (results or {}).items()
        if isinstance(value, list)
        for line in value
        if isinstance(line, dict)
    ]
    if not lines:
        return {"id": plain(row["model_id"], 80), "words": words + " Its card has no measurements.", "table": ""}
    head = list(lines[0])
    head.sort(key=lambda column: column != "name")
    rows = [[_cell(line.get(column)) for column in head] for line in lines[:MAX_CARD_ROWS]]
    caption = (
        f"Measured on pictures of known scale that it was not trained on, {plain(str(measured or 'day not noted'), 30)}"
    )
    titles = [plain(str(column), 40).replace("_", " ") for column in head]
    return {"id": plain(row["model_id"], 80), "words": words, "table": table(caption, titles, rows, numeric=1)}


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else plain(str(value), 60)
