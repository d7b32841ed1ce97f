"""What a file says of its own scale stands beside the estimate, and whole slides are read piece by piece."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from hagnifinder.cli import main
from hagnifinder.read import read_picture
from tests.hagnifinder.drawn import draw_tissue
from tests.hagnifinder.drawn_slides import draw_slide, write_slide


def run(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def write_ome(path: Path, mpp_um: float | None) -> None:
    metadata = {"axes": "YXS"} | ({} if mpp_um is None else {"PhysicalSizeX": mpp_um, "PhysicalSizeXUnit": "µm"})
    tifffile.imwrite(path, draw_tissue(260, 270), photometric="rgb", ome=True, metadata=metadata)


def rows(stdout: str) -> dict[str, dict]:
    return {Path(row["path"]).name: row for row in map(json.loads, stdout.splitlines())}


def test_a_file_that_disagrees_is_named_and_its_number_changes_no_estimate(tmp_path: Path, tiny_weights: Path) -> None:
    write_ome(tmp_path / "silent.tif", None)
    silent = rows(run("predict", tmp_path, "--json", "--model", tiny_weights).stdout)["silent.tif"]
    write_ome(tmp_path / "right.tif", silent["mpp_um"])
    write_ome(tmp_path / "wrong.tif", silent["mpp_hi_um"] * 1.1)

    result = run("predict", tmp_path, "--json", "--model", tiny_weights, "--csv", tmp_path / "scale.csv")
    table = run("predict", tmp_path, "--model", tiny_weights).stdout

    found = rows(result.stdout)
    assert {row["mpp_um"] for row in found.values()} == {silent["mpp_um"]}
    assert {name: row["file_agrees"] for name, row in found.items()} == {
        "silent.tif": None,
        "right.tif": True,
        "wrong.tif": False,
    }
    assert "wrong.tif: the file says" in result.stderr
    assert "right.tif" not in result.stderr
    assert result.stderr.count("the file says") == 1
    written = {Path(row["path"]).name: row for row in csv.DictReader((tmp_path / "scale.csv").read_text().splitlines())}
    assert float(written["right.tif"]["file_mpp_um"]) == silent["mpp_um"]
    assert written["silent.tif"]["file_mpp_um"] == ""
    assert [line for line in table.splitlines() if " ! " in line and "wrong.tif" in line]


def test_a_slide_answers_with_its_own_metadata_beside_the_estimate(tmp_path: Path, tiny_weights: Path) -> None:
    write_slide(tmp_path / "slide.svs", draw_slide(1600, 1200), mpp_um=0.25)

    result = run(
        "predict",
        tmp_path,
        "--json",
        "--model",
        tiny_weights,
        "--write-ome",
        tmp_path / "o",
        "--overlay",
        tmp_path / "v",
    )

    row = rows(result.stdout)["slide.svs"]
    assert (row["width_px"], row["height_px"], row["whole_slide"]) == (1600, 1200, True)
    assert (row["file_mpp_um"], row["file_objective_x"]) == (0.25, 40.0)
    assert "slide.svs is a whole slide: no OME-TIFF copy" in result.stderr
    assert (tmp_path / "v" / "slide.scale.png").is_file()


def test_printers_numbers_of_a_tiled_tiff_are_no_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hagnifinder.read.WHOLE_PX", 1000)
    pixels = draw_slide(800, 700)
    write_slide(tmp_path / "a.tif", pixels, mpp_um=None, levels=1, resolution=(72, 72), resolutionunit="INCH")

    picture = read_picture(str(tmp_path / "a.tif"))

    assert picture.is_slide
    assert picture.file_size is None


def test_a_slide_cut_short_costs_one_sentence(tmp_path: Path, tiny_weights: Path) -> None:
    whole = write_slide(tmp_path / "a.svs", draw_slide(900, 800)).read_bytes()
    (tmp_path / "a.svs").write_bytes(whole[: len(whole) // 3])

    result = run("predict", tmp_path / "a.svs", "--json", "--model", tiny_weights)

    assert result.exit_code == 2
    # one reader finds out when opening, another when reading
    assert "a.svs is damaged or cut short." in result.stderr or "a.svs cannot be read as a slide" in result.stderr
    assert "Traceback" not in result.stderr


MEASURE = """
import resource, sys
from hagnifinder.read import read_picture
picture = read_picture(sys.argv[1])
print(picture.width_px, len(picture.fields), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 4])
def test_memory_does_not_grow_with_the_slide(tmp_path: Path, levels: int) -> None:
    tile = draw_tissue(256, 256)
    spent = {}
    for side in (8192, 20_480):
        path = tmp_path / f"{side}.tif"
        with tifffile.TiffWriter(path, bigtiff=True) as file:
            for level in range(levels):
                n = side >> level
                file.write(
                    (tile for _ in range((n // 256) ** 2)),
                    shape=(n, n, 3),
                    dtype=np.uint8,
                    tile=(256, 256),
                    photometric="rgb",
                    compression="jpeg",
                    subfiletype=int(level > 0),
                    metadata=None,
                )
        out = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
        width, n_fields, spent_mib = map(int, out.stdout.split())
        assert (width, n_fields) == (side, 9)
        spent[side] = spent_mib
        path.unlink()

    # the larger one is 1,200 MiB of pixels
    assert spent[20_480] < spent[8192] + 100
