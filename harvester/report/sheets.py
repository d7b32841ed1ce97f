"""Sections with pictures: the worst disagreements, and what was kept and refused."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from harvester.report.charts import number, table
from harvester.report.facts import Facts, RefusedPanel
from harvester.report.pictures import Album, needs_blur
from harvester.report.scan import Shot
from harvester.report.words import (
    AGREEMENT,
    KINDS,
    SOURCES,
    article_conflict,
    disagreement,
    noun,
    plain,
    scale_words,
    words_of,
)


def _picture(album: Album, name: str, alt: str) -> Markup:
    if name not in album.addresses:
        return Markup('<div class="none">{}</div>').format(album.missing.get(name, "pictures were left out"))
    return Markup('<img src="{}" alt="{}">').format(album.addresses[name], alt)


def _shot_alt(shot: Shot) -> str:
    known = scale_words(shot.mpp_um) if shot.mpp_um else "scale not known"
    return f"H&E region {plain(shot.snapshot_id, 80)}, {shot.width_px} by {shot.height_px} pixels, {known}"


def case_facts(facts: Facts, album: Album) -> dict[str, Any]:
    """Return what the page says of disagreements."""
    scan, worst = facts.scan, facts.scan.worst.items()
    n = scan.agreement["conflict"]
    conflicts = [
        (plain(facts.titles.get(item.article_id), 160), plain(item.article_id, 60), article_conflict(item))
        for item in scan.conflicts
    ]
    return {
        "worst": [
            {
                "picture": _picture(album, shot.snapshot_id, _shot_alt(shot)),
                "words": disagreement(shot),
                "id": plain(shot.snapshot_id, 80),
                "credit": plain(facts.citations.get(shot.article_id), 200),
            }
            for shot in worst
        ],
        "worst_words": f"{noun(n, 'snapshot is', 'snapshots are')} in conflict; shown are the {len(worst)} whose"
        " scale bar and image lie furthest apart,"
        " conflicts first.",
        "conflicts": table("Articles by number of contradicting bars", ("article", "id", "what differs"), conflicts)
        if conflicts
        else "",
        "conflict_words": f"In {noun(scan.n_articles_in_conflict, 'article')} of {len(scan.bars):,} with readable"
        " scale bars at least one bar lies outside what"
        " the tissue makes believable (the image's 99 % interval).",
        "no_conflict_words": f"None, among {noun(len(scan.bars), 'article')} with readable scale bars."
        if scan.bars
        else "No scale bar was read in this harvest.",
    }


def sheet_facts(facts: Facts, album: Album) -> dict[str, Any]:
    """Return what the page says of what was kept and refused."""
    scan, kept = facts.scan, facts.scan.kept.items()
    no = scan.n_not_showable
    kept_words = f"{len(kept)} of {scan.n - no:,} snapshots that may be shown, each as likely as the other."
    if no:
        kept_words += (
            f" {no:,} more may not be: their licence, or a note of their own, forbids to pass on a crop, or the article"
            " was retracted."
        )
    n_articles = len({panel.article_id for panel in facts.refused})
    refused_words = (
        f"{noun(len(facts.refused), 'panel')} of {facts.n_refused:,} that gave no snapshot, from"
        f" {noun(n_articles, 'article')} drawn at random. They are not stored; they were"
        " cut from their articles once more for this page. What the classifier takes for gross photographs or"
        " something else, or is not sure of, is blurred, since it may show"
        " people; a classifier can err, so look before you pass this page on."
    )
    if not kept:
        kept_words = "There is no snapshot to show."
    if not facts.refused:
        refused_words = "There is no refused panel to show."
    shown = [shot.article_id for shot in (*scan.worst.items(), *kept) if shot.snapshot_id in album.addresses]
    shown += [panel.article_id for panel in facts.refused if panel.panel_id in album.addresses]
    return {
        "kept": [
            {
                "picture": _picture(album, shot.snapshot_id, _shot_alt(shot)),
                "head": scale_words(shot.mpp_um) if shot.mpp_um else "scale not known",
                "words": _shot_words(shot),
                "id": plain(shot.snapshot_id, 80),
            }
            for shot in kept
        ],
        "kept_words": kept_words,
        "refused": [_refused_tile(panel, album) for panel in facts.refused],
        "refused_words": refused_words,
        "credits": [f"{plain(name, 60)}: {plain(facts.citations.get(name), 400)}" for name in sorted(set(shown))],
    }


def _shot_words(shot: Shot) -> str:
    licence = plain(shot.licence_code, 20)
    if not shot.mpp_um:
        why = words_of(shot.image_reason) if shot.image_abstained else AGREEMENT.get(shot.agreement or "", "no witness")
        return f"{why}; {licence}"
    ends = f", {number(shot.mpp_lo_um)} to {number(shot.mpp_hi_um)}" if shot.mpp_lo_um and shot.mpp_hi_um else ""
    return f"from {SOURCES.get(shot.magnification_source or '', 'elsewhere')}{ends}; {licence}"


def _refused_tile(panel: RefusedPanel, album: Album) -> dict[str, Any]:
    kind = KINDS.get(panel.kind, plain(panel.kind, 30))
    blurred = panel.panel_id in album.addresses and needs_blur(panel.kind, panel.kind_score)
    return {
        "picture": _picture(album, panel.panel_id, f"Refused panel, taken for: {kind}{', blurred' if blurred else ''}"),
        "head": kind,
        "words": f"{words_of(panel.reason)}; sure to {panel.kind_score:.0%}{'; blurred' if blurred else ''}",
        "id": plain(panel.panel_id, 80),
    }
