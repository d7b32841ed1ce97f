import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.letters import MAX_CHARS
from harvester.scale.captions import for_panel, read_caption
from tests.benchmarks.bench_captions import measure

WORDS = st.lists(
    st.sampled_from(["tumour", "cells", "liver", "shows", "necrosis", "kidney", "cortex", "normal", "dense", "pale"]),
    min_size=2,
    max_size=6,
).map(" ".join)
STATED_X = st.sampled_from([20.0, 25.0, 40.0, 50.0, 100.0, 200.0, 250.0, 400.0, 600.0, 1000.0])
STYLES = st.sampled_from(
    ["×{}", "x{}", "X {}", "× {}", "×\u2009{}", "{}×", "{}x", "{} X", "✕{}", "х{}", "original magnification ×{}",
     "H&E, ×{}", "H&E ×{}", "HE stain, {}× magnification", "magnification {}", "{}-fold magnification",
     "magnified {} times", "H&E; original magnification, x {}"]
)  # fmt: skip
BARS = st.sampled_from(
    ["scale bar = {} µm", "Scale bar: {} μm", "bar, {} um", "scale bar represents {} microns", "{} µm scale bar",
     "Bar = {}\u2009µm", "scale bars indicate {} micrometers"]
)  # fmt: skip
LENGTHS = st.sampled_from([5, 10, 20, 25, 50, 100, 200, 500])
LETTER_STYLES = st.sampled_from(["({})", "{})", "{}."])


def shown(x: float) -> str:
    return f"{x:g}"


def stated(caption, letters=()):
    return [(m.stated_x, m.letters) for m in read_caption(caption, letters).magnifications]


@settings(deadline=None, max_examples=50)
@given(WORDS, STATED_X, STYLES, st.sampled_from(["{} ({}).", "{}. {}.", "{}, {}."]))
def test_a_magnification_said_of_the_whole_figure_is_read_back(words, x, style, frame):
    caption = frame.format(f"Histology of {words}", style.format(shown(x)))

    assert stated(caption) == [(x, ())]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(WORDS, STATED_X), min_size=2, max_size=6), STYLES, LETTER_STYLES, st.booleans())
def test_a_magnification_in_the_part_of_a_panel_is_that_panels(parts, style, letter_style, upper):
    letters = [chr((65 if upper else 97) + k) for k in range(len(parts))]
    caption = "Histology of the lesion. " + " ".join(
        f"{letter_style.format(letter)} {words.capitalize()} ({style.format(shown(x))})."
        for letter, (words, x) in zip(letters, parts, strict=True)
    )

    expected = [(x, (letter.upper(),)) for letter, (_, x) in zip(letters, parts, strict=True)]
    assert stated(caption, letters) == expected
    assert stated(caption) == expected


@settings(deadline=None, max_examples=50)
@given(
    st.lists(WORDS, min_size=2, max_size=6),
    st.data(),
    st.sampled_from(["Original magnification: {}.", "Magnification, {}.", "H&E; original magnifications {}."]),
    st.sampled_from(["before", "after", "in"]),
)
def test_a_list_by_letters_at_the_end_is_given_to_its_letters(parts, data, frame, place):
    letters = [chr(65 + k) for k in range(len(parts))]
    cut = data.draw(st.integers(1, len(letters) - 1))
    low, high = data.draw(st.permutations([20.0, 100.0, 200.0, 400.0]))[:2]
    groups = [(letters[:cut], low), (letters[cut:], high)]
    spell = {"before": "{0}, ×{1}", "after": "×{1} ({0})", "in": "×{1} in {0}"}[place]
    told = ("; " if place == "before" else ", ").join(spell.format(", ".join(g), shown(x)) for g, x in groups)
    body = " ".join(f"({x}) {p.capitalize()}." for x, p in zip(letters, parts, strict=True))

    found = stated(f"{body} {frame.format(told)}", letters)

    assert found == [(x, tuple(g)) for g, x in groups]


@settings(deadline=None, max_examples=50)
@given(st.lists(WORDS, min_size=2, max_size=3), st.sampled_from([", {} and {}", " {} and {}"]))
def test_respectively_gives_each_letter_its_own(parts, _):
    letters = [chr(65 + k) for k in range(len(parts))]
    body = " ".join(f"({x}) {p.capitalize()}." for x, p in zip(letters, parts, strict=True))

    found = stated(f"{body} Magnification in A and B: ×100 and ×400, respectively.", letters)

    assert found == [(100.0, ("A",)), (400.0, ("B",))]


