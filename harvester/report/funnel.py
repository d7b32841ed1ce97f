"""The head of the page and its first section: how much is left after each step."""

from __future__ import annotations

from collections import Counter
from typing import Any

from markupsafe import Markup

from harvester.report.charts import number, table
from harvester.report.facts import Facts
from harvester.report.words import noun, share, words_of

FEW_SKIPS = 16
"""So many reasons are shown at once; more are folded away."""


def head_facts(facts: Facts) -> dict[str, Any]:
    """Return what the head and the funnel of the page say."""
    funnel, scan = facts.funnel, facts.scan
    median_um, width = scan.scales["all"].quantile(0.5), scan.interval.quantile(0.5)
    tiles = [
        (f"{funnel.articles_annotated:,}", f"articles read, of {funnel.articles_found:,} found"),
        (f"{funnel.figures:,}", "figures"),
        (f"{funnel.panels:,}", "panels"),
        (f"{funnel.snapshots:,}", "H&E snapshots"),
        (share(funnel.with_scale, funnel.snapshots), "of them with a pixel size"),
    ]
    if median_um:
        tiles.append((number(median_um), f"µm per pixel in the middle ({number(10 / median_um)}x)"))
    if width:
        tiles.append((f"×/÷ {width**0.5:.2g}", "typical 90 % interval of the image's estimate"))
    tiles.append((f"{scan.agreement['conflict']:,}", "conflicts between scale bar and image"))
    steps = _steps(facts)
    rows = Markup("").join(
        Markup(
            '<tr{}><th scope="row">{}</th><td class="n">{}</td><td class="n">{}</td>'
            '<td class="bar" aria-hidden="true"><span style="width:{:.1f}%"></span></td></tr>'
        ).format(Markup(' class="lost"') if lost else "", label, f"{n:,}", share(n, of), 100 * n / of if of else 0)
        for label, n, of, lost in steps
    )
    words = (
        f"{noun(funnel.articles_found, 'article')} found, {funnel.articles_annotated:,} read;"
        f" {noun(funnel.panels, 'panel')} cut from"
        f" {noun(funnel.figures, 'figure')}; {noun(funnel.snapshots, 'H&E snapshot')} kept, {funnel.with_scale:,}"
        f" of them with a pixel size."
        " Pale lines are what was lost on the way, and why."
    )
    skips = [
        (f"{stage}: {words_of(reason)}", reason, f"{n:,}", "" if lasts else "a later run may succeed")
        for stage, reason, lasts, n in funnel.skips
    ]
    return {
        "tiles": tiles,
        "funnel_words": words,
        "funnel_table": Markup(
            '<table class="bars"><caption>What is left after each step</caption><thead><tr><th scope="col">step</th>'
            '<th scope="col" class="n">count</th><th scope="col" class="n">share</th><td></td></tr></thead>'
            "<tbody>{}</tbody></table>"
        ).format(rows),
        "skips": table("Skips", ("step and reason", "code", "count", ""), skips) if skips else "",
        "few_skips": len(skips) <= FEW_SKIPS,
    }


def _steps(facts: Facts) -> list[tuple[str, int, int, bool]]:
    """Return label, count, what it is a share of, and whether it is a loss."""
    funnel, scan = facts.funnel, facts.scan
    found, panels, shots = funnel.articles_found, funnel.panels, funnel.snapshots
    steps = [("articles found", found, found, False)]
    steps += [(words_of(code), n, found, True) for code, n in funnel.articles_left_out.items()]
    steps.append(("articles with files to read", funnel.articles_downloaded, found, False))
    if funnel.articles_waiting:
        steps.append(("waiting to be read (harvester annotate)", funnel.articles_waiting, found, True))
    steps.append(("articles read", funnel.articles_annotated, found, False))
    steps.append(("articles with H&E snapshots", funnel.articles_with_snapshots, found, False))
    steps.append(("panels", panels, panels, False))
    stain = Counter({reason: n for stage, reason, _, n in funnel.skips if stage == "stain"})
    steps += [(words_of(code), n, panels, True) for code, n in stain.most_common()]
    steps.append(("panels with an H&E snapshot", panels - facts.n_refused, panels, False))
    steps.append(("snapshots", shots, shots, False))
    steps += [(words_of(code), n, shots, True) for code, n in scan.unscaled.most_common()]
    steps.append(("snapshots with a pixel size", funnel.with_scale, shots, False))
    return steps
