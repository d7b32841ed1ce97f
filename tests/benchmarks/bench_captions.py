"""Prints how well captions are read, on the hand-made truth of the captions of ../shared/articles.

    python -m tests.benchmarks.bench_captions [--half development|test|both] [--errors]

Every figure's whole caption goes in, with the letters of its panels.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harvester.letters import split_caption
from harvester.records import CaptionReading
from harvester.scale.captions import read_caption
from harvester.subject.read import read_subject
from tests.harvester.caption_truth import HALVES, TrueFigure, true_figures


def wilson(right: int, of: int) -> str:
    """Return a share with its 95 % Wilson interval."""
    if of == 0:
        return "none"
    z, p = 1.96, right / of
    mid = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{right}/{of} = {p:.3f} ({max(0.0, mid - half):.2f} to {min(1.0, mid + half):.2f})"


def _panels(letters: Any, truth: dict[str, Any]) -> frozenset[str]:
    """Return the pictures a statement is said of; one given to a chart as well harms nobody."""
    pictures = set(truth["pictures"])
    return frozenset(pictures & set(letters) if letters else pictures)


def score_scale(figure: TrueFigure, reading: CaptionReading, n: Counter[str], errors: list[str]) -> None:
    """Match statements by number, the right panel first; count those found, missed and made up."""
    truth = figure.truth
    for kind, number, said, true in (
        ("magnification", "stated_x", reading.magnifications, truth["magnifications"]),
        ("length", "value", reading.lengths, truth["lengths"]),
    ):
        left = list(said)
        for item in true:
            same = [
                s
                for s in left
                if getattr(s, number) == item[number]
                and (item[number] is not None or item["text"].split()[0].lower() in s.text.lower())
            ]
            n[f"{kind} true"] += 1
            if not same:
                errors.append(f"{figure.name}: {kind} {item['text']!r} missed")
                continue
            wanted = _panels(item["letters"], truth)
            best = max(same, key=lambda s: _panels(s.letters, truth) == wanted)
            left.remove(best)
            n[f"{kind} found"] += 1
            n[f"{kind} panel"] += _panels(best.letters, truth) == wanted
            if _panels(best.letters, truth) != wanted:
                errors.append(f"{figure.name}: {kind} {item['text']!r} of {item['letters']} given to {best.letters}")
            if kind == "magnification" and item[number] is not None:
                n["objective true"] += 1
                n["objective right"] += best.objective_x == item["objective_x"]
                if best.objective_x != item["objective_x"]:
                    errors.append(
                        f"{figure.name}: {best.text!r} read as {best.objective_x}, truth {item['objective_x']}"
                    )
            if kind == "length":
                n["unit right"] += best.unit.replace("μ", "µ") == item["unit"]
        n[f"{kind} said"] += len(said)
        errors += [f"{figure.name}: {kind} {s.text!r} made up" for s in left]


def score_subject(figure: TrueFigure, n: Counter[str], errors: list[str]) -> None:
    """Read every panel and compare; silence is missed only where the truth demands an answer."""
    parts = split_caption(figure.caption)
    for panel in figure.truth["panels"]:
        for letter in panel["letters"] or [None]:
            said = read_subject(parts.text_for(letter), figure.caption, figure.title, figure.mesh, figure.keywords)
            for kind, given in (("organ", said.organ), ("species", said.species), ("diagnosis", said.diagnosis_text)):
                true = panel[kind]
                if true is None:
                    continue
                right = given in true
                if kind == "diagnosis" and given is not None:
                    right = any(word is not None and word in given.lower() for word in true)
                where = f"{figure.name} {letter or ''}".strip()
                if given is not None:
                    n[f"{kind} given"] += 1
                    n[f"{kind} right"] += right
                    if not right:
                        errors.append(f"{where}: {kind} {given!r}, truth {true}")
                if None not in true:
                    n[f"{kind} demanded"] += 1
                    n[f"{kind} tried"] += given is not None
                    n[f"{kind} answered"] += right
                    if given is None:
                        errors.append(f"{where}: {kind} missed, truth {true}")


def measure(shared: Path, half: str) -> tuple[Counter[str], list[str]]:
    """Return counts and errors of one half."""
    n: Counter[str] = Counter()
    errors: list[str] = []
    begin = time.process_time()
    for figure in true_figures(shared, "scale", half):
        n["captions"] += 1
        score_scale(figure, read_caption(figure.caption, figure.truth["letters"]), n, errors)
    for figure in true_figures(shared, "subject", half):
        score_subject(figure, n, errors)
    n["ms"] = round((time.process_time() - begin) * 1000)
    return n, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=[*HALVES, "both"], default="both")
    parser.add_argument("--errors", action="store_true", help="list every error")
    asked = parser.parse_args()
    shared = Path(__file__).resolve().parents[3] / "shared"
    total: Counter[str] = Counter()
    halves = HALVES if asked.half == "both" else (asked.half,)
    results = [(half, *measure(shared, half)) for half in halves]
    for _, n, _ in results:
        total.update(n)
    for half, n in [*((h, n) for h, n, _ in results), ("all", total)]:
        print(f"\n{half}: {n['captions']} captions, {n['ms']} ms\n\n| what | precision | recall |\n|---|---|---|")
        for kind in ("magnification", "length"):
            found = n[f"{kind} found"]
            print(f"| {kind} | {wilson(found, n[f'{kind} said'])} | {wilson(found, n[f'{kind} true'])} |")
        for kind in ("organ", "species", "diagnosis"):
            precision = wilson(n[f"{kind} right"], n[f"{kind} given"])
            print(f"| {kind} | {precision} | {wilson(n[f'{kind} answered'], n[f'{kind} demanded'])} |")
        tried = wilson(n["organ answered"], n["organ tried"])
        print(f"| organ, only panels that show one | {tried} | {wilson(n['organ answered'], n['organ demanded'])} |")
        print("\n| of those found | share |\n|---|---|")
        print(f"| magnification of the right panel | {wilson(n['magnification panel'], n['magnification found'])} |")
        print(f"| length of the right panel | {wilson(n['length panel'], n['length found'])} |")
        print(f"| objective as a person reads it | {wilson(n['objective right'], n['objective true'])} |")
    if asked.errors:
        for half, _, errors in results:
            print(f"\n{half}:", *errors, sep="\n- ")


if __name__ == "__main__":
    main()