@settings(deadline=None, max_examples=50)
@given(WORDS, LENGTHS, BARS)
def test_a_bar_length_is_read_back(words, length, style):
    (found,) = read_caption(f"{words.capitalize()}. {style.format(length)}.").lengths

    assert (found.kind, found.value, found.length_um, found.letters) == ("scale_bar", length, length, ())


@settings(deadline=None, max_examples=50)
@given(st.lists(LENGTHS, min_size=2, max_size=5), st.booleans())
def test_bars_by_letters_share_a_unit(lengths, each_has_unit):
    unit = " µm" if each_has_unit else ""
    told = ", ".join(f"{chr(65 + k)} {length}{unit}" for k, length in enumerate(lengths))
    caption = f"Histology. Scale bars: {told if each_has_unit else told + ' µm'}."

    found = read_caption(caption, [chr(65 + k) for k in range(len(lengths))]).lengths

    assert [(n.length_um, n.letters) for n in found] == [(v, (chr(65 + k),)) for k, v in enumerate(lengths)]


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=400), st.lists(st.sampled_from("ABCDEF"), max_size=6))
def test_any_text_is_read_without_complaint(caption, letters):
    reading = read_caption(caption, letters, caption)

    for one in (*reading.magnifications, *reading.lengths):
        assert set(one.letters) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | set(one.letters)
        assert 0 < one.score <= 1
    assert all(n.length_um > 0 for n in reading.lengths)


SAID = [
    ("H&E, ×4O.", 40),
    ("(HE, 400 fold)", 400),
    ("H&E, x 1000 (oil)", 1000),
    ("Stained with H&E. X 40", 40),
    ("Tumor, original magnification 40x/0.75 NA.", 40),
    ("Seen with the ×10 objective", 10),
    ("10x objective with 10x eyepiece", 10),
    ("TEM, ×15,000", 15_000),
    ("Electron micrograph × 30 000", 30_000),
    ("Total magnification 10 × 40", 400),
    ("400X.", 400),
]


@pytest.mark.parametrize(("caption", "x"), SAID)
def test_one_magnification_is_read(caption, x):
    assert stated(caption) == [(x, ())]


@pytest.mark.parametrize(
    "caption",
    [
        "Cells in 2× concentration buffer", "A biopsy of 3 x 3 mm", "Centrifuged at 1000× g", "Groups (n = 4 × 5)",
        "We injected ×10^6 cells", "Mice got 1 × 10 6 cells", "A 2.5-fold change of mRNA", "Washed in 20x SSC",
        "Brains of 5xFAD mice (H&E)", "10X Genomics Visium section", "See Fig. 4X", "Doses of 3× 40 mg", "p < 0.05 x",
        "A mass of 2.4 × 2.3 × 2.4 cm", "3× weekly", "5 mitoses per 10 high-power fields", "Stained (×3 times, 5 min)",
        "Sequenced at 100× coverage", "Zoom 2×", "PCR 20x", "40× higher expression", "12 × 40 mg/kg",
    ],
)  # fmt: skip
def test_other_numbers_with_an_x_are_no_magnification(caption):
    assert stated(caption) == []


@pytest.mark.parametrize(
    ("caption", "objectives"),
    [
        ("H&E, ×400", [40]),
        ("H&E, ×40", [None]),
        ("H&E, ×40 objective", [40]),
        ("H&E, original magnification ×40", [4]),
        ("Low power (H&E, ×40)", [4]),
        ("(A) H&E ×40; (B) H&E ×400", [4, 40]),
        ("(A) H&E ×4; (B) H&E ×40", [4, 40]),
        ("H&E, ×100", [10]),
        ("H&E, ×100 oil", [100]),
        ("H&E, ×1000", [100]),
        ("Oil red O, ×100", [10]),
        ("H&E, 10x", [10]),
        ("H&E, 20x", [20]),
        ("TEM, ×15,000", [None]),
        ("H&E, ×100-×400", [None]),
    ],
)
def test_the_objective_is_implied_or_left_open(caption, objectives):
    assert [m.objective_x for m in read_caption(caption).magnifications if m.stated_x] == objectives


