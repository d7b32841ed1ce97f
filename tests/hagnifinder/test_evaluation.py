import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.slides import SlideImage, read_catalog
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError
from hagnifinder.evaluation.metrics import Scored, group_quantile, summarise
from hagnifinder.evaluation.pictures import pictures_of
from hagnifinder.evaluation.protocol import finish, held_out, results_markdown
from hagnifinder.predict import Estimate
from tests.hagnifinder.drawn import write_data_folder


def estimate(mpp_um: float, *, abstained: bool = False) -> Estimate:
    x = 10 / mpp_um
    return Estimate(mpp_um, mpp_um / 1.5, mpp_um * 1.5, x, x / 1.5, x * 1.5, abstained, "", 1)


def test_a_row_counts_errors_coverage_and_abstentions() -> None:
    nothing = Estimate(None, None, None, None, None, None, True, "too_small", 0)
    scored = [
        Scored(estimate(0.5), 0.5, "a", "d"),
        Scored(estimate(1.0), 0.5, "a", "d"),
        Scored(estimate(0.25, abstained=True), 1.0, "b", "d"),
        Scored(nothing, 1.0, "b", "d"),
    ]

    row = summarise("all", scored)

    assert (row.pictures, row.patients) == (4, 2)
    assert row.median_log2 == 1.0
    assert row.median_answered_log2 == 0.5
    assert row.coverage == pytest.approx(1 / 3, abs=1e-3)
    assert row.abstained == 0.5


@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("abcdefghijklmnop")), min_size=1, max_size=80))
def test_the_group_quantile_is_one_of_the_values_and_grows_with_the_share(pairs: list[tuple[float, str]]) -> None:
    values, groups = [v for v, _ in pairs], [g for _, g in pairs]

    low, high = group_quantile(values, groups, 0.5), group_quantile(values, groups, 0.9)

    assert low in values
    assert low <= high <= max(values)


def test_a_patient_with_many_pictures_weighs_no_more_than_one_with_one() -> None:
    values = [9.0] * 100 + [float(i) for i in range(1, 10)]
    groups = ["crowd"] * 100 + [f"p{i}" for i in range(9)]

    # Ten patients: half of (10 + 1) is five and a half of them, so the sixth smallest.
    assert group_quantile(values, groups, 0.5) == 6.0
    assert group_quantile([1.0, 2.0], ["a", "b"], 0.9) == 2.0


def test_test_pictures_are_the_same_every_time_and_never_enlarged(tmp_path: Path) -> None:
    write_data_folder(tmp_path, per_side=1)
    image = read_catalog(tmp_path)[0]

    first, again = list(pictures_of(image)), list(pictures_of(image))

    assert [p.mpp_um for p in first] == [p.mpp_um for p in again]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert first[0].is_native
    assert first[0].mpp_um == image.mpp_um
    assert len(first) > 1
    assert all(p.mpp_um > image.mpp_um for p in first[1:])


def test_pictures_of_undocumented_scale_are_never_tested_on(tmp_path: Path) -> None:
    vague = [SlideImage(i.path, i.dataset, i.mpp_um, "C", i.group) for i in read_catalog(write_data_folder(tmp_path))]

    with pytest.raises(DataError, match="documented scale"):
        held_out(vague, Split.TEST)


@pytest.mark.slow
def test_finishing_writes_calibration_and_results_into_the_card(tmp_path: Path, tiny_weights: Path) -> None:
    weights = tmp_path / "drawn.safetensors"
    weights.write_bytes(tiny_weights.read_bytes())

    rows = finish(weights, read_catalog(write_data_folder(tmp_path / "data", per_side=1)))

    card = load_weights(weights).card
    assert card["calibration"]["q90"] > 0
    assert card["calibration_data"]["patients"] == 1
    assert card["results"]["test_side"][0]["name"] == "all"
    assert json.loads(weights.with_suffix(".json").read_text())["results"] == card["results"]
    assert "| all | " in results_markdown("drawn", rows)
