from pathlib import Path

from PIL import Image

from hagnifinder.evaluation.speed import compare, plain_twin
from hagnifinder.predict import Predictor
from tests.hagnifinder.drawn import draw_tissue


def test_the_shipped_path_answers_as_the_plain_one_does(tiny_weights: Path, tmp_path: Path) -> None:
    Image.fromarray(draw_tissue(100, 110)).save(tmp_path / "a.png")
    Image.new("RGB", (5, 5)).save(tmp_path / "b.png")
    shipped, plain = Predictor.load(str(tiny_weights), "cpu"), plain_twin(str(tiny_weights))

    found = compare(shipped, plain, [tmp_path / "a.png", tmp_path / "b.png"], rounds=1)

    assert found.largest_d_ln <= 0.01
    assert found.same_verdicts
    assert min(found.shipped_s, found.plain_s, found.decode_s, found.ratio) > 0


def test_a_path_that_answers_otherwise_is_found_out(tiny_weights: Path, tmp_path: Path) -> None:
    import torch

    Image.fromarray(draw_tissue(100, 110)).save(tmp_path / "a.png")
    shipped, other = Predictor.load(str(tiny_weights), "cpu"), plain_twin(str(tiny_weights))
    with torch.no_grad():
        for parameter in list(other._network.parameters())[-2:]:
            parameter.add_(0.1)

    assert compare(shipped, other, [tmp_path / "a.png"], rounds=1).largest_d_ln > 0.01
