from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harvester.documents.figures import extract_figures, figure_from_image
from harvester.geometry import BoxPt, RgbImage
from harvester.records import ArticleText, Figure, FigureText, Skip
from harvester.settings import DocumentSettings
from tests.harvester.documents.drawn import Drawing, lines, prose, put, text, tissue

SETTINGS = DocumentSettings()
LEFT, RIGHT, COLUMN = 50, 310, 240


def announced(*captions: str, kind: str = "Figure") -> ArticleText:
    return ArticleText(
        figures=tuple(
            FigureText(f"{kind} {i}", c, hrefs=(f"art-g{i:03d}",), order=i - 1) for i, c in enumerate(captions, 1)
        )
    )


def run(drawing: Drawing, article: ArticleText | None, media: dict[str, RgbImage] | None = None) -> list[Figure]:
    return extract_figures("A.1", drawing.bytes(), article, media or {}, SETTINGS)[0]


def skips(drawing: Drawing, article: ArticleText | None) -> list[Skip]:
    return extract_figures("A.1", drawing.bytes(), article, {}, SETTINGS)[1]


def near(box: BoxPt | None, x: float, y: float, width: float, height: float) -> bool:
    assert box is not None
    return box.iou(BoxPt(x, y, x + width, y + height)) > 0.99


def place(figures: list[Figure]) -> list[tuple[str, int | None, tuple[int, ...]]]:
    return [
        (f.figure_id, f.page_number, tuple(round(v) for v in f.page_box.as_tuple()) if f.page_box else ())
        for f in figures
    ]


CAPTIONS = (
    "Gross appearance of the resected specimen with a tan mass.",
    "Histology of the tumour shows spindle cells in fascicles, H&E, x200.",
    "Immunohistochemistry for desmin is diffusely positive.",
)


def two_columns() -> Drawing:
    """Two figures in the left column, one in the right, with running text between them."""
    d = Drawing()
    a, b, c = (d.image(tissue(300, 200, seed)) for seed in (1, 2, 3))
    content = put("A", 80, 60, 180, 120) + text(LEFT, 200, f"Figure 1: {CAPTIONS[0]}")
    content += put("B", 80, 230, 180, 120) + lines(
        LEFT, 370, [f"Figure 2: {CAPTIONS[1][:44]}", CAPTIONS[1][44:].strip()]
    )
    content += prose(LEFT, 420, COLUMN, 25)
    content += prose(RIGHT, 60, COLUMN, 20)
    content += (
        put("C", 340, 320, 180, 120) + text(RIGHT, 460, f"Figure 3: {CAPTIONS[2]}") + prose(RIGHT, 500, COLUMN, 18)
    )
    d.page(content, {"A": a, "B": b, "C": c})
    return d


def test_each_figure_of_two_columns_gets_its_own_caption() -> None:
    figures = run(two_columns(), announced(*CAPTIONS))

    assert place(figures) == [
        ("A.1/f1", 1, (80, 60, 260, 180)), ("A.1/f2", 1, (80, 230, 260, 350)), ("A.1/f3", 1, (340, 320, 520, 440)),
    ]  # fmt: skip
    assert [f.caption for f in figures] == list(CAPTIONS)
    assert all(np.array_equal(f.pixels, tissue(300, 200, seed)) for seed, f in enumerate(figures, 1))
    assert {f.pixels_from for f in figures} == {"pdf"}


def test_captions_are_read_from_the_page_when_there_is_no_xml() -> None:
    figures = run(two_columns(), None)

    assert place(figures) == place(run(two_columns(), announced(*CAPTIONS)))
    assert [f.label for f in figures] == ["Figure 1", "Figure 2", "Figure 3"]
    assert [f.caption for f in figures] == list(CAPTIONS)


def test_a_sentence_that_begins_with_a_label_is_no_caption() -> None:
    d = two_columns()
    d.page(prose(LEFT, 60, 480, 10) + text(LEFT, 184, "Figure 2 shows the spindle cells in fascicles again.", 10))

    assert len(run(d, None)) == 3
    assert not [s for s in skips(d, None) if s.reason == "figure_not_found"]


