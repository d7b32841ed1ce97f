import pytest

from harvester.geometry import BoxPx
from harvester.letters import split_caption
from harvester.panels.labels import label_panels, parse_mark

GRID = [BoxPx(x, y, x + 200, y + 150) for y in (0, 190) for x in (0, 220)]
NONE = split_caption("Liver.")


@pytest.mark.parametrize(
    ("dx", "dy"),
    [(8, 8), (192, 8), (100, 162), (8, -10), (-10, 8)],
    ids=["corner", "right corner", "below", "above", "left"],
)
@pytest.mark.parametrize("style", ["({})", "{}", "{})"])
def test_letters_name_panels_wherever_they_stand(dx, dy, style):
    texts = [(style.format("abcd"[k]), box.x0 + dx, box.y0 + dy, 12.0) for k, box in enumerate(GRID)]
    assert [label for label, _ in label_panels(GRID, texts, NONE)] == ["A", "B", "C", "D"]


def test_other_short_texts_are_passed_over():
    texts = [("CV", 100, 70, 12.0), ("50", 150, 140, 12.0), ("x", 60, 60, 12.0)]
    texts += [(f"({'abcd'[k]})", box.x0 + 100, box.y1 + 12, 12.0) for k, box in enumerate(GRID)]
    assert [label for label, _ in label_panels(GRID, texts, NONE)] == ["A", "B", "C", "D"]


def test_without_printed_letters_the_caption_names_them_less_certainly():
    named = label_panels(GRID, [], split_caption("(a) One. (b) Two. (c) Three. (d) Four."))
    assert [label for label, _ in named] == ["A", "B", "C", "D"]
    assert all(certainty < 1 for _, certainty in named)


def test_nothing_is_named_without_evidence():
    assert label_panels(GRID[:1], [("A", 300, 300, 12.0)], NONE) == [(None, 1.0)]
    assert label_panels(GRID, [], split_caption("(a) One. (b) Two.")) == [(None, 1.0)] * 4


@pytest.mark.parametrize(
    ("text", "label"),
    [("(a)", "A"), ("B.", "B"), ("c)", "C"), ("iv", "IV"), ("(1)", "1"), ("µm", None), ("(a", None), ("rat", None)],
)
def test_marks(text, label):
    mark = parse_mark(text)
    assert (mark[0] if mark else None) == label


def test_roman_numbers_are_given_in_the_order_of_the_caption():
    boxes = [BoxPx(100 * k, 0, 100 * k + 90, 90) for k in range(3)]
    caption = split_caption("Liver. (I) Control. (II) Treated. (III) Late.")
    assert [label for label, _ in label_panels(boxes, [], caption)] == ["I", "II", "III"]
