"""The funnel of a harvest, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harvester.catalog import Funnel
from harvester.catalog_changes import Changes, changed_text

Line = tuple[str, int | None, str]
"""Name (indented when it is a part of the line above), count, remark."""


MAX_NAMED = 20
"""Articles named one by one; more are counted."""


def status_text(funnel: Funnel, changes: Changes | None = None) -> str:
    """Return the funnel as plain lines, widest step first, then what was skipped, and what changed when asked."""
    lines: list[Line] = [
        ("articles found", funnel.articles_found, ""),
        ("  left out", sum(funnel.articles_left_out.values()), _list(funnel.articles_left_out)),
        ("articles downloaded", funnel.articles_downloaded, ""),
        ("  kept back", sum(funnel.articles_kept_back.values()), _list(funnel.articles_kept_back) + ", not exported"),
        ("  waiting", funnel.articles_waiting, "for 'harvester annotate'" if funnel.articles_waiting else ""),
        ("articles annotated", funnel.articles_annotated, ""),
        ("figures", funnel.figures, f"in {_number(funnel.articles_with_figures, 'article')}"),
        ("panels", funnel.panels, _list(funnel.panels_by_kind)),
        ("H&E panels", funnel.he_panels, _gate()),
        ("snapshots", funnel.snapshots, f"in {_number(funnel.articles_with_snapshots, 'article')}"),
        ("  estimated", funnel.estimated, "magnification read from the image"),
        ("  abstained", funnel.abstained, "the model would not say"),
        ("  waiting", funnel.waiting, "for an estimate"),
        ("  kept back", funnel.snapshots_kept_back, "of such articles, not exported"),
        ("snapshots with a scale", funnel.with_scale, "from review, scale bar or image"),
        ("  conflicts", funnel.conflicts, "scale bar and image disagree"),
        ("  reviewed", funnel.reviewed, "looked at by a person"),
    ]
    always = {"articles found", "articles downloaded", "articles annotated", "snapshots", "  estimated", "  abstained"}
    shown = [line for line in lines if line[1] or line[0] in always or not line[0].startswith(" ")]
    if funnel.skips:
        shown.append(("", None, ""))
        shown.append(("skipped", None, ""))
        shown += [
            (f"  {stage}: {reason}", n, "" if is_permanent else "a later run may succeed")
            for stage, reason, is_permanent, n in funnel.skips
        ]
    if funnel.conflict_articles:
        shown.append(("", None, ""))
        shown.append(("scale bars contradict the tissue in", None, ""))
        more = len(funnel.conflict_articles) - MAX_NAMED
        shown += [(f"  {article_id}", n, "snapshots") for article_id, n in funnel.conflict_articles[:MAX_NAMED]]
        if more > 0:
            shown.append((f"  and {more:,} articles more", None, "all of them with --json"))
    if changes is not None:
        shown += [("", None, ""), *changed_text(changes)]
    return _columns(shown)


def status_dict(funnel: Funnel, changes: Changes | None = None) -> dict[str, Any]:
    """Return the funnel as what JSON can hold; skips as objects with stage, reason, is_permanent, count."""
    names = ("stage", "reason", "is_permanent", "count")
    return {
        **asdict(funnel),
        "skips": [dict(zip(names, skip, strict=True)) for skip in funnel.skips],
        "conflict_articles": [{"article_id": key, "snapshots": n} for key, n in funnel.conflict_articles],
        **({"changes": asdict(changes)} if changes is not None else {}),
    }


def status_json(funnel: Funnel, changes: Changes | None = None) -> str:
    """Return the funnel as one JSON object, indented; with `changes` these too."""
    return json.dumps(status_dict(funnel, changes), indent=2)


def _gate() -> str:
    """Return from which probability a panel counts as H&E, and the precision held out by source that goes with it."""
    from harvester.settings import StainSettings
    from harvester.stain.detect import model_card

    held_out = model_card().get("held_out")
    said = f"H&E probability from {StainSettings().min_score:.2f}"
    return f"{said}, precision {held_out['he_precision']:.2f} expected" if isinstance(held_out, Mapping) else said


def _columns(lines: list[Line]) -> str:
    name_width = max(len(name) for name, _, _ in lines)
    count_width = max(len(_digits(count)) for _, count, _ in lines)
    rows = (
        f"{name:<{name_width}}  {_digits(count):>{count_width}}  {remark}".rstrip() for name, count, remark in lines
    )
    return "\n".join(rows)


def _digits(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