def test_captions_side_by_side_keep_apart() -> None:
    d = Drawing()
    a, b = d.image(tissue(300, 200, 1)), d.image(tissue(300, 200, 2))
    content = put("A", 60, 60, 220, 140) + put("B", 320, 60, 220, 140)
    content += text(LEFT, 215, f"Figure 1: {CAPTIONS[0][:40]}") + text(RIGHT, 215, f"Figure 2: {CAPTIONS[1][:40]}")
    content += prose(LEFT, 260, COLUMN, 30) + prose(RIGHT, 260, COLUMN, 30)
    d.page(content, {"A": a, "B": b})

    figures = run(d, announced(CAPTIONS[0][:40], CAPTIONS[1][:40]))

    assert [near(f.page_box, x, 60, 220, 140) for f, x in zip(figures, (60, 320), strict=True)] == [True, True]


def test_a_compound_figure_is_one_figure_with_its_panels_as_parts_and_its_letters() -> None:
    d = Drawing()
    names = {n: d.image(tissue(340, 260, i)) for i, n in enumerate("ABCD")}
    content = put("A", 120, 80, 170, 130) + put("B", 310, 80, 170, 130) + text(200, 225, "(a)") + text(390, 225, "(b)")
    content += (
        put("C", 120, 240, 170, 130) + put("D", 310, 240, 170, 130) + text(200, 385, "(c)") + text(390, 385, "(d)")
    )
    content += text(200, 410, f"Figure 1: {CAPTIONS[1]}") + prose(LEFT, 450, COLUMN, 20) + prose(RIGHT, 450, COLUMN, 20)
    d.page(content, names)

    (figure,) = run(d, announced(CAPTIONS[1]))

    assert near(figure.page_box, 120, 80, 360, 290)
    assert len(figure.parts) == 4
    assert all(np.array_equal(p.pixels, tissue(340, 260, i)) for i, p in enumerate(figure.parts))
    assert figure.pixels.shape == (580, 720, 3)
    assert figure.pixels_from == "render"
    assert [t for t, _ in figure.letters] == ["(a)", "(b)", "(c)", "(d)"]


def test_pictures_on_the_page_after_their_caption_are_found() -> None:
    d = Drawing()
    d.page(prose(LEFT, 60, 480, 50) + text(LEFT, 700, f"Figure 1: {CAPTIONS[1]}"))
    d.page(put("A", 60, 60, 480, 600), {"A": d.image(tissue(480, 600, 1))})

    (figure,) = run(d, announced(CAPTIONS[1]))

    assert (figure.page_number, near(figure.page_box, 60, 60, 480, 600)) == (2, True)


def test_a_manuscript_with_its_legends_in_a_list_and_its_figures_at_the_end() -> None:
    d = Drawing()
    d.page(prose(LEFT, 60, 480, 40))
    d.page("".join(text(LEFT, 80 + 40 * i, f"Figure {i + 1}. {c}", 10) for i, c in enumerate(CAPTIONS)))
    for i in range(3):
        d.page(put("A", 100, 100, 400, 300), {"A": d.image(tissue(400, 300, i))})

    figures = run(d, announced(*CAPTIONS))

    assert [(f.figure_id, f.page_number) for f in figures] == [("A.1/f1", 3), ("A.1/f2", 4), ("A.1/f3", 5)]


def test_captions_above_their_figures() -> None:
    d = Drawing()
    a, b = d.image(tissue(300, 200, 1)), d.image(tissue(300, 200, 2))
    content = prose(LEFT, 50, 480, 4) + text(LEFT, 120, f"Figure 1. {CAPTIONS[0]}") + put("A", 150, 130, 300, 200)
    content += text(LEFT, 380, f"Figure 2. {CAPTIONS[1]}") + put("B", 150, 390, 300, 200) + prose(LEFT, 640, 480, 8)
    d.page(content, {"A": a, "B": b})

    figures = run(d, announced(*CAPTIONS[:2]))

    assert [near(f.page_box, 150, y, 300, 200) for f, y in zip(figures, (130, 390), strict=True)] == [True, True]


