"""docs/predict.md is run as it stands."""

import re
from pathlib import Path

import pytest
from PIL import Image

from hagnifinder.cli import main
from hagnifinder.commands.predict import CONTRACT
from tests.hagnifinder.drawn import draw_tissue

PAGE = (Path(__file__).parents[2] / "docs" / "predict.md").read_text(encoding="utf-8")


def test_the_examples_of_the_manual_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw_tissue(230, 240)).save("a.png")
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

    names: dict[str, object] = {}
    for example in examples:
        exec(example, names)

    assert len(examples) >= 4
    assert "picture 2 is not a picture of a known format." in capsys.readouterr().out
    assert (tmp_path / "a.scale.png").exists()


def test_the_manual_names_every_option_and_every_field() -> None:
    options = [o for p in main.commands["predict"].params for o in p.opts if o.startswith("--")]

    assert [o for o in options if o not in PAGE and o not in ("--model", "--device")] == []
    assert [field for field in CONTRACT if f"`{field}`" not in PAGE] == []
