"""The classifier's file and its arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harvester.errors import HarvestError
from harvester.records import PANEL_KINDS
from harvester.stain import train
from harvester.stain.features import N_FEATURES, describe
from harvester.stain.model import HE, PanelModel, calibrate, likeliest, sharpen


def small_model(temperature: float = 1.0) -> PanelModel:
    rng = np.random.default_rng(4)
    hidden = rng.normal(0, 0.1, (2, N_FEATURES + 1, 5)).astype(np.float32)
    outer = rng.normal(0, 1, (2, 6, len(PANEL_KINDS))).astype(np.float32)
    zeros, ones = np.zeros(N_FEATURES, dtype=np.float32), np.ones(N_FEATURES, dtype=np.float32)
    return PanelModel(zeros, ones, hidden, outer, temperature, 1.0, 0.0, {"name": "test"})


def test_a_model_comes_back_from_its_bytes_and_answers_the_same() -> None:
    model = small_model()
    features = np.random.default_rng(1).normal(0, 2, (3, N_FEATURES)).astype(np.float32)

    back = PanelModel.from_bytes(model.to_bytes())

    assert back.card == {"name": "test"}
    assert back.to_bytes() == model.to_bytes()
    assert (back.probabilities(features) == model.probabilities(features)).all()
    assert model.probabilities(features).sum(axis=1) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY", small_model().to_bytes()[:-200]])
def test_a_damaged_file_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(HarvestError, match="can't be read"):
        PanelModel.from_bytes(data)


def test_a_model_for_other_features_is_refused() -> None:
    model = small_model()
    other = replace(model, centre=model.centre[:-1], spread=model.spread[:-1])

    with pytest.raises(HarvestError, match="other features"):
        PanelModel.from_bytes(other.to_bytes())


def test_a_low_temperature_sharpens_and_keeps_the_order() -> None:
    even = np.array([[0.5, 0.3, 0.2] + [0.0] * 9])

    sharp = sharpen(even, 0.5)

    assert sharp.sum() == pytest.approx(1.0)
    assert sharp[0, 0] > 0.6
    assert list(sharp[0, :3]) == sorted(sharp[0, :3], reverse=True)


def test_calibration_moves_he_alone_and_the_others_keep_their_proportions() -> None:
    said = np.full((1, 12), 0.4 / 11)
    said[0, HE] = 0.6

    moved = calibrate(said, 1.0, 1.0)

    assert moved[0, HE] == pytest.approx(1.5 * np.e / (1 + 1.5 * np.e))
    assert moved.sum() == pytest.approx(1.0)
    assert np.ptp(np.delete(moved[0], HE)) < 1e-12


def test_he_is_named_only_where_it_is_likelier_than_not() -> None:
    below, above = np.full((1, 12), 0.05), np.full((1, 12), 0.04)
    below[0, HE], below[0, 4] = 0.45, 0.10
    above[0, HE] = 0.56

    assert list(likeliest(np.vstack([below, above]))) == [4, HE]


def test_features_are_finite_and_of_one_length_for_any_size() -> None:
    rng = np.random.default_rng(0)

    for size in ((1, 1), (3, 3000), (2000, 2), (25, 24), (700, 500)):
        features = describe(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        assert features.shape == (N_FEATURES,)
        assert np.isfinite(features).all()


def test_features_hardly_change_when_a_picture_is_stored_larger() -> None:
    rng = np.random.default_rng(0)
    small = np.kron(rng.integers(60, 250, (40, 50, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    large = np.kron(small, np.ones((3, 3, 1))).astype(np.uint8)

    difference = np.abs(describe(small) - describe(large))

    assert np.median(difference) < 0.02


def test_training_says_what_is_missing(tmp_path, capsys) -> None:
    assert train.main([str(tmp_path), "--out", str(tmp_path / "x.npz")]) == 2
    assert capsys.readouterr().err.strip().endswith(("catalog.csv.", "scikit-learn."))