def test_a_caption_beside_its_figure() -> None:
    d = Drawing()
    content = put("A", 50, 60, 300, 220) + lines(370, 80, ["Figure 1", CAPTIONS[0][:30], CAPTIONS[0][30:]])
    content += prose(LEFT, 320, 480, 30)
    d.page(content, {"A": d.image(tissue(300, 220, 1))})

    (figure,) = run(d, announced(CAPTIONS[0]))

    assert near(figure.page_box, 50, 60, 300, 220)


def test_a_landscape_figure_on_an_upright_page() -> None:
    """Picture and caption are turned by 90 degrees; the caption stands to the right of the picture on the page."""
    d = Drawing()
    picture = tissue(600, 360, 5)
    # reading upwards: the picture's own x axis runs up the page
    content = "q 0 600 -360 0 440 100 cm /A Do Q\n"
    content += f"BT /F 9 Tf 0 1 -1 0 460 150 Tm (Figure 1: {CAPTIONS[0]}) Tj ET\n"
    d.page(content, {"A": d.image(picture)})

    (figure,) = run(d, announced(CAPTIONS[0]))

    assert near(figure.page_box, 80, 100, 360, 600)
    assert np.array_equal(figure.pixels, np.rot90(picture))


def test_running_headers_logos_and_portraits_are_no_figures() -> None:
    d = two_columns()
    logo, portrait = d.image(tissue(100, 60, 8)), d.image(tissue(90, 120, 9))
    d.page(
        prose(LEFT, 100, COLUMN, 40) + put("L", 50, 20, 100, 60) + put("P", 400, 600, 90, 120),
        {"L": logo, "P": portrait},
    )

    figures = run(d, announced(*CAPTIONS))

    assert len(figures) == 3
    assert [s.reason for s in skips(d, announced(*CAPTIONS))] == ["no_caption", "no_caption"]


def test_an_announced_figure_that_is_on_no_page_is_a_skip() -> None:
    d = two_columns()

    found = skips(d, announced(*CAPTIONS, "A figure only the web has."))

    assert [(s.subject_id, s.reason) for s in found] == [("A.1/f4", "figure_not_found")]


def test_a_figure_on_no_page_is_taken_from_the_publishers_file() -> None:
    web = tissue(500, 400, 11)

    figures = run(two_columns(), announced(*CAPTIONS, "A figure only the web has."), {"ART-G004.jpg": web})

    assert (figures[3].figure_id, figures[3].pixels_from, figures[3].page_box) == ("A.1/f4", "media", None)
    assert np.array_equal(figures[3].pixels, web)