def test_words_alone_are_a_statement_without_a_number():
    found = read_caption("(A) Low-power view. (B) Medium power. (C) HE, HPF.").magnifications

    assert [(m.stated_x, m.reading, m.letters) for m in found] == [
        (None, "words", ("A",)), (None, "words", ("B",)), (None, "words", ("C",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Histology at high magnification (×400).", [(None, ()), (400, ())]),
        ("Groups (A) fed, (B) starved. Liver (A, ×10). Necrosis seen here (B, ×20).", [(10, ("A",)), (20, ("B",))]),
        ("A–B (Immunohistochemistry, ×40), C–D (H & E, ×200). (A) w. (B) x. (C) y. (D) z.",
         [(40, ("A", "B")), (200, ("C", "D"))]),
        ("Stained [A, B & C: x100, D: x400]. (A) w. (B) x. (C) y. (D) z.", [(100, ("A", "B", "C")), (400, ("D",))]),
        ("(A) w. (B) x. (C) y. Magnification was ×100 in A and C and ×400 in B.", [(100, ("A", "C")), (400, ("B",))]),
    ],
)  # fmt: skip
def test_letters_beside_a_magnification_win_over_the_part_it_stands_in(caption, expected):
    assert stated(caption, sorted({x for _, letters in expected for x in letters})) == expected


def test_a_range_keeps_both_ends():
    (found,) = read_caption("Liver (H&E, ×100–400).").magnifications

    assert (found.stated_x, found.stated_to_x, found.text) == (100, 400, "×100–400")


@pytest.mark.parametrize(
    ("caption", "lengths_um"),
    [
        ("Scale bar fifty micrometers", [50]),
        ("50-µm scale bar", [50]),
        ("scale bar = 100 lm", [100]),
        ("Bars = 2 mm in A; 200 µm in B", [2000, 200]),
        ("Scale bar = 0.5 mm", [500]),
        ("Error bars represent 5 µm", []),
        ("White bars, wild type; n = 5", []),
        ("Sections 5 µm thick", []),
        ("field width 1.2 mm", [1200]),
        ("Each image is 500 µm wide", [500]),
        ("Field of view: 300 × 300 µm", [300]),
    ],
)
def test_lengths_are_read(caption, lengths_um):
    assert [n.length_um for n in read_caption(caption).lengths] == lengths_um


def test_a_bar_drawn_in_one_panel_for_all_is_said_of_the_figure():
    (found,) = read_caption("(A) Liver. (B) Kidney. Bar in A applies to all panels: 50 µm").lengths

    assert found.letters == ()


def test_the_body_speaks_only_where_the_caption_is_silent():
    body = "Mice were fed. All micrographs were taken at ×200 with an Olympus BX51. Gels were run."

    (found,) = read_caption("Liver of a mouse (H&E).", (), body).magnifications

    assert (found.stated_x, found.origin, found.score) == (200, "body", 0.3)
    assert read_caption("Liver (H&E, ×400).", (), body).magnifications[0].stated_x == 400
    assert read_caption("Liver (H&E).", (), "Confocal images were captured at ×630.").magnifications == ()


def test_a_panel_gets_its_own_and_what_is_said_of_all():
    reading = read_caption("Liver (H&E). (A) Normal, ×100. (B) Necrosis, ×400. Scale bars: 50 µm.")

    panel = for_panel(reading, "b")

    assert [m.stated_x for m in panel.magnifications] == [400]
    assert [n.length_um for n in panel.lengths] == [50]
    assert for_panel(reading, None).magnifications == ()


@pytest.mark.parametrize(
    "unit",
    ["×400 ", "(A) ×400, ", "bar 50 µm, ", "low and high power ", "50 µm bar ", "1 × ", "100 and ", "A, ", "0O", "("],
)
def test_a_hostile_caption_costs_less_than_a_second(unit):
    caption = (unit * 100_000)[:100_000]
    begin = time.process_time()

    read_caption(caption, "ABC", "Micrographs were taken at ×4. " + caption)

    assert time.process_time() - begin < 1.0
    assert len(caption) > MAX_CHARS


@pytest.mark.parametrize("half", ["development"])
def test_hand_made_truth_is_read(shared_dir, half):
    n, errors = measure(shared_dir, half)

    assert n["magnification found"] >= 0.97 * n["magnification said"], errors
    assert n["magnification found"] >= 0.95 * n["magnification true"], errors
    assert n["magnification panel"] >= 0.93 * n["magnification found"], errors
    assert n["organ right"] >= 0.97 * n["organ given"], errors
    assert n["organ answered"] >= 0.80 * n["organ demanded"], errors
    assert n["species right"] >= 0.98 * n["species given"], errors
