"""Every figure of some articles with its panels, letters and caption parts on it, for a person to judge."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from harvester.documents.figures import figure_from_image, iter_figures
from harvester.documents.jats import parse_jats
from harvester.errors import MalformedArticle
from harvester.magnification import read_rgb
from harvester.panels.split import split_figure
from harvester.pipeline.add import LocalArticle, find_articles
from harvester.pipeline.read import LazyPictures
from harvester.progress import Progress
from harvester.records import Figure, Panel, Skip
from harvester.settings import DocumentSettings, PanelSettings

PICTURE_PX = 760
COLOURS = ("#d0021b", "#0b6bd3", "#138a36", "#b8860b", "#8e24aa", "#00838f", "#e65100", "#5d4037", "#c2185b", "#33691e")
STYLE = """body{font:15px/1.4 sans-serif;margin:1.5em;max-width:1400px}
section{display:flex;gap:1.2em;align-items:flex-start;border-top:1px solid #ccc;padding:1em 0}
img{max-width:760px;flex:none}
p,ol{margin:.2em 0 .6em;overflow-wrap:anywhere}
.letter{display:inline-block;min-width:1.4em;padding:0 .3em;color:#fff;text-align:center}
.left{color:#555}"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn: the page, and how much is on it."""

    page: Path
    n_figures: int
    n_panels: int
    n_skips: int


def draw_figures(paths: Sequence[Path], out_dir: Path) -> Drawn:
    """Draw every figure of the articles, a picture each and one page that shows them all.

    Raises:
        UsageError: when a path does not exist or holds no article.
    """
    articles, _ = find_articles(paths)
    out_dir.mkdir(parents=True, exist_ok=True)
    n_figures = n_panels = n_skips = 0
    page = out_dir / "index.html"
    with page.open("w", encoding="utf-8") as file, Progress("articles", len(articles)) as progress:
        file.write(f"<!doctype html><html lang=en><meta charset=utf-8><title>Figures</title><style>{STYLE}</style>\n")
        for number, local in enumerate(articles, 1):
            file.write(f"<h2>{html.escape(local.relative_name)}</h2>\n")
            found = 0
            for item in _figures(local, f"{number:04}"):
                if isinstance(item, Skip):
                    file.write(f"<p class=left>Left out: {html.escape(item.detail)} ({html.escape(item.reason)})</p>\n")
                    n_skips += 1
                    continue
                found += 1
                name = f"{number:04}-{found:03}.png"
                panels = split_figure(item, PanelSettings())
                _picture(item, panels).save(out_dir / name)
                file.write(_section(item, panels, name))
                n_panels += len(panels)
            if not found:
                file.write("<p class=left>No figure.</p>\n")
            n_figures += found
            progress.advance(figures=found)
        file.write("</html>\n")
    return Drawn(page, n_figures, n_panels, n_skips)


def _figures(local: LocalArticle, name: str) -> Iterator[Figure | Skip]:
    """Yield the figures of one article; what can't be read is a skip, and the other articles are unharmed."""
    settings = DocumentSettings()
    text = None
    try:
        text = parse_jats(local.xml.read_bytes()) if local.xml else None
    except (MalformedArticle, OSError) as error:
        yield Skip(local.relative_name, name, "annotate", getattr(error, "reason", "unreadable"), str(error))
    try:
        if local.image is not None:
            pixels = read_rgb(local.image, settings.max_raster_px)
            yield figure_from_image(name, pixels, local.words)
        else:
            pdf = local.pdf.read_bytes() if local.pdf else None
            yield from iter_figures(name, pdf, text, LazyPictures(local.media, settings.max_raster_px), settings)
    except (MalformedArticle, OSError) as error:
        yield Skip(local.relative_name, name, "annotate", getattr(error, "reason", "unreadable"), str(error))


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _picture(figure: Figure, panels: Sequence[Panel]) -> Image.Image:
    """Shrink a figure to a page's width and frame its panels, each in a colour with its letter on it."""
    whole = Image.fromarray(figure.pixels)
    scale = min(1.0, PICTURE_PX / max(whole.size))
    shown = whole.resize([max(1, round(side * scale)) for side in whole.size], Image.Resampling.LANCZOS)
    pen, font = ImageDraw.Draw(shown), ImageFont.load_default(14)
    for number, panel in enumerate(panels):
        box = tuple(round(v * scale) for v in (panel.box.x0, panel.box.y0, panel.box.x1 - 1, panel.box.y1 - 1))
        if box[2] <= box[0] or box[3] <= box[1]:
            continue
        pen.rectangle(box, outline=_colour(number), width=2)
        name = _name(panel, number)
        right, bottom = box[0] + 8 + round(font.getlength(name)), box[1] + 18
        pen.rectangle((box[0], box[1], right, bottom), fill=_colour(number))
        pen.text((box[0] + 4, box[1] + 1), name, fill="white", font=font)
    return shown


def _name(panel: Panel, number: int) -> str:
    """The letter as read, or the number in brackets."""
    return panel.label if panel.label is not None else f"({number + 1})"


def _section(figure: Figure, panels: Sequence[Panel], name: str) -> str:
    height, width = figure.pixels.shape[:2]
    where = f"page {figure.page_number}, " if figure.page_number is not None else ""
    rows = "".join(
        f'<p><span class=letter style="background:{_colour(i)}">{html.escape(_name(panel, i))}</span> '
        f"{html.escape(panel.caption)}</p>"
        for i, panel in enumerate(panels)
    )
    rights = f"<p><b>{html.escape(figure.rights)}</b></p>" if figure.rights else ""
    return (
        f'<section><img src="{name}" alt=""><div><h3>{html.escape(figure.label or figure.figure_id)}</h3>'
        f"<p class=left>{where}{width} × {height} px ({figure.pixels_from}), {len(panels)} panels</p>{rights}"
        f"{rows or html.escape(figure.caption)}</div></section>\n"
    )
