"""Sheets that show panels with the bar as found over them and the witnesses beside: twenty to judge in a minute."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harvester.catalog import Catalog
from harvester.documents.figures import figure_from_image, iter_figures
from harvester.documents.jats import parse_jats
from harvester.errors import MalformedArticle
from harvester.geometry import RgbImage
from harvester.magnification import read_rgb
from harvester.panels.split import split_figure
from harvester.pipeline.read import LazyPictures
from harvester.records import ArticleFiles, Figure
from harvester.settings import DocumentSettings, PanelSettings

PICTURE_PX = 360
TEXT_PX = 330
A_ROW, A_SHEET = 2, 10
MARK = (255, 0, 200)

_PANELS = """
SELECT p.panel_id, f.article_id,
       (SELECT s.snapshot_id FROM snapshot s WHERE s.panel_id = p.panel_id
        ORDER BY s.width_px * s.height_px DESC, s.snapshot_id LIMIT 1) AS snapshot_id
FROM panel p JOIN figure f ON f.figure_id = p.figure_id
WHERE EXISTS (SELECT 1 FROM evidence e WHERE e.panel_id = p.panel_id AND e.kind IN ({kinds}))
ORDER BY p.panel_id
"""


@dataclass(frozen=True, slots=True)
class Card:
    """What one panel's card shows.

    Attributes:
        lines: Words, one witness a line.
        bars: Boxes of bars in the panel's native pixels, the best-scored first.
        is_conflict: Whether the witnesses contradict each other.
    """

    panel_id: str
    article_id: str
    lines: tuple[str, ...]
    bars: tuple[tuple[int, int, int, int], ...]
    is_conflict: bool


def read_cards(catalog: Catalog, *, only_bars: bool) -> list[Card]:
    """Return a card for each panel with evidence; conflicts first."""
    kinds = "'scale_bar'" if only_bars else "'scale_bar', 'caption', 'metadata'"
    views = {row["snapshot_id"]: row for row in catalog.snapshots()}
    evidence: dict[str, list[dict[str, Any]]] = {}
    for row in catalog.rows("SELECT * FROM evidence ORDER BY panel_id, COALESCE(score, 0) DESC, evidence_id"):
        evidence.setdefault(row["panel_id"], []).append(row)
    cards = [
        _card(row["panel_id"], row["article_id"], evidence[row["panel_id"]], views.get(row["snapshot_id"]))
        for row in catalog.rows(_PANELS.format(kinds=kinds))
    ]
    return sorted(cards, key=lambda card: (not card.is_conflict, card.panel_id))


def _card(
    panel_id: str, article_id: str, evidence: Sequence[Mapping[str, Any]], view: Mapping[str, Any] | None
) -> Card:
    lines = []
    for row in evidence:
        size = f"{row['mpp_um']:.3g} µm/px" if row["mpp_um"] else "no pixel size"
        if row["kind"] == "scale_bar":
            label = row["text"] or "no label"
            lines.append(f"bar: {label} ({row['origin'] or row['reading']}), {row['bar_px']:.1f} px, {size}")
        elif row["kind"] == "caption" and row["stated_x"]:
            objective = f"{row['objective_x']:g}x objective" if row["objective_x"] else "objective unclear"
            lines.append(f"caption: {row['text']}: {objective}")
        else:
            lines.append(f"{row['kind']}: {row['text']} {size if row['mpp_um'] else ''}".rstrip())
    if view is not None:
        lines += _view_lines(view)
    boxes = tuple(
        (row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"])
        for row in evidence
        if row["kind"] == "scale_bar" and row["x0_px"] is not None
    )
    return Card(panel_id, article_id, tuple(lines), boxes, view is not None and view["agreement"] == "conflict")


def _view_lines(view: Mapping[str, Any]) -> list[str]:
    lines = []
    if view["image_mpp_um"]:
        ends = [view["image_mpp_lo_um"], view["image_mpp_hi_um"]]
        between = f" ({ends[0]:.2g} to {ends[1]:.2g})" if all(ends) else ""
        doubt = ", abstained" if view["image_abstained"] else ""
        lines.append(f"image: {view['image_mpp_um']:.3g} µm/px{between}{doubt}")
    if view["nucleus_px"]:
        by = view["bar_mpp_um"] or view["mpp_um"]
        size = f", {view['nucleus_px'] * by:.2g} µm by the {'bar' if view['bar_mpp_um'] else 'value'}" if by else ""
        lines.append(f"nuclei: {view['nucleus_px']:.1f} px{size} (n={view['n_nuclei']})")
    value = f"{view['mpp_um']:.3g} µm/px from {view['magnification_source']}" if view["mpp_um"] else "no value"
    lines.append(f"= {value}; {view['agreement'] or 'nobody knows'}")
    if view["scale_reason"]:
        lines.append(view["scale_reason"])
    return lines


def draw_sheets(catalog: Catalog, root: Path, out_dir: Path, *, limit: int, only_bars: bool) -> Path:
    """Draw the cards on sheets of ten, with a page that shows them all, and return the page's path."""
    out_dir.mkdir(parents=True, exist_ok=True)
    cards = read_cards(catalog, only_bars=only_bars)[:limit]
    pixels = dict(_panel_pixels(catalog, root, cards))
    names = []
    for start in range(0, len(cards), A_SHEET):
        name = f"sheet-{start // A_SHEET + 1:03}.png"
        _sheet(cards[start : start + A_SHEET], pixels).save(out_dir / name)
        names.append(name)
    pictures = "".join(f'<p><img src="{html.escape(name)}" alt="" style="max-width:100%"></p>' for name in names)
    n_conflicts = sum(card.is_conflict for card in cards)
    page = out_dir / "index.html"
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Witnesses</title><body style='font:15px sans-serif'>"
        f"<p>{len(cards)} panels, {n_conflicts} of them conflicts, which come first.</p>{pictures}</html>\n",
        encoding="utf-8",
    )
    return page


