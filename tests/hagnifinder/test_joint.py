"""Pictures of one camera judged together: pure parts on made densities, the command on drawn pictures."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hagnifinder.cli import main
from hagnifinder.commands.results import QuPathScript, _groovy
from hagnifinder.density import BINS, gaussian_density
from hagnifinder.joint import FIT, joint_estimate, solve
from hagnifinder.predict import Estimate
from tests.hagnifinder.drawn import draw_tissue

SINGLE = Estimate(0.5, 0.3, 0.8, 20.0, 12.5, 33.3, True, "windows_disagree", 3)


def folder_of(camera_um: float, objectives: list[float], off: list[float], deviation: float = 0.35):
    centres = [math.log2(camera_um / x) + d for x, d in zip(objectives, off, strict=True)]
    return [gaussian_density(c, deviation) for c in centres]


def test_errors_of_single_pictures_shrink_when_the_folder_is_judged_together() -> None:
    objectives = [4.0, 4.0, 10.0, 10.0, 40.0, 40.0]
    off = [0.15, -0.15, 0.12, -0.12, 0.15, -0.1]

    camera, answers = solve(folder_of(10.0, objectives, off, 0.15), {}, FIT)

    errors = [abs(a.centre - math.log2(10.0 / x)) for a, x in zip(answers, objectives, strict=True)]
    assert np.mean(errors) < 0.6 * np.mean(np.abs(off))
    assert camera is not None
    assert camera.camera_lo_um <= camera.camera_um <= camera.camera_hi_um


def test_a_known_picture_fixes_the_camera_and_itself() -> None:
    objectives = [10.0, 20.0, 40.0]
    densities = folder_of(9.0, objectives, [0.3, 0.3, 0.3], 0.25)

    camera, answers = solve(densities, {1: 0.45}, FIT)

    assert camera is not None
    assert 2.0 ** answers[1].centre == pytest.approx(0.45)
    assert answers[1].is_known
    for i in (0, 2):
        assert abs(answers[i].centre - math.log2(9.0 / objectives[i])) < 0.15
        assert answers[i].objective_x is not None


def test_a_picture_of_another_camera_is_named_and_spoils_nothing() -> None:
    objectives = [10.0, 10.0, 10.0, 10.0, 10.0, 10.0]
    densities = folder_of(10.0, objectives, [0.0] * 6, 0.06)
    # Half-way between the teeth of 4x and 10x.
    densities.append(gaussian_density(math.log2(10.0 / 6.3), 0.06))
    answers = solve(densities, {0: 1.0}, FIT)[1]

    assert answers[6].centre is None
    assert answers[6].objective_x is None
    assert all(abs(a.centre) < 0.05 for a in answers[:6])
    assert joint_estimate(SINGLE, answers[6], FIT, is_anchored=True) is SINGLE


def test_pictures_without_a_say_and_folders_without_any() -> None:
    assert solve([], {}, FIT) == (None, [])
    assert solve([None], {}, FIT)[0] is None
    camera, answers = solve([None, gaussian_density(-1.0, 0.2)], {}, FIT)
    assert camera is not None
    assert answers[0].centre is None
    assert abs(answers[1].centre + 1.0) < 0.2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3.3, 4.0), st.floats(0.01, 2.0)), min_size=1, max_size=8),
    st.floats(0.01, 100.0),
    st.booleans(),
)
def test_any_folder_gets_finite_answers_whatever_the_order(pictures, known, is_known) -> None:
    densities = [gaussian_density(c, d) for c, d in pictures]
    anchors = {0: known} if is_known else {}
    _, answers = solve(densities, anchors, FIT)
    assert len(answers) == len(densities)
    for answer in answers:
        estimate = joint_estimate(SINGLE, answer, FIT, is_anchored=is_known)
        assert estimate.mpp_lo_um <= estimate.mpp_um <= estimate.mpp_hi_um
        assert estimate.magnification_lo_x <= estimate.magnification_x <= estimate.magnification_hi_x
    last = {len(densities) - 1: known} if is_known else {}
    turned = solve(densities[::-1], last, FIT)[1][::-1]
    for one, other in zip(answers, turned, strict=True):
        assert (one.centre is None) == (other.centre is None)
        assert one.centre is None or abs(one.centre - other.centre) < 1e-6


def test_a_gaussian_density_is_one_even_for_odd_numbers() -> None:
    for centre, deviation in ((50.0, 0.0), (-50.0, 1e-9), (0.0, 1e9)):
        density = gaussian_density(centre, deviation)
        assert density.shape == (BINS,)
        assert density.sum() == pytest.approx(1.0)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, nucleus_px in (("a", 24.0), ("b", 12.0), ("it's ${x}", 6.0)):
        Image.fromarray(draw_tissue(240, 250, nucleus_px=nucleus_px)).save(folder / f"{name}.png")
    Image.new("RGB", (300, 300), "white").save(folder / "white.png")
    return folder


def run(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.parametrize("model", ["drawn", "small"])
def test_the_folder_is_judged_as_one_camera_by_any_model(scans: Path, tiny_weights: Path, model: str) -> None:
    (scans / "broken.png").write_bytes(b"no picture")
    weights = tiny_weights if model == "drawn" else model
    result = run("predict", scans, "--same-camera", "--known", f"{scans}/a.png=0.25", "--model", weights, "--json")

    assert result.exit_code == 0
    rows = {Path(r["path"]).name: r for r in map(json.loads, result.stdout.splitlines())}
    assert list(rows) == ["a.png", "b.png", "it's ${x}.png", "white.png"]
    assert rows["a.png"]["known"] is True
    assert rows["a.png"]["mpp_um"] == 0.25
    assert rows["white.png"]["joint"] is False
    assert "white.png has no say" in result.stderr
    assert "broken.png is not a picture" in result.stderr
    assert "µm/px at 1x" in result.stderr
    for row in rows.values():
        if row["joint"]:
            assert row["mpp_lo_um"] <= row["mpp_um"] <= row["mpp_hi_um"]
            assert "single_mpp_um" in row
            assert row["cluster_x"] in (4, 10, 20, 40, 60, 100)


def test_known_pictures_are_checked(scans: Path, tiny_weights: Path) -> None:
    for known, words in (("a.png", "is not FILE=MPP"), ("a.png=-1", "is not FILE=MPP"), ("z.png=1", "no such picture")):
        result = run("predict", scans, "--same-camera", "--known", known, "--model", tiny_weights)
        assert result.exit_code == 2
        assert words in result.stderr
    assert run("predict", scans, "--known", "a.png=1", "--model", tiny_weights).exit_code == 2


def test_results_go_where_they_are_needed(scans: Path, tiny_weights: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe, born 1950"
    Image.fromarray(draw_tissue(240, 250)).save(scans / "a.png", exif=exif)
    table, script, ome = tmp_path / "mpp.csv", tmp_path / "set.groovy", tmp_path / "ome"

    result = run(
        *("predict", scans, "--same-camera", "--known", "a.png=0.25", "--model", tiny_weights),
        *("--csv", table, "--csv-layout", "wsi-mpp", "--qupath-script", script, "--write-ome", ome),
        *("--overlay", tmp_path / "seen"),
    )

    assert result.exit_code == 0
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["wsi", "mpp"]
    assert rows[0] == {"wsi": "a.png", "mpp": "0.25"}
    assert "white.png" not in {row["wsi"] for row in rows}
    assert "    'a.png': 0.25d," in script.read_text()
    assert "'it\\'s ${x}.png'" in script.read_text()
    with tifffile.TiffFile(ome / "a.ome.tif") as tiff:
        assert 'PhysicalSizeX="0.25"' in tiff.ome_metadata
        assert 'PhysicalSizeY="0.25"' in tiff.ome_metadata
        np.testing.assert_array_equal(tiff.asarray(), np.asarray(Image.open(scans / "a.png")))
    assert b"Jane" not in (ome / "a.ome.tif").read_bytes()
    assert sorted(p.name for p in (tmp_path / "seen").iterdir())[0] == "a.scale.png"


@given(st.text())
def test_no_name_ends_the_string_of_a_script(name: str) -> None:
    literal = _groovy(name)
    assert literal.isascii()
    assert literal.isprintable()
    assert re.fullmatch(r"'(?:[^'\\]|\\[bfnrt'\\]|\\u[0-9a-f]{4})*'", literal)


def test_two_pictures_of_one_name_and_two_sizes_are_left_out_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "a.groovy"
    script = QuPathScript(path.open("w"))
    for folder, um in (("x", 0.5), ("y", 0.25)):
        script.write({"path": f"{folder}/a.png", "mpp_um": um, "abstained": False})
    assert script.close() == ["a.png"]
    assert "a.png" not in path.read_text()


def test_the_wide_layout_needs_a_file(scans: Path, tiny_weights: Path) -> None:
    assert run("predict", scans, "--csv-layout", "wsi-mpp", "--model", tiny_weights).exit_code == 2