def detailed(width: int, height: int, seed: int) -> RgbImage:
    rng = np.random.default_rng(seed)
    noise = rng.integers(-60, 60, (height, width, 1))
    return np.clip(tissue(width, height, seed).astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", ["finer", "enlarged", "another", "smaller"])
def test_the_publishers_file_is_taken_only_for_the_same_picture_with_more_detail(case: str) -> None:
    fine = detailed(900, 600, 3)
    printed = np.asarray(Image.fromarray(fine).resize((300, 200), Image.Resampling.BOX))
    d = Drawing()
    d.page(put("A", 80, 60, 300, 200) + text(80, 275, f"Figure 1: {CAPTIONS[0]}"), {"A": d.image(printed)})
    media = {
        "finer": fine,
        "enlarged": np.asarray(Image.fromarray(printed).resize((900, 600), Image.Resampling.BICUBIC)),
        "another": detailed(900, 600, 4),
        "smaller": np.asarray(Image.fromarray(fine).resize((150, 100), Image.Resampling.BOX)),
    }[case]

    (figure,) = run(d, announced(CAPTIONS[0]), {"art-g001.jpg": media})

    assert figure.pixels_from == ("media" if case == "finer" else "pdf")
    assert near(figure.page_box, 80, 60, 300, 200)


def plot(x: float, y: float, width: float, height: float) -> str:
    """Axes, a curve and ticks, from the top left corner; labels outside."""
    low = 800 - y - height
    steps = " ".join(f"{x + i * width / 20} {low + height * (0.1 + 0.04 * i)} l" for i in range(1, 20))
    content = f"{x} {800 - y} m {x} {low} l {x + width} {low} l S {x} {low} m {steps} S\n"
    for i in range(6):
        content += f"{x + i * width / 6} {low} m {x + i * width / 6} {low - 4} l S\n" + text(
            x + i * width / 6, y + height + 14, f"{i}0.0"
        )
    return content


def test_a_vector_plot_is_found_with_its_axis_labels() -> None:
    d = Drawing()
    d.page(
        prose(LEFT, 60, 480, 5)
        + plot(150, 160, 250, 180)
        + text(150, 390, f"Figure 1: {CAPTIONS[0]}")
        + prose(LEFT, 430, 480, 20)
    )

    (figure,) = run(d, announced(CAPTIONS[0]))

    assert figure.page_box is not None
    assert figure.page_box.iou(BoxPt(150, 160, 400, 356)) > 0.9
    assert figure.pixels_from == "render"
    assert len(figure.parts) == 1


def test_a_frame_round_figure_and_caption_is_furniture() -> None:
    d = Drawing()
    frame = "1 w 50 500 m 550 500 l S 50 500 m 50 750 l S 550 500 m 550 750 l S 50 750 m 550 750 l S\n"
    d.page(
        frame + put("A", 100, 70, 300, 180) + text(60, 270, f"Fig. 1 {CAPTIONS[0]}") + prose(LEFT, 330, 480, 20),
        {"A": d.image(tissue(300, 180, 1))},
    )

    (figure,) = run(d, announced(CAPTIONS[0], kind="Fig."))

    assert near(figure.page_box, 100, 70, 300, 180)
    assert figure.pixels_from == "pdf"


def test_a_table_between_text_and_figure_is_no_part_of_it() -> None:
    d = Drawing()
    rules = "".join(f"50 {y} m 550 {y} l S\n" for y in (730, 710, 640))
    table = (
        rules
        + text(50, 60, "Table 1: Markers of the patients.")
        + "".join(text(60 + 120 * c, 105 + 12 * r, f"{r}.{c} mg") for r in range(4) for c in range(4))
    )
    d.page(
        table + put("A", 150, 200, 300, 200) + text(50, 420, f"Figure 1: {CAPTIONS[0]}"),
        {"A": d.image(tissue(300, 200, 1))},
    )

    (figure,) = run(d, announced(CAPTIONS[0]))

    assert near(figure.page_box, 150, 200, 300, 200)


@pytest.mark.parametrize("y", [60, 540])
def test_arrows_and_letters_over_a_picture_are_rendered_and_its_samples_kept(y: int) -> None:
    picture = tissue(300, 200, 2)
    d = Drawing()
    arrow = f"2 w 0 G 120 {800 - y - 40} m 150 {800 - y - 60} l S\n"
    content = put("A", 180, y, 300, 200) + arrow.replace("120", "220").replace("150", "250") + text(190, y + 20, "A")
    d.page(content + text(80, y + 220, f"Figure 1: {CAPTIONS[0]}"), {"A": d.image(picture)})

    (figure,) = run(d, announced(CAPTIONS[0]))

    assert figure.pixels_from == "render"
    assert np.array_equal(figure.parts[0].pixels, picture)
    changed = np.flatnonzero((figure.pixels != picture).any((1, 2)))
    assert (figure.pixels[41:59, 42:68].min(2) < 20).any()
    assert 5 <= changed[0] <= 15 and 58 <= changed[-1] <= 64


def test_figures_without_caption_or_xml_are_still_figures() -> None:
    d = Drawing()
    d.page(put("A", 80, 60, 400, 300), {"A": d.image(tissue(400, 300, 2))})

    (figure,) = run(d, None)

    assert (figure.figure_id, figure.label, figure.caption) == ("A.1/x1", None, "")


def test_two_figures_of_one_number_get_free_ids() -> None:
    article = ArticleText(figures=(FigureText("Figure 1", CAPTIONS[0]), FigureText("Figure 1", CAPTIONS[1], order=1)))
    d = Drawing()
    content = put("A", 80, 60, 300, 120) + text(80, 200, f"Figure 1: {CAPTIONS[0]}")
    content += put("B", 80, 300, 300, 120) + text(80, 440, f"Figure 1: {CAPTIONS[1]}")
    d.page(content, {"A": d.image(tissue(300, 120, 1)), "B": d.image(tissue(300, 120, 2))})

    figures = run(d, article)

    assert [(f.figure_id, f.caption) for f in figures] == [("A.1/x1", CAPTIONS[0]), ("A.1/x2", CAPTIONS[1])]


def test_your_own_image_is_figure_one() -> None:
    pixels = tissue(50, 40)

    figure = figure_from_image("local-1", pixels, "liver.png", "H&E")

    assert (figure.figure_id, figure.label, figure.caption, figure.page_box) == ("local-1/f1", "liver.png", "H&E", None)
    assert figure.pixels is pixels


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(60, 200), y=st.floats(60, 200), width=st.floats(90, 300), wide=st.integers(60, 400), high=st.integers(60, 300),  # noqa: E501
    flip=st.sampled_from(["", "across", "down", "turned"]), seed=st.integers(0, 5), rotate=st.sampled_from([0, 90, 180, 270]),  # noqa: E501
)  # fmt: skip
def test_lossless_samples_come_back_as_they_were_stored(
    x: float, y: float, width: float, wide: int, high: int, flip: str, seed: int, rotate: int
) -> None:
    picture = detailed(wide, high, seed)
    height = width * high / wide
    if not 60 <= height <= 400:
        height = 100.0
    matrix = {
        "": f"{width:.3f} 0 0 {height:.3f} {x:.3f} {700 - y - height:.3f}",
        "across": f"{-width:.3f} 0 0 {height:.3f} {x + width:.3f} {700 - y - height:.3f}",
        "down": f"{width:.3f} 0 0 {-height:.3f} {x:.3f} {700 - y:.3f}",
        "turned": f"0 {height:.3f} {-width:.3f} 0 {x + width:.3f} {700 - y - height:.3f}",
    }[flip]
    d = Drawing()
    content = f"q {matrix} cm /A Do Q\n" + text(x, y + height + 20, f"Figure 1: {CAPTIONS[0]}", page_height=700)
    d.page(content, {"A": d.image(picture)}, box=(0, 0, 620, 700), extra=f"/Rotate {rotate}")

    (figure,) = run(d, announced(CAPTIONS[0]))

    upright = {"": picture, "across": picture[:, ::-1], "down": picture[::-1], "turned": np.rot90(picture)}[flip]
    assert np.array_equal(figure.pixels, np.rot90(upright, -rotate // 90))
    assert figure.page_box is not None
    assert sorted((figure.page_box.width, figure.page_box.height)) == pytest.approx(sorted((width, height)), abs=0.1)


def test_the_same_article_gives_the_same_figures() -> None:
    first, second = run(two_columns(), announced(*CAPTIONS)), run(two_columns(), announced(*CAPTIONS))

    assert first == second
    assert [f.pixels.tobytes() for f in first] == [f.pixels.tobytes() for f in second]


def test_real_articles_give_every_announced_figure_once(shared_dir) -> None:
    from harvester.documents.jats import parse_jats

    for name, n_figures in (("PMC4735918", 3), ("PMC6024997", 5)):
        folder = shared_dir / "articles" / name
        article = parse_jats((folder / "fulltext.xml").read_bytes())
        figures, left_out = extract_figures(name, (folder / "fulltext.pdf").read_bytes(), article, {}, SETTINGS)
        assert [f.label for f in figures] == [f.label for f in article.figures]
        assert len(figures) == n_figures
        assert not [s for s in left_out if s.reason == "figure_not_found"]
