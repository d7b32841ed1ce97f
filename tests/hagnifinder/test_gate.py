import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hagnifinder.training.density as training
import hagnifinder.training.gate as gate
from hagnifinder.checkpoint import load_weights, save_weights
from hagnifinder.data.slides import read_catalog
from hagnifinder.density import ENLARGEMENT, HE_LOGIT, ScaleDensity
from hagnifinder.errors import DataError, ModelError
from hagnifinder.model import Hagnifinder
from hagnifinder.predict import Predictor, RawAnswer
from hagnifinder.training.density import DensityConfig, train_and_measure
from hagnifinder.training.gate import OtherImage, fit_gate, gate_features, read_others
from tests.hagnifinder.drawn import draw_tissue, write_data_folder

TINY = DensityConfig(
    name="tiny", side_px=64, early_side_px=64, batch=2, head_blocks=1, head_epochs=1, steps=1, hidden=16
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Drawn tissue of three data sets of different folds, and coloured stripes that are none, of three sources."""
    folder = write_data_folder(tmp_path / "data")
    path = folder / "catalog.csv"
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row, name in zip(rows, ("MoNuSeg", "HER2ST", "MoNuSAC") * len(rows), strict=False):
        row["dataset"] = name
    rng = np.random.default_rng(0)
    for number in range(6):
        stripes = np.repeat(rng.integers(0, 255, (1, 40, 3), dtype=np.uint8), 160, axis=0).repeat(4, axis=1)
        Image.fromarray(stripes).save(folder / f"stripes{number}.png")
        rows.append({**dict.fromkeys(rows[0], ""), "path": f"stripes{number}.png", "kind": "plots"})
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [*rows[0], "source"])
        writer.writeheader()
        writer.writerows({**row, "source": f"repository {i % 3}"} for i, row in enumerate(rows))
    return folder


def clouds(n: int, at: float) -> np.ndarray:
    return np.random.default_rng(int(at * 10) + 100).normal(at, 1.0, (n, 8)).astype(np.float16)


def test_the_gate_tells_two_clouds_apart_and_sides_weigh_the_same() -> None:
    layer = fit_gate(clouds(20, 2.0), clouds(400, -2.0))

    with torch.no_grad():
        he, other = (layer(torch.from_numpy(clouds(50, at)).float()) for at in (2.0, -2.0))

    assert float((he > 0).float().mean()) > 0.95
    assert float((other < 0).float().mean()) > 0.95


def test_a_source_is_wholly_in_one_fold() -> None:
    folds = {OtherImage(Path(f"{i}.png"), "plots", "one repository").fold for i in range(20)}

    assert len(folds) == 1
    assert len({OtherImage(Path("a.png"), "plots", f"repository {i}").fold for i in range(40)}) == gate.SOURCE_FOLDS


@pytest.mark.slow
def test_training_with_other_pictures_ends_with_a_gate_that_turns_them_away(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BLOCK", 4)
    monkeypatch.setattr(gate, "_BATCHES", 2)
    others = read_others(data)

    weights, rows = train_and_measure(TINY, read_catalog(data), tmp_path / "run", others=others)

    card = load_weights(weights).card
    assert rows
    assert card["gate"]["others"]["plots"]["pictures"] == 6
    predictor = Predictor.load(str(weights), "cpu")
    stripes = predictor.predict(np.asarray(Image.open(data / "stripes0.png")))
    tissue = predictor.predict(np.asarray(Image.open(data / "train-0.png")))
    assert stripes.he_score is not None and stripes.he_score < 0.4
    assert stripes.abstained and stripes.reason == "not_he"
    assert stripes.mpp_um is not None
    assert tissue.he_score is not None and tissue.he_score > 0.5
    assert tissue.reason != "not_he"


def test_a_gate_needs_other_pictures_a_density_network_and_paths_inside_the_folder(tmp_path: Path, data: Path) -> None:
    paper = tmp_path / "paper.safetensors"
    save_weights(paper, Hagnifinder("resnet18"), {"name": "paper", "backbone": "resnet18", "target": "log2_mpp"})
    with pytest.raises(ModelError, match="only these have a gate"):
        gate_features(paper, [], [], [], tmp_path / "none.npz")
    with pytest.raises(DataError, match="no H&E"):
        gate.add_gate(paper, _nothing(), [_nothing()], [])
    text = (data / "catalog.csv").read_text().replace("stripes0.png", "../stripes0.png")
    (data / "catalog.csv").write_text(text)
    with pytest.raises(DataError, match="must stay in the folder"):
        read_others(data)


def test_what_the_network_never_learnt_is_none_and_an_enlargement_is_never_below_one() -> None:
    rows = np.zeros((2, HE_LOGIT + 1), dtype=np.float32)
    rows[:, ENLARGEMENT] = np.nan
    rows[:, HE_LOGIT] = np.nan
    nothing = RawAnswer.of_densities(rows, [1.0, 1.0], 1.0, "")
    rows[:, ENLARGEMENT] = (0.5, -0.3)
    rows[:, HE_LOGIT] = (2.0, 4.0)
    of_copy = RawAnswer.of_densities(rows, [0.5, 1.0], 1.0, "")
    native = RawAnswer.of_densities(rows, [1.0, 0.5], 1.0, "")

    assert nothing.enlargement is None and nothing.he_logit is None
    assert of_copy.enlargement == 0.0
    assert native.enlargement == pytest.approx(0.5)
    assert native.he_logit == pytest.approx(3.0)


def test_a_picture_of_an_enlarged_field_has_a_coarser_effective_pixel() -> None:
    network = ScaleDensity(hidden=16, enlargement=True)
    predictor = Predictor(network, {"target": "log2_mpp_density", "name": "t"}, "", torch.device("cpu"))

    estimate = predictor.judge(RawAnswer(3, 0.0, 0.1, "", enlargement=0.5))

    assert estimate.mpp_um == 1.0
    assert estimate.effective_mpp_um == pytest.approx(2**0.5, rel=1e-3)
    assert estimate.he_score is None


def _nothing() -> gate.GateFeatures:
    rows, index = np.zeros((0, 8), dtype=np.float16), np.zeros(0, dtype=np.int64)
    return gate.GateFeatures(rows, rows, index, index, rows, index)


def test_tissue_without_a_gate_is_never_turned_away_as_no_tissue() -> None:
    network = ScaleDensity(hidden=16)
    predictor = Predictor(network, {"target": "log2_mpp_density", "name": "t"}, "", torch.device("cpu"))

    assert predictor.predict(draw_tissue(128, 128)).he_score is None
