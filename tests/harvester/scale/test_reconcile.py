"""What witnesses say together."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.records import Witnesses
from harvester.scale.reconcile import ErrorModels, log_evidence, reconcile, reconcile_article

MODELS = ErrorModels(
    nucleus_log2_um=3.0, nucleus_sd=0.35, nucleus_outlier=0.02, nucleus_coarsest_um=1.0, image_outlier=0.01,
    objective_log2=4.0, objective_sd=1.0, objective_n=0, bar_sd=0.02, article_limit_sd=1.0, stop_below=-1.0,
)  # fmt: skip


def image(mpp_um: float, width: float = 1.3, **values: object) -> Witnesses:
    wide = width ** (2.576 / 1.645)
    said = Witnesses("s", "a", mpp_um, mpp_um / width, mpp_um * width, mpp_um / wide, mpp_um * wide, False)
    return replace(said, **values)


def test_a_bar_that_the_image_bears_out_is_believed_with_a_narrow_interval():
    found = reconcile(image(0.5, bar_mpp_um=0.55), MODELS)

    assert (found.mpp_um, found.source, found.agreement) == (0.55, "scale_bar", "agree")
    assert 0.52 < found.mpp_lo_um < 0.55 < found.mpp_hi_um < 0.58
    assert found.log_likelihoods["image"] > 0


def test_a_bar_outside_the_images_99_percent_interval_is_a_conflict():
    found = reconcile(image(0.5, bar_mpp_um=0.9), MODELS)

    assert (found.mpp_um, found.source, found.agreement) == (None, None, "conflict")
    assert "0.9 µm" in found.reason and "looks like 0.5 µm" in found.reason


def test_nuclei_alone_contradict_a_bar_and_say_so_in_micrometres():
    said = Witnesses("s", nucleus_px=42.0, n_nuclei=90, bar_mpp_um=0.414, bar_text="50 µm")

    found = reconcile(said, MODELS)

    assert found.agreement == "conflict"
    assert "(50 µm)" in found.reason
    assert "by that nuclei would be 17 µm wide" in found.reason
    assert reconcile(replace(said, bar_mpp_um=0.2), MODELS).agreement == "agree"


def test_an_abstained_image_contradicts_nothing():
    found = reconcile(image(0.5, bar_mpp_um=5.0, image_abstained=True), MODELS)

    assert (found.mpp_um, found.agreement) == (5.0, "single")


def test_the_image_alone_keeps_its_own_interval():
    found = reconcile(image(0.5), MODELS)

    assert (found.mpp_um, found.source, found.agreement) == (0.5, "image", "single")
    assert (found.mpp_lo_um, found.mpp_hi_um) == pytest.approx((0.5 / 1.3, 0.5 * 1.3))


def test_metadata_goes_before_the_image_and_after_a_bar():
    said = image(0.5, metadata_mpp_um=0.45)

    assert reconcile(said, MODELS).source == "metadata"
    assert reconcile(replace(said, bar_mpp_um=0.52), MODELS).mpp_um == 0.52


def test_a_caption_gives_a_pixel_size_only_after_its_spread_was_learnt():
    said = Witnesses("s", objective_x=40.0, stated_x=400.0)

    assert reconcile(said, MODELS).mpp_um is None
    learnt = reconcile(said, replace(MODELS, objective_n=12))
    assert (learnt.mpp_um, learnt.source) == (0.4, "caption")
    assert learnt.mpp_hi_um / learnt.mpp_lo_um == pytest.approx(2 ** (2 * 1.645), rel=0.01)


def test_nobody_knows():
    found = reconcile(Witnesses("s"), MODELS)

    assert (found.mpp_um, found.source, found.agreement) == (None, None, None)
    assert found.reason


def test_bars_of_one_article_stand_and_fall_together():
    wrong = [Witnesses(f"w{k}", "a", nucleus_px=42.0, bar_mpp_um=0.414) for k in range(2)]
    passing = Witnesses("p", "a", nucleus_px=25.0, bar_mpp_um=0.4)

    together = reconcile_article([*wrong, passing], MODELS)

    assert reconcile(passing, MODELS).agreement == "agree"
    assert [v.agreement for v in together] == ["conflict"] * 3
    assert "2 of the 3 bars of this article" in together[2].reason
    many = [replace(passing, snapshot_id=f"p{k}", nucleus_px=14.0, bar_mpp_um=0.42) for k in range(3)]
    assert [v.agreement for v in reconcile_article([*wrong, *many], MODELS)] == ["conflict"] * 2 + ["agree"] * 3


def test_bars_that_all_lie_a_little_to_one_side_are_not_believed_together():
    alike = [image(0.5, 1.6, bar_mpp_um=0.7, snapshot_id=f"s{k}") for k in range(3)]
    both_ways = [image(0.5, 1.6, bar_mpp_um=um, snapshot_id=f"s{um}") for um in (0.36, 0.5, 0.7)]

    assert [v.agreement for v in reconcile_article(alike[:1], MODELS)] == ["agree"]
    together = reconcile_article(alike, MODELS)
    assert [v.agreement for v in together] == ["conflict"] * 3
    assert "1.4 times as large as their tissue looks" in together[0].reason
    assert [v.agreement for v in reconcile_article(both_ways, MODELS)] == ["agree"] * 3
    unsure = [image(0.5, 2.2, bar_mpp_um=0.7, snapshot_id=f"s{k}") for k in range(3)]
    assert [v.agreement for v in reconcile_article(unsure, MODELS)] == ["agree"] * 3


def test_nuclei_alone_make_an_articles_bars_doubtful_together():
    doubled = [Witnesses(f"s{k}", "a", nucleus_px=40.0, bar_mpp_um=0.4) for k in range(3)]
    natural = [Witnesses(f"s{k}", "a", nucleus_px=20.0, bar_mpp_um=0.4) for k in range(3)]

    together = reconcile_article(doubled, MODELS)

    assert [v.agreement for v in together] == ["conflict"] * 3
    assert "nuclei would be 16 µm wide" in together[0].reason
    assert [v.agreement for v in reconcile_article(natural, MODELS)] == ["agree"] * 3


def test_bars_doubted_for_their_article_tell_how_wide_their_nuclei_would_be():
    alike = [image(0.5, 1.6, bar_mpp_um=0.7, nucleus_px=16.0, snapshot_id=f"s{k}") for k in range(3)]

    together = reconcile_article(alike, MODELS)

    assert all("nuclei would be 11 µm wide" in v.reason and "alone would pass" in v.reason for v in together)


@given(
    st.floats(0.05, 8.0), st.floats(1.05, 4.0), st.floats(0.01, 60.0), st.none() | st.floats(2.0, 400.0),
    st.none() | st.sampled_from([4.0, 10.0, 20.0, 40.0]),
)  # fmt: skip
def test_a_value_always_lies_in_its_interval_and_a_conflict_has_none(mpp_um, width, bar_um, nucleus_px, objective_x):
    said = image(mpp_um, width, bar_mpp_um=bar_um, nucleus_px=nucleus_px, objective_x=objective_x)

    found = reconcile(said, replace(MODELS, objective_n=5))

    assert all(map(math.isfinite, found.log_likelihoods.values()))
    if found.agreement == "conflict":
        assert found.mpp_um is None and found.source is None
    else:
        assert found.mpp_lo_um <= found.mpp_um <= found.mpp_hi_um


@given(st.floats(0.2, 4.0), st.floats(1.1, 2.0))
def test_evidence_for_a_bar_falls_the_farther_it_lies_from_the_image(mpp_um, factor):
    said = image(mpp_um)

    assert log_evidence(said, mpp_um, MODELS) > log_evidence(said, mpp_um * factor, MODELS)
    assert log_evidence(said, mpp_um * factor, MODELS) >= log_evidence(said, mpp_um * factor * 1.5, MODELS)


def test_error_models_are_read_back_and_anything_else_is_refused(tmp_path):
    path = tmp_path / "models.json"
    path.write_text(json.dumps(asdict(MODELS)))
    assert ErrorModels.read(path) == MODELS

    for text in ("[]", "{}", json.dumps(asdict(MODELS) | {"bar_sd": "NaN"})):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"models\.json"):
            ErrorModels.read(path)
