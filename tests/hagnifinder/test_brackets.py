import csv
import statistics
from pathlib import Path

import pytest

from hagnifinder.errors import DataError
from hagnifinder.evaluation.brackets import Bracket, Judged, brackets_markdown, panels_markdown, read_brackets
from hagnifinder.predict import Estimate

FOLDER = Path(__file__).parent / "brackets"
BRACKET = Bracket("p", 1000, 0.2, 0.4, "good", "")


def estimate(mpp_um: float | None, *, abstained: bool = False) -> Estimate:
    if mpp_um is None:
        return Estimate(None, None, None, None, None, None, True, "too_small", 0)
    lo, hi, x = mpp_um / 2, mpp_um * 2, 10 / mpp_um
    return Estimate(mpp_um, lo, hi, x, x / 2, x * 2, abstained, "windows_disagree" if abstained else "", 1)


def test_a_miss_is_the_factor_to_the_nearer_end_and_has_a_sign() -> None:
    assert BRACKET.miss_log2(0.3, 1000) == 0.0
    assert BRACKET.miss_log2(0.8, 1000) == pytest.approx(1.0)
    assert BRACKET.miss_log2(0.05, 1000) == pytest.approx(-2.0)
    # The same picture at half the width has pixels twice as large.
    assert BRACKET.miss_log2(0.6, 500) == 0.0


def test_intervals_meet_a_bracket_when_they_share_a_value() -> None:
    assert Judged(BRACKET, estimate(0.75), 1000).interval_meets is True
    assert Judged(BRACKET, estimate(0.9), 1000).interval_meets is False
    assert Judged(BRACKET, estimate(0.09), 1000).interval_meets is False
    assert Judged(BRACKET, estimate(None), 1000).interval_meets is None


def test_the_summary_counts_guesses_misses_and_abstentions() -> None:
    judged = [Judged(BRACKET, e, 1000) for e in (estimate(0.3), estimate(0.8, abstained=True), estimate(None))]

    row = brackets_markdown("m", judged).splitlines()[4]

    assert row == "| all | 3 | 2 | 1 | 2.00 | 1 | 0 | 1 | 2 of 2 | 4.00 | 2 | 1 of 1 |"
    assert "| 2.00 | windows disagree |" in panels_markdown(judged)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("panel,width_px,mpp_lo_um,mpp_hi_um,strength,note\np,10,2,1,good,\n")

    with pytest.raises(DataError, match="empty"):
        read_brackets(tmp_path / "t.csv")
    with pytest.raises(DataError, match="no table"):
        read_brackets(tmp_path)


def test_every_bracket_rests_on_sizes_that_agree_with_it() -> None:
    brackets = {b.panel: b for b in read_brackets(FOLDER / "panels.csv")}
    with (FOLDER / "sizes.csv").open(newline="") as lines:
        sizes = list(csv.DictReader(lines))

    assert len(brackets) == 25
    for row in sizes:
        px = [float(v) for v in row["sizes_px"].split()]
        assert len(px) == int(row["n"])
        assert statistics.median(px) == pytest.approx(float(row["median_px"]), abs=0.006)
        low, high = (float(row[f"literature_{end}_um"]) / statistics.median(px) for end in ("lo", "hi"))
        bracket = brackets[row["panel"]]
        # Structures of one panel differ, but each must share a value with the panel's bracket.
        assert low <= bracket.mpp_hi_um, row
        assert high >= bracket.mpp_lo_um, row
    measured = {row["panel"] for row in sizes}
    assert all(name in measured or "same field as" in b.note for name, b in brackets.items())
