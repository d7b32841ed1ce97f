from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harvester.scale.bar_labels import parse_label, parse_read_label


@pytest.mark.parametrize(
    ("text", "value", "unit", "length_um"),
    [
        ("50 µm", 50, "µm", 50),
        ("50 μm", 50, "µm", 50),
        ("100um", 100, "µm", 100),
        ("20 pm", 20, "µm", 20),
        ("0.5 mm", 0.5, "mm", 500),
        ("0,5 mm", 0.5, "mm", 500),
        ("1,000 µm", 1000, "µm", 1000),
        ("1\u2009000\u2009µm", 1000, "µm", 1000),
        ("12.5\u202fµm", 12.5, "µm", 12.5),
        ("500 nm", 500, "nm", 0.5),
        ("Bar = 25 microns", 25, "µm", 25),
        ("200 µ", 200, "µm", 200),
    ],
)
def test_a_printed_label_is_read(text: str, value: float, unit: str, length_um: float) -> None:
    label = parse_label(text)

    assert label is not None
    assert (label.value, label.unit) == (value, unit)
    assert label.length_um == pytest.approx(length_um)


@pytest.mark.parametrize(
    "text",
    ["50", "x400", "100 µM", "5 mm/s", "25 mm2", "120 mmHg", "120 mm Hg", "Day 14", "3 months", "µm", "", "0 µm"],
)
def test_what_is_no_length_is_no_label(text: str) -> None:
    assert parse_label(text) is None


@pytest.mark.parametrize(
    ("text", "length_um"),
    [
        ("5O µm", 50),
        ("l00um", 100),
        ("1OO pm", 100),
        ("50μmm", 50),
        ("50 jm", 50),
        ("20 ym", 20),
        ("50m", 50),
        ("251m", 25),
        ("401 pm", 40),
        ("'100 µm.", 100),
        ("0.1 mm", 100),
    ],
)
def test_letters_taken_for_others_are_mended(text: str, length_um: float) -> None:
    label = parse_read_label(text)

    assert label is not None
    assert label.length_um == pytest.approx(length_um)


def test_a_point_too_small_for_the_reader_is_put_back_and_a_cut_number_refused() -> None:
    for text, length_um in (("01mm", 100.0), ("01m", 100.0), ("0.1m", 100.0), ("O.1mm", 100.0)):
        label = parse_read_label(text)
        assert label is not None
        assert label.length_um == pytest.approx(length_um)
    assert parse_read_label("0im") is None


def test_a_guessed_label_is_less_sure_than_a_clear_one() -> None:
    clear, guessed, odd = parse_read_label("50 µm"), parse_read_label("5O jm"), parse_read_label("57 µm")

    assert clear is not None and guessed is not None and odd is not None
    assert clear.certainty == 1.0
    assert max(guessed.certainty, odd.certainty) < 0.7


@pytest.mark.parametrize("text", ["CV", "x400", "40X", "LII", "H", "N=12", "Scm", "*", "Control", "10", "mm", "O mm"])
def test_other_letters_on_a_picture_are_no_label(text: str) -> None:
    assert parse_read_label(text) is None


@given(
    st.sampled_from([1, 2, 2.5, 5, 10, 12.5, 20, 25, 50, 75, 100, 200, 250, 500, 1000]),
    st.sampled_from(["µm", "μm", "um", "pm", "mm", "nm"]),
    st.sampled_from(["", " ", "\u2009", "\u202f", "\u00a0"]),
)
def test_what_is_printed_is_parsed_back(value: float, unit: str, space: str) -> None:
    assume(unit != "mm" or value <= 200)
    for parse in (parse_label, parse_read_label):
        label = parse(f"{value:g}{space}{unit}")

        assert label is not None
        assert label.value == value
        assert label.length_um == pytest.approx(value * {"mm": 1000, "nm": 0.001}.get(unit, 1))


@given(st.text(max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_label, parse_read_label):
        label = parse(text)

        assert label is None or label.length_um > 0
