"""The page docs/training-tiles.md, followed word by word against a stand-in of the services."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from harvester.cli import main
from harvester.demo.articles import draw_articles
from harvester.demo.plan import PLAN
from harvester.demo.run import environment
from harvester.demo.server import StandIn
from tests.test_monthly_harvest import lines_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training-tiles.md"


@pytest.mark.slow
def test_the_page_is_followed_word_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    served = [a.served for a in draw_articles(plan=(PLAN[4], PLAN[5], PLAN[13])) if a.served.pdf]
    with StandIn(served) as server, environment(server.environment()):
        for line in lines_of(PAGE):
            program, *arguments = shlex.split(line)
            assert program == "harvester"
            result = CliRunner().invoke(main, arguments, catch_exceptions=False)
            print(line, result.output)
            assert result.exit_code == 0, f"{line}\n{result.output}"

    for folder in ("data/tiles", "data/tiles-strict"):
        rows = list(csv.DictReader((Path(folder) / "manifest.csv").read_text(encoding="utf-8").splitlines()))
        assert rows
        tiles = list(Path(folder).rglob("*.png"))
        assert tiles
        for tile in tiles:
            with Image.open(tile) as image:
                assert image.size == (128, 128)
