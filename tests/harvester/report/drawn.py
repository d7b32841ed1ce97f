"""A harvest drawn row by row: bars, captions, reviews and conflicts without a single picture being read."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

from tests.harvester.small_harvest import MODEL, open_blank

PER_ARTICLE = 10


def draw_harvest(root: Path, n_snapshots: int, *, seed: int = 1, text: str = "") -> None:
    """Write a catalog of n snapshots, ten an article, each with an estimate, half with a caption, a fifth with a bar.

    `text` is put into every title, journal, label, caption and name that comes from outside.
    """
    open_blank(root).close()
    rng = random.Random(seed)
    card = {"results": {"measured_on": "2026-01-01", "test_side": [{"name": f"all{text}", "median_log2": 0.2}]}}
    with sqlite3.connect(root / "catalog.db") as db:
        db.execute("PRAGMA synchronous = OFF")
        _insert(db, "model", [_model(card)])
        _insert(db, "run", [_run(text)])
        for start in range(0, n_snapshots, 5000):
            _block(db, range(start, min(n_snapshots, start + 5000)), rng, text)
    db.close()


def _model(card: dict) -> dict:
    return {
        "model_id": MODEL,
        "name": "hagnifinder",
        "version": "1",
        "weights_sha256": "ab" * 32,
        "card": json.dumps(card),
        "rank": 0,
    }


def _run(text: str) -> dict:
    return {
        "run_id": "1",
        "command": f"run{text}",
        "settings": "{}",
        "started_at": "2026-01-01T10:00:00+00:00",
        "finished_at": "2026-01-01T11:00:00+00:00",
        "exit_code": 0,
        "version": f"0.1{text}",
    }


def _block(db: sqlite3.Connection, numbers: range, rng: random.Random, text: str) -> None:
    rows: dict[str, list[dict]] = {
        n: [] for n in ("article", "asset", "figure", "panel", "snapshot", "estimate", "evidence", "skip", "review")
    }
    for i in numbers:
        article = f"PMC{i // PER_ARTICLE + 1}.1"
        if i % PER_ARTICLE == 0:
            _article(rows, article, i, rng, text)
        figure, letter = f"{article}/f1", chr(ord("a") + i % PER_ARTICLE)
        panel, shot = f"{figure}/{letter}", f"{figure}/{letter}/s1"
        rows["panel"].append(_panel(panel, figure, letter, "he", text))
        rows["panel"].append(_panel(f"{figure}/p{i % PER_ARTICLE}", figure, None, "chart", text))
        rows["skip"].append(
            {
                "subject_id": f"{figure}/p{i % PER_ARTICLE}",
                "article_id": article,
                "stage": "stain",
                "reason": "not_he",
                "detail": "a chart",
                "is_permanent": 1,
            }
        )
        sha = f"{i:064x}"
        rows["snapshot"].append(
            {
                "snapshot_id": shot,
                "panel_id": panel,
                **dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (0, 0, 400, 300), strict=True)),
                "width_px": 400,
                "height_px": 300,
                "he_score": 0.9,
                "tissue_share": 0.8,
                "image_path": f"snapshots/{sha[:2]}/{sha}.png",
                "image_sha256": sha,
                "phash": "0" * 16,
            }
        )
        true_um = 2.0 ** rng.uniform(-2, 2)
        image_um = true_um * 2.0 ** rng.gauss(0, 0.3)
        rows["estimate"].append(
            {
                "snapshot_id": shot,
                "model_id": MODEL,
                "magnification_x": 10 / image_um,
                "magnification_lo_x": 5 / image_um,
                "magnification_hi_x": 20 / image_um,
                "mpp_um": image_um,
                "mpp_lo99_um": image_um / 3,
                "mpp_hi99_um": image_um * 3,
                "abstained": int(i % 17 == 3),
                "reason": "windows_disagree" if i % 17 == 3 else None,
            }
        )
        if i % 5 == 0:
            bar_um = true_um * (16.0 if i % 50 == 0 else 1.0)
            rows["evidence"].append(_evidence(f"{panel}/bar", panel, "scale_bar", bar_um, None, text))
        if i % 2 == 0:
            rows["evidence"].append(_evidence(f"{panel}/caption", panel, "caption", None, 40.0, text))
    for name, own in rows.items():
        _insert(db, name, own)


def _article(rows: dict[str, list[dict]], article: str, i: int, rng: random.Random, text: str) -> None:
    number = i // PER_ARTICLE + 1
    rows["article"].append(
        {
            "article_id": article,
            "source": "pmc",
            "pmcid": f"PMC{number}",
            "title": f"Article {number}{text}",
            "journal": f"Journal {number % 40}{text}",
            "year": 2000 + number % 26,
            "licence_code": ("CC BY", "CC0", "CC BY-ND", "CC BY-NC")[number % 4],
            "citation": f"Doe J. {number}{text}",
            "is_retracted": 0,
            "is_removed": 0,
            "superseded_by": None,
            "query": f"adenoma{text}",
            "keywords": "[]",
            "mesh_terms": "[]",
            "annotated_version": "1",
        }
    )
    rows["asset"].append(
        {
            "asset_id": f"{article}/a.pdf",
            "article_id": article,
            "name": "a.pdf",
            "role": "pdf",
            "n_bytes": rng.randrange(10**6),
            "md5": "0" * 32,
            "sha256": "0" * 64,
        }
    )
    rows["figure"].append(
        {
            "figure_id": f"{article}/f1",
            "article_id": article,
            "label": f"Figure 1{text}",
            "caption": f"Caption{text}",
            "width_px": 4000,
            "height_px": 3000,
            "pixels_from": "pdf",
        }
    )


def _panel(panel: str, figure: str, letter: str | None, kind: str, text: str) -> dict:
    return {
        "panel_id": panel,
        "figure_id": figure,
        "label": letter,
        "caption": f"Caption{text}",
        **dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (0, 0, 400, 300), strict=True)),
        "native_width_px": 400,
        "native_height_px": 300,
        "kind": kind,
        "kind_score": 0.9,
        "organ": f"liver{text}" if kind == "he" else None,
    }


def _evidence(name: str, panel: str, kind: str, mpp_um: float | None, objective_x: float | None, text: str) -> dict:
    return {
        "evidence_id": name,
        "panel_id": panel,
        "kind": kind,
        "text": f"words{text}",
        "mpp_um": mpp_um,
        "magnification_x": None if mpp_um is None else 10 / mpp_um,
        "stated_x": objective_x,
        "objective_x": objective_x,
        "score": 0.9,
    }


def _insert(db: sqlite3.Connection, table: str, rows: list[dict]) -> None:
    if rows:
        names = list(rows[0])
        db.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})",
            rows,
        )
