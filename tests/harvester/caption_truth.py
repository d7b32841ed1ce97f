"""The captions of ../shared with what was written down of them by hand, and how readings are compared with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harvester.documents.jats import parse_jats

HALVES = ("development", "test")
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class TrueFigure:
    """A figure's caption with the hand-made truth of one kind."""

    name: str
    caption: str
    title: str
    keywords: tuple[str, ...]
    mesh: tuple[str, ...]
    truth: dict[str, Any]


@cache
def _article(path: Path):
    return parse_jats(path.read_bytes())


def true_figures(shared: Path, kind: Literal["scale", "subject"], half: str) -> list[TrueFigure]:
    """Return every figure of one half."""
    rows = [json.loads(line) for line in (shared / "articles/captions_he.jsonl").read_text().splitlines()]
    figures = []
    for item in json.loads((FOLDER / kind / f"captions_{half}.json").read_text())["figures"]:
        if "index" in item:
            row = rows[item["index"]]
            name = f"captions_he.jsonl {item['index']}"
            figures.append(TrueFigure(name, row["caption"], "", (), (), item))
            continue
        text = _article(shared / "articles" / item["file"])
        caption = next(f.caption for f in text.figures if f.label == item["figure"])
        name = f"{item['file'].split('/')[0]} {item['figure']}"
        figures.append(TrueFigure(name, caption, text.title or "", text.keywords, text.mesh_terms, item))
    return figures
