import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.letters import MAX_CHARS, split_caption

WORDS = st.lists(
    st.sampled_from(["tumour", "cells", "liver", "show", "necrosis", "kidney", "cortex", "normal", "dense", "pale"]),
    min_size=3,
    max_size=8,
).map(" ".join)


@given(st.lists(WORDS, min_size=2, max_size=8), WORDS, st.sampled_from(["({})", "{})", "{}."]), st.booleans())
def test_what_a_grammar_prints_is_parsed_back(parts, intro, style, upper):
    letters = [chr((65 if upper else 97) + k) for k in range(len(parts))]
    body = " ".join(f"{style.format(x)} {p.capitalize()}." for x, p in zip(letters, parts, strict=True))
    caption = split_caption(f"{intro.capitalize()}. {body}")
    assert caption.labels == tuple(x.upper() for x in letters)
    for letter, part in zip(letters, parts, strict=True):
        own = caption.text_for(letter.upper())
        assert own == f"{intro.capitalize()}. {style.format(letter)} {part.capitalize()}."


@given(st.lists(WORDS, min_size=2, max_size=6), WORDS)
def test_letters_after_their_text(parts, intro):
    body = " ".join(f"{p.capitalize()} ({chr(97 + k)})." for k, p in enumerate(parts))
    caption = split_caption(f"{intro.capitalize()}. {body}")
    for k, part in enumerate(parts):
        assert caption.text_for(chr(65 + k)) == f"{intro.capitalize()}. {part.capitalize()} ({chr(97 + k)})."


def test_ranges_and_lists():
    caption = split_caption("Liver. (A-C) H&E. (D and E) PAS. (F, G) Trichrome. Scale bars: 50 µm.")
    assert caption.labels == tuple("ABCDEFG")
    assert caption.text_for("B") == "Liver. (A-C) H&E. Scale bars: 50 µm."
    assert caption.text_for("E") == "Liver. (D and E) PAS. Scale bars: 50 µm."


def test_nested_brackets():
    caption = split_caption("Liver (H&E, 100x). (a) Control; ((b), (c), and (d)) treated.")
    assert caption.labels == ("A", "B", "C", "D")
    assert caption.text_for("C") == "Liver (H&E, 100x). ((b), (c), and (d)) treated."


def test_a_scale_stated_for_other_panels_too_stays_with_its_own():
    caption = split_caption("(A) Low power. Magnification ×40. (B) High power. Magnification ×400.")
    assert "×400" not in caption.text_for("A")
    assert "×40." not in caption.text_for("B")


def test_comma_and_bare_styles():
    assert split_caption("A, Gross view. B, Tumour at low power. C, High power.").labels == ("A", "B", "C")
    assert split_caption("Bone. a Micrograph of bone. b Serum level. c Healing.").labels == ("A", "B", "C")


def test_references_in_mid_sentence_open_no_part():
    caption = split_caption("(A,B) Muscle at 5 (A) and 12 (B) months of age. (C) Heart. Bars are 5 µm in (A) and (B).")
    assert "months of age" in caption.text_for("A")


def test_left_and_right():
    caption = split_caption("Kidney. Left: control. Right: treated.")
    assert caption.by_side
    assert caption.text_for("RIGHT") == "Kidney. Right: treated."


def test_no_letters_or_one_alone_gives_the_whole_caption():
    for text in ("H&E stain of the liver.", "A section of liver (A) seen at ×400.", "", "(c) alone", "(((((", "(a-"):
        assert split_caption(text).text_for("A") == text


@given(st.text(max_size=200))
def test_any_text_is_taken(text):
    caption = split_caption(text)
    assert all(caption.text_for(label) for label in caption.labels)


@pytest.mark.parametrize(
    "unit", ["a, ", "(a) x ", "((a), (b), ", "A. b ", "(a, b, c", "A-B and ", "ivx, ", "(A) foo. "]
)
@pytest.mark.parametrize("n_chars", [MAX_CHARS, 100_000])
def test_a_hostile_caption_costs_less_than_a_second(unit, n_chars):
    caption = (unit * n_chars)[:n_chars]
    begin = time.process_time()

    split_caption(caption)

    assert time.process_time() - begin < 1.0
