"""The page docs/own-snapshots.md, followed word by word on drawn pictures."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from hagnifinder.cli import main as hagnifinder
from harvester.catalog import Catalog
from harvester.cli import main as harvester
from tests.hagnifinder.drawn import draw_tissue

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own-snapshots.md"
PROGRAMS = {"hagnifinder": hagnifinder, "harvester": harvester}


@pytest.mark.slow
def test_the_page_is_followed_word_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    for number, name in enumerate(("a1", "a2", "b1")):
        Image.fromarray(draw_tissue(260, 260, seed=number)).save(f"scans/{name}.png")
    blocks = re.findall(r"```(sh|csv)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for kind, text in blocks:
        if kind == "csv":
            Path("labels.csv").write_text(text)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line)
            result = CliRunner().invoke(PROGRAMS[program], arguments, catch_exceptions=False)
            assert result.exit_code == 0, f"{line}\n{result.output}"

    together = {row["path"]: row for row in csv.DictReader(Path("together.csv").read_text().splitlines())}
    assert together["scans/a1.png"]["mpp_um"] == "0.5"
    assert Path("mpp.csv").read_text().splitlines()[:2] == ["wsi,mpp", "a1.png,0.5"]
    assert "'a1.png': 0.5d" in Path("set_pixel_size.groovy").read_text()
    assert Path("ome/a1.ome.tif").is_file()
    assert Path("seen/a1.scale.png").is_file()
    with Catalog.open(Path("mine")) as catalog:
        rows = catalog.rows("select title, group_name, licence_code from article order by title")
    assert [r["group_name"] for r in rows] == ["case 1", "case 1", "case 2"]
    assert {r["licence_code"] for r in rows} == {"own"}
