"""`harvester figures`: what a person sees of every figure, and what one bad article costs."""

import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from harvester.cli import main
from tests.harvester.documents.drawn import Drawing, text, tissue

CAPTION = (
    "Figure 1: Sections of the liver. (A) Portal tract with <b>bold</b> inflammation. (B) Central vein, &amp; no more."
)


def article() -> bytes:
    drawing = Drawing()
    left, right = (drawing.image(tissue(300, 240, seed)) for seed in (1, 2))
    content = "q 200 0 0 160 80 500 cm /L Do Q q 200 0 0 160 300 500 cm /R Do Q\n"
    content += text(85, 160, "A", size=14) + text(305, 160, "B", size=14)
    lines = [CAPTION[i : i + 70] for i in range(0, len(CAPTION), 70)]
    content += "".join(text(80, 330 + 12 * i, line) for i, line in enumerate(lines))
    drawing.page(content, {"L": left, "R": right})
    return drawing.bytes()


def test_figures_are_drawn_with_their_panels_and_words_and_a_bad_article_harms_none(tmp_path):
    papers, looks = tmp_path / "papers", tmp_path / "looks"
    papers.mkdir()
    (papers / "a <script>.pdf").write_bytes(article())
    (papers / "b.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    Image.fromarray(tissue(200, 150, 3)).save(papers / "c.png")

    result = CliRunner().invoke(main, ["figures", str(papers), "--out", str(looks)])

    assert result.exit_code == 0, result.output
    page = (looks / "index.html").read_text(encoding="utf-8")
    assert "<script>" not in page and "a &lt;script&gt;.pdf" in page
    assert "Portal tract" in page and "<b>bold" not in page
    assert page.count("<section>") == 2
    assert re.search(r"Left out: .+\(pdf_damaged\)|Left out: .+\(not_a_pdf\)", page)
    letters = re.findall(r'class=letter style="background:#\w+">([^<]+)<', page)
    assert letters[:2] == ["A", "B"]
    first = np.asarray(Image.open(looks / "0001-001.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0xD0, 0x02, 0x1B), (0x0B, 0x6B, 0xD3)):
        assert (first == colour).all(axis=1).sum() > 500


@pytest.mark.parametrize("given", ["nowhere.pdf", "empty"])
def test_nothing_to_draw_is_one_sentence(tmp_path, given):
    (tmp_path / "empty").mkdir()

    result = CliRunner().invoke(main, ["figures", str(tmp_path / given), "--out", str(tmp_path / "looks")])

    assert result.exit_code == 2
    assert len(result.output.strip().splitlines()) == 1 and not (tmp_path / "looks").exists()
