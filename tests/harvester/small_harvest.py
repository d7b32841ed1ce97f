"""A harvest made by hand: real PNG files, real rows, no pipeline."""

from __future__ import annotations

import hashlib
import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from harvester.catalog import Catalog
from harvester.geometry import BoxPt, BoxPx
from harvester.records import (
    Article,
    ArticleResult,
    ArticleText,
    Asset,
    EstimateRow,
    FigureRow,
    PanelRow,
    Skip,
    SnapshotRow,
)

MODEL = "hagnifinder@0123456789ab"


@cache
def _blank() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Catalog.open(Path(folder), create=True).close()
        return (Path(folder) / "catalog.db").read_bytes()


def open_blank(root: Path) -> Catalog:
    """Open a new, empty catalog; a copy of one that was made once, as running the migrations takes a while."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "catalog.db").write_bytes(_blank())
    return Catalog.open(root)


def make_article(number: int = 1, **values: object) -> Article:
    """PMC article of a number; any field can be given."""
    defaults: dict[str, object] = {
        "source": "pmc",
        "pmcid": f"PMC{number}",
        "version": 1,
        "doi": f"10.1000/{number}",
        "title": f"Article {number}",
        "licence_code": "CC BY",
        "licence_url": "https://creativecommons.org/licenses/by/4.0/",
        "citation": f"Doe J et al. J Test 2020; {number}.",
        "query": "adenoma",
    }
    return Article(f"PMC{number}.1", **{**defaults, **values})  # type: ignore[arg-type]


def write_pdf(root: Path, article_id: str, content: bytes = b"%PDF-1.7 not really") -> Asset:
    """Put a file into the store's place and describe it."""
    name = f"{article_id}.pdf"
    path = root / "articles" / article_id / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Asset(name, "pdf", len(content), md5, hashlib.sha256(content).hexdigest(), f"https://example.org/{name}")


def write_png(root: Path, seed: int, side_px: int = 24) -> tuple[str, str]:
    """Write a picture by its hash; return (path, sha256)."""
    return store_png(root, draw_png(seed, side_px))


def draw_png(seed: int, side_px: int = 24) -> bytes:
    """A picture of noise, as PNG."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side_px, side_px, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def store_png(root: Path, png: bytes) -> tuple[str, str]:
    """Write PNG bytes by their hash; return (path, sha256)."""
    sha256 = hashlib.sha256(png).hexdigest()
    relative = f"snapshots/{sha256[:2]}/{sha256}.png"
    (root / relative).parent.mkdir(parents=True, exist_ok=True)
    (root / relative).write_bytes(png)
    return relative, sha256


def make_result(
    article_id: str,
    pictures: list[tuple[str, str]],
    *,
    caption: str = "Liver, H&E, x400.",
    rights: str | None = None,
    he_score: float = 0.9,
    text: ArticleText | None = None,
    skips: tuple[Skip, ...] = (),
) -> ArticleResult:
    """One figure, a panel for each picture, a snapshot for each panel, and one panel that is a chart."""
    figure_id = f"{article_id}/f1"
    page_box = BoxPt(72.0, 72.0, 300.0, 200.0)
    letters = [chr(ord("a") + i) for i in range(len(pictures))]
    panels = [
        PanelRow(
            f"{figure_id}/{letter}",
            figure_id,
            letter.upper(),
            caption,
            BoxPx(i * 30, 0, i * 30 + 24, 24),
            page_box,
            24,
            24,
            "he",
            0.9,
        )
        for i, letter in enumerate(letters)
    ]
    chart = PanelRow(f"{figure_id}/p9", figure_id, None, caption, BoxPx(0, 50, 20, 70), None, 20, 20, "chart", 0.8)
    snapshots = [
        SnapshotRow(
            f"{figure_id}/{letter}/s1", f"{figure_id}/{letter}", BoxPx(0, 0, 24, 24), he_score, 0.7, path, sha, sha[:16]
        )
        for letter, (path, sha) in zip(letters, pictures, strict=True)
    ]
    return ArticleResult(
        article_id,
        text=text,
        figures=(FigureRow(figure_id, "Figure 1", caption, rights, 2, page_box, 300, 200, "pdf"),),
        panels=(*panels, chart),
        snapshots=tuple(snapshots),
        skips=(Skip(f"{figure_id}/p9", article_id, "stain", "not_he", "a chart"), *skips),
    )


def make_estimate(
    snapshot_id: str, mpp_um: float | None = 0.5, *, model_id: str = MODEL, width: float = 1.3, abstained: bool = False
) -> EstimateRow:
    """An estimate whose 90 % interval is `width` to each side, as a factor."""
    x = None if mpp_um is None else 10.0 / mpp_um
    reason = "out of range" if abstained else None
    return EstimateRow(
        snapshot_id, model_id, x, x and x / width, x and x * width, mpp_um, abstained=abstained, reason=reason
    )


def save_model(catalog: Catalog, model_id: str = MODEL, rank: int = 0) -> None:
    """A model with a card."""
    rows = [
        {"name": "all", "pictures": 1234, "median_log2": 0.21},
        {"name": "10-20x", "pictures": 9, "median_log2": None},
    ]
    card = {"results": {"measured_on": "2026-01-01", "test_side": rows}, "scales": [1.0]}
    catalog.save_model(model_id, model_id.partition("@")[0], "1", "ab" * 32, card, rank=rank)


def add_article(
    catalog: Catalog,
    number: int = 1,
    *,
    n: int = 2,
    mpp_um: float | None = 0.5,
    abstained: bool = False,
    **values: object,
) -> list[str]:
    """A whole article with n snapshots and their estimates; returns the snapshot ids."""
    of_result = {k: values.pop(k) for k in ("caption", "rights", "he_score", "text", "skips") if k in values}
    article = make_article(number, **values)
    catalog.save_article(article, [write_pdf(catalog.root, article.article_id)])
    pictures = [write_png(catalog.root, 100 * number + i) for i in range(n)]
    result = make_result(article.article_id, pictures, **of_result)  # type: ignore[arg-type]
    save_model(catalog)
    estimates = [make_estimate(row.snapshot_id, mpp_um, abstained=abstained) for row in result.snapshots]
    catalog.save_result(result, estimates, "1")
    return [row.snapshot_id for row in result.snapshots]


def dump(
    catalog: Catalog, *, without: tuple[str, ...] = ("run", "change", "alembic_version")
) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, in order of rowid included: what an unchanged catalog keeps."""
    tables = [row["name"] for row in catalog.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {
        name: [tuple(row.values()) for row in catalog.rows(f"SELECT rowid, * FROM {name} ORDER BY rowid")]
        for name in tables
        if name not in without
    }
