import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hagnifinder import stream
from hagnifinder.predict import Predictor
from hagnifinder.stream import answer_stream
from tests.hagnifinder.drawn import draw_tissue


@pytest.fixture(scope="module")
def predictor(tiny_weights: Path) -> Predictor:
    return Predictor.load(str(tiny_weights), "cpu")


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def test_names_bytes_and_arrays_get_the_same_answer_and_a_bad_one_costs_only_itself(
    tmp_path: Path, predictor: Predictor
) -> None:
    rgb = draw_tissue(150, 170)
    (tmp_path / "a.png").write_bytes(png(rgb))

    answers = list(answer_stream(predictor, [tmp_path / "a.png", b"<html>", png(rgb), rgb[..., 0], ("mine", rgb)]))

    assert [a.name for a in answers] == [str(tmp_path / "a.png"), "picture 2", "picture 3", "picture 4", "mine"]
    assert [a.error for a in answers if a.error] == [
        "picture 2 is not a picture of a known format.",
        "picture 4 is an array of shape (150, 170) and type uint8, not (H, W, 3) uint8.",
    ]
    assert answers[0].estimate == answers[2].estimate == answers[4].estimate == predictor.predict(rgb)


def test_answers_come_while_the_stream_goes_on(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AT_ONCE", 2)
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros((80, 80, 3), dtype=np.uint8)

    answers = answer_stream(predictor, endless())

    assert next(answers).estimate is not None
    assert asked == 2


def test_large_pictures_are_not_gathered(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "AT_ONCE_PX", 1000)
    held: list[int] = []
    real = predictor.predict_densities

    def spy(pictures):
        held.append(len(pictures))
        return real(pictures)

    monkeypatch.setattr(predictor, "predict_densities", spy)
    list(answer_stream(predictor, [np.zeros((40, 40, 3), dtype=np.uint8)] * 3))

    assert held == [1, 1, 1, 0]


def test_one_predictor_serves_many_threads(predictor: Predictor, capfd: pytest.CaptureFixture[str]) -> None:
    pictures = [draw_tissue(140, 150, nucleus_px=5 + 2 * i, seed=i) for i in range(6)]
    alone = [predictor.predict(p) for p in pictures]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.predict, pictures * 3))

    assert together == alone * 3
    assert capfd.readouterr() == ("", "")
