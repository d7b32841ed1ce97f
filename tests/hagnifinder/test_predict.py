import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hagnifinder.checkpoint import load_weights
from hagnifinder.errors import ModelError
from hagnifinder.predict import Calibration, Predictor, RawAnswer
from hagnifinder.shipped import DEFAULT_NAME, WEIGHTS_FOLDER, shipped_models
from tests.hagnifinder.drawn import draw_tissue


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(str(tiny_weights), "cpu")


def test_an_answer_does_not_depend_on_its_company(predictor: Predictor) -> None:
    pictures = [draw_tissue(h, w, seed=h) for h, w in ((100, 130), (300, 224), (230, 500))]

    together = predictor.predict_many(pictures)
    reversed_order = predictor.predict_many(pictures[::-1])[::-1]

    assert together == reversed_order == [predictor.predict(picture) for picture in pictures]


def test_an_estimate_is_complete_and_in_order(predictor: Predictor) -> None:
    estimate = predictor.predict(draw_tissue(260, 260))

    assert not estimate.abstained
    assert estimate.reason == ""
    assert estimate.n_windows >= 2
    assert estimate.mpp_lo_um < estimate.mpp_um < estimate.mpp_hi_um
    assert estimate.magnification_lo_x < estimate.magnification_x < estimate.magnification_hi_x
    assert estimate.magnification_x == pytest.approx(10 / estimate.mpp_um, rel=1e-3)
    assert predictor.model_id == f"drawn@{predictor.weights_sha256[:12]}"


@pytest.mark.parametrize(
    ("rgb", "reason", "has_guess"),
    [
        (np.full((1, 1, 3), 200, np.uint8), "too_small", False),
        (draw_tissue(40, 900), "too_small", False),
        (np.full((300, 300, 3), 255, np.uint8), "no_detail", False),
        (np.repeat(draw_tissue(300, 300)[..., 1:2], 3, axis=2), "too_little_tissue", True),
    ],
)
def test_what_cannot_be_judged_is_abstained_from_with_its_reason(
    predictor: Predictor, rgb: np.ndarray, reason: str, has_guess: bool
) -> None:
    estimate = predictor.predict(rgb)

    assert estimate.abstained
    assert estimate.reason == reason
    assert (estimate.mpp_um is not None) is has_guess


def test_scale_outside_what_was_seen_and_windows_that_disagree_are_abstained_from(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = Calibration(q90=2.0, floor=0.1, max_spread=0.5, finest_um=0.2, coarsest_um=6.0)
    monkeypatch.setattr(predictor, "calibration", strict)

    fine = predictor.judge(RawAnswer.of_points([math.log2(0.1)], ""))
    torn = predictor.judge(RawAnswer.of_points([-1.0, 0.0, 1.0, 2.0], ""))
    plain = predictor.judge(RawAnswer.of_points([-1.0, -1.0], ""))

    assert (fine.reason, fine.abstained, fine.mpp_um) == ("outside_range", True, 0.1)
    assert torn.reason == "windows_disagree"
    assert not plain.abstained
    assert plain.mpp_lo_um == pytest.approx(0.5 * 2**-0.2, rel=1e-3)


def test_a_model_without_calibration_gives_no_interval(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "calibration", None)

    estimate = predictor.predict(draw_tissue(224, 224))

    assert estimate.mpp_um is not None
    assert estimate.mpp_lo_um is None
    assert estimate.magnification_hi_x is None


def test_an_answer_without_bounds_does_not_overflow(predictor: Predictor) -> None:
    assert predictor.judge(RawAnswer.of_points([1e9], "")).mpp_um == pytest.approx(2.0**20, rel=1e-3)


def test_the_stored_weights_answer_as_the_network_did(tiny_weights: Path) -> None:
    torch.manual_seed(3)
    from hagnifinder.model import Hagnifinder

    original = Hagnifinder().eval()
    original.scaling.freeze(0.4)
    x = torch.randn(2, 3, 64, 64)

    with torch.no_grad():
        assert torch.allclose(load_weights(tiny_weights).network(x), original(x), atol=5e-2)


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b"\x10\0\0\0\0\0\0\0" + b"x" * 64, b"\xff" * 4096])
def test_a_file_that_is_no_model_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"model\.safetensors is not a Hagnifinder model") as caught:
        Predictor.load(str(path))
    assert "\n" not in str(caught.value)


def test_safetensors_of_something_else_and_unknown_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)

    with pytest.raises(ModelError, match="of this version"):
        Predictor.load(str(path))
    with pytest.raises(ModelError, match="no model 'hagnifinder-r9000'"):
        Predictor.load("hagnifinder-r9000")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no CUDA"):
            Predictor.load("default", "cuda")


def test_the_shipped_model_loads_and_its_card_says_what_was_measured() -> None:
    if DEFAULT_NAME not in shipped_models():
        pytest.fail(f"no weights in {WEIGHTS_FOLDER}")

    predictor = Predictor.load()

    assert predictor.calibration is not None
    names = {row["name"] for row in predictor.card["results"]["other_sources"]}
    assert {"all", "20-40x", "1-2.5x"} <= names
    estimate = predictor.predict(draw_tissue(224, 224))
    assert estimate.mpp_um is not None
