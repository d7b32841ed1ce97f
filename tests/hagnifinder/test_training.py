import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hagnifinder.checkpoint import load_weights
from hagnifinder.data.augment import augment
from hagnifinder.data.loader import CropSampler, Pyramid
from hagnifinder.data.slides import read_catalog
from hagnifinder.errors import DataError, ModelError
from hagnifinder.training.config import Phase, TrainConfig
from hagnifinder.training.losses import TARGETS, decode, encode
from hagnifinder.training.train import learning_rate, train
from tests.hagnifinder.drawn import draw_tissue, write_data_folder

TINY = TrainConfig(
    name="tiny", round1=(Phase(1, 64, 2), Phase(1, 96, 2)), round2=(Phase(1, 64, 2),), factor_batches=1, warmup_steps=1
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_folder(tmp_path_factory.mktemp("data"))


def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(tmp_path: Path, data: Path) -> None:
    images = read_catalog(data)

    straight = train(TINY, images, tmp_path / "straight")
    train(TINY, images, tmp_path / "stopped", steps=1)
    resumed = train(TINY, images, tmp_path / "stopped", resume=True)

    assert straight.read_bytes() == resumed.read_bytes()
    card = load_weights(straight).card
    assert card["steps_done"] == 3
    assert card["training_data"]["patients"] == 2


def test_a_folder_with_a_run_is_not_overwritten_nor_mixed_with_another_recipe(tmp_path: Path, data: Path) -> None:
    images = read_catalog(data)
    train(TINY, images, tmp_path, steps=1)

    with pytest.raises(DataError, match="--resume"):
        train(TINY, images, tmp_path, steps=1)
    with pytest.raises(DataError, match="another recipe"):
        train(TrainConfig(name="tiny", seed=2, round1=TINY.round1), images, tmp_path, resume=True)
    (tmp_path / "state.pt").write_bytes(b"half a file")
    with pytest.raises(ModelError, match="not the state"):
        train(TINY, images, tmp_path, resume=True)


def test_a_batch_is_the_same_on_every_call_and_covers_the_range(data: Path) -> None:
    pyramids = [p for p in map(Pyramid.of, read_catalog(data)) if p is not None]
    sampler = CropSampler(pyramids, seed=5)

    batch = sampler.batch(7, 6, 64)
    again = CropSampler(pyramids, seed=5).batch(7, 6, 64)

    assert np.array_equal(batch.crops, again.crops)
    assert np.array_equal(batch.log2_mpp, again.log2_mpp)
    assert not np.array_equal(batch.crops, sampler.batch(8, 6, 64).crops)
    # Detail is never finer than the pictures': an enlargement lowers the pixel size alone.
    assert (batch.log2_mpp + batch.log2_enlargement).min() >= np.log2(0.3) - 1e-6
    assert np.ptp(batch.log2_mpp) > 1.0


def test_a_crop_of_a_known_picture_has_the_scale_its_label_says() -> None:
    # A ramp along x: the slope of a crop, in grey levels per pixel, is the slope of the source times the shrinking.
    ramp = np.tile(np.linspace(0, 250, 1001), (1001, 1))
    source = np.stack([ramp, 0.5 * ramp, 0.9 * ramp], axis=2).astype(np.uint8)
    levels = (source, source[::2, ::2])
    pyramid = Pyramid(levels, np.ones((64, 64), np.float32), 0.5, "g", "d")
    sampler = CropSampler([pyramid])
    rng = np.random.default_rng(0)

    for wanted_um in (0.5, 0.8, 1.7, 3.0):
        crop, mpp_um, _ = sampler._cut(pyramid, wanted_um, 100, rng)
        slope = np.polyfit(np.arange(100), crop[..., 0].mean(axis=0), 1)[0]
        assert slope * 4 == pytest.approx(mpp_um / 0.5, rel=0.03)
        assert mpp_um == pytest.approx(wanted_um, rel=0.03)


def test_augmenting_keeps_the_size_and_changes_the_look() -> None:
    crop = draw_tissue(64, 64)
    rng = np.random.default_rng(0)

    looks = [augment(crop, rng) for _ in range(20)]

    assert all(look.shape == crop.shape and look.dtype == np.uint8 for look in looks)
    assert len({look.tobytes() for look in looks}) == 20


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_network_is_asked_for_can_be_read_back(target: str) -> None:
    log2_mpp = np.linspace(-2, 2.5, 10, dtype=np.float32)

    assert np.allclose(decode(encode(log2_mpp, target), target), log2_mpp, atol=1e-5)
    assert np.isfinite(decode(np.array([-5.0, 0.0], np.float32), target)).all()


def test_the_rate_warms_up_and_falls_in_each_round() -> None:
    config = TrainConfig()
    rates = [learning_rate(config, step) for step in range(config.total_steps)]

    assert rates[0] < config.peak_rate / 5
    assert max(rates) == pytest.approx(config.peak_rate)
    assert rates[config.round1_steps - 1] < config.peak_rate / 10
    assert max(rates[config.round1_steps :]) == pytest.approx(config.round2_rate)


def test_a_recipe_survives_json_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert TrainConfig.from_dict(json.loads(json.dumps(TINY.as_dict()))) == TINY
    toml = tmp_path / "mine.toml"
    toml.write_text('name = "mine"\nround1 = [[5, 64, 4]]\n')
    assert TrainConfig.load(str(toml)).round1 == (Phase(5, 64, 4),)

    for text, says in (
        ("speed = 3", "unknown settings"),
        ("round1 = [[5]]", "cannot be read"),
        ('target = "nm"', "target is"),
        ("round1 = [[0, 64, 4]]", "at least one step"),
        ("= 3", "nor a readable TOML"),
    ):
        toml.write_text(text)
        with pytest.raises(DataError, match=says):
            TrainConfig.load(str(toml))
    with pytest.raises(DataError, match="neither a recipe"):
        TrainConfig.load("no such thing")