def _panel_pixels(catalog: Catalog, root: Path, cards: Sequence[Card]) -> Iterator[tuple[str, Image.Image]]:
    """Cut the panels anew from their articles, shrunk to the size of a card."""
    wanted = {card.panel_id: card for card in cards}
    for article_id in sorted({card.article_id for card in cards}):
        for figure in _figures(catalog.article_files(article_id, root)):
            if not any(panel_id.startswith(f"{figure.figure_id}/") for panel_id in wanted):
                continue
            for panel in split_figure(figure, PanelSettings()):
                if panel.panel_id in wanted:
                    yield panel.panel_id, _marked(panel.pixels, wanted[panel.panel_id].bars)


def _figures(files: ArticleFiles) -> Iterator[Figure]:
    settings = DocumentSettings()
    try:
        text = parse_jats(files.xml.read_bytes()) if files.xml else None
    except MalformedArticle:
        text = None
    try:
        if files.pdf is not None or text is not None:
            pdf = files.pdf.read_bytes() if files.pdf else None
            media = LazyPictures(files.media, settings.max_raster_px)
            for item in iter_figures(files.article_id, pdf, text, media, settings):
                if isinstance(item, Figure):
                    yield item
        for path in files.images:
            yield figure_from_image(files.article_id, read_rgb(path, settings.max_raster_px), "")
    except (MalformedArticle, OSError):
        return  # what can't be read any more is shown by its words alone


def _marked(pixels: RgbImage, bars: Sequence[tuple[int, int, int, int]]) -> Image.Image:
    """Shrink a panel to a card and frame its bars; a bar outside the panel widens the picture."""
    height, width = pixels.shape[:2]
    right = max([width, *(min(box[2], 2 * width) for box in bars)])
    below = max([height, *(min(box[3], 2 * height) for box in bars)])
    canvas = np.full((below, right, 3), 235, dtype=np.uint8)
    canvas[:height, :width] = pixels
    scale = min(1.0, PICTURE_PX / max(right, below))
    picture = Image.fromarray(canvas).resize(
        (max(1, round(right * scale)), max(1, round(below * scale))), Image.Resampling.LANCZOS
    )
    pen = ImageDraw.Draw(picture)
    for number, (x0, y0, x1, y1) in enumerate(bars):
        x0, y0, x1, y1 = (round(v * scale) for v in (x0, y0, x1, y1))
        pen.rectangle((x0 - 3, y0 - 3, x1 + 2, y1 + 2), outline=MARK if number == 0 else (255, 200, 0), width=1)
        # the ends, where the length is taken
        pen.line((x0, y0 - 7, x0, y0 - 3), fill=MARK)
        pen.line((x1, y0 - 7, x1, y0 - 3), fill=MARK)
    return picture


def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def _sheet(cards: Sequence[Card], pixels: Mapping[str, Image.Image]) -> Image.Image:
    cell_width, cell_height = PICTURE_PX + TEXT_PX + 30, PICTURE_PX + 34
    rows = -(-len(cards) // A_ROW)
    sheet = Image.new("RGB", (A_ROW * cell_width, rows * cell_height), "white")
    pen, font, bold = ImageDraw.Draw(sheet), _font(12), _font(13)
    for k, card in enumerate(cards):
        x, y = (k % A_ROW) * cell_width + 8, (k // A_ROW) * cell_height + 8
        if card.is_conflict:
            pen.rectangle((x - 6, y - 4, x + cell_width - 12, y + cell_height - 12), outline=(200, 30, 30), width=2)
        pen.text((x, y), card.panel_id, fill="black", font=bold)
        if card.panel_id in pixels:
            sheet.paste(pixels[card.panel_id], (x, y + 20))
        at = y + 20
        for line in card.lines:
            for part in _wrapped(line, font, TEXT_PX):
                if at < y + cell_height - 26:
                    pen.text((x + PICTURE_PX + 12, at), part, fill="black", font=font)
                at += 16
            at += 4
    return sheet


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> Iterator[str]:
    # words from outside: nothing that steers a terminal or breaks a line
    words = " ".join("".join(c if c.isprintable() else " " for c in line[:400]).split()).split(" ")
    current = ""
    for word in words:
        longer = f"{current} {word}".strip()
        if current and font.getlength(longer) > width_px:
            yield current
            current = word
        else:
            current = longer
    if current:
        yield current
