import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from hagnifinder.cli import main
from tests.hagnifinder.drawn import draw_tissue, write_data_folder

FIELDS = [
    "path",
    "width_px",
    "height_px",
    "mpp_um",
    "magnification_x",
    "magnification_lo_x",
    "magnification_hi_x",
    "abstained",
    "reason",
    "model",
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(draw_tissue(240, 250)).save(folder / "a 'quoted' \n name 🔬.png")
    Image.new("RGB", (1, 1)).save(folder / "deeper" / "one.png")
    (folder / "page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "notes.txt").write_text("no picture")
    return folder


def run(*arguments: object, stdin: bytes | None = None):
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin, catch_exceptions=False)


def test_json_lines_hold_the_fields_of_the_contract_and_one_bad_file_harms_no_other(
    pictures: Path, tiny_weights: Path
) -> None:
    result = run("predict", pictures, "--json", "--model", tiny_weights, "--device", "cpu")

    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [Path(row["path"]).name for row in rows] == ["a 'quoted' \n name 🔬.png", "one.png"]
    assert list(rows[0])[: len(FIELDS)] == FIELDS
    assert (rows[0]["width_px"], rows[0]["height_px"]) == (250, 240)
    assert rows[0]["magnification_lo_x"] <= rows[0]["magnification_x"] <= rows[0]["magnification_hi_x"]
    assert rows[1]["abstained"] is True
    assert rows[1]["reason"] == "too_small"
    assert rows[1]["mpp_um"] is None
    assert "page.jpg is not a picture" in result.stderr
    assert "Traceback" not in result.stderr


def test_people_get_a_table_and_a_csv_when_asked(pictures: Path, tiny_weights: Path, tmp_path: Path) -> None:
    table = tmp_path / "scale.csv"

    result = run("predict", pictures / "deeper", "--model", tiny_weights, "--csv", table)

    assert "one.png  (no answer: too small)" in result.stdout
    assert table.read_text().startswith("path,width_px,")


def test_nothing_readable_exits_2_with_a_sentence(tmp_path: Path, tiny_weights: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")

    result = run("predict", tmp_path / "empty.png", tmp_path / "absent.png", "--model", tiny_weights)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "empty.png is empty." in result.stderr
    assert "absent.png does not exist." in result.stderr


def test_a_picture_may_come_through_a_pipe(tiny_weights: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(draw_tissue(120, 130)).save(file, "PNG")

    result = run("predict", "-", "--json", "--model", tiny_weights, stdin=file.getvalue())
    nothing = run("predict", "-", "--model", tiny_weights, stdin=b"")

    assert json.loads(result.stdout)["path"] == "-"
    assert nothing.exit_code == 2
    assert nothing.stderr.startswith("standard input is empty.\n")


def test_names_may_come_through_a_pipe_or_a_file_and_patterns_quoted(
    pictures: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    names = f"{pictures}/deeper/*.png\n{pictures}/absent.png\n".encode()
    (tmp_path / "names.txt").write_bytes(names)

    piped = run("predict", "--files-from", "-", "--json", "--model", tiny_weights, stdin=names)
    listed = run("predict", "--files-from", tmp_path / "names.txt", "--json", "--model", tiny_weights)

    assert piped.stdout == listed.stdout
    assert Path(json.loads(piped.stdout)["path"]).name == "one.png"
    assert "absent.png does not exist." in piped.stderr
    assert piped.exit_code == 0


def test_standard_input_can_be_read_once_and_something_must_be_named(tiny_weights: Path) -> None:
    assert run("predict", "-", "--files-from", "-", "--model", tiny_weights).exit_code == 2
    assert run("predict", "--model", tiny_weights).exit_code == 2


def test_overlays_lie_in_the_folder_and_none_replaces_another(tiny_weights: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(draw_tissue(90, 100)).save(tmp_path / name / "same.png")

    result = run("predict", tmp_path / "a", tmp_path / "b", "--overlay", tmp_path / "seen", "--model", tiny_weights)

    assert result.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "seen").iterdir()) == ["same-2.scale.png", "same.scale.png"]
    with Image.open(tmp_path / "seen" / "same.scale.png") as drawn:
        assert drawn.size[0] >= 360


def test_a_table_that_cannot_be_opened_stops_before_the_work(pictures: Path, tiny_weights: Path) -> None:
    result = run("predict", pictures, "--csv", "/nowhere/at/all.csv", "--model", tiny_weights)

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_a_name_cannot_speak_to_the_terminal(tmp_path: Path, tiny_weights: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "x\x1b[2J\n.png")

    result = run("predict", tmp_path, "--model", tiny_weights)

    assert "\x1b" not in result.stdout
    assert "x\\x1b[2J\\n.png" in result.stdout


def test_a_model_file_that_is_no_model_exits_2_with_one_sentence(pictures: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.safetensors"
    fake.write_text("hello")

    result = run("predict", pictures, "--model", fake)

    assert result.exit_code == 2
    assert result.stderr.strip().splitlines() == [f"{fake} is not a Hagnifinder model."]


def test_a_protocol_of_built_sets_needs_one(tmp_path: Path) -> None:
    result = run("evaluate", "default", tmp_path, "--protocol", "P4")
    assert result.exit_code == 2
    assert "needs what hagnifinder build wrote" in result.stderr


def test_training_needs_a_catalog_and_a_recipe(tmp_path: Path) -> None:
    no_catalog = run("train", "hagnifinder-r18", tmp_path, "--out", tmp_path / "run")
    no_recipe = run("train", "resnet9000", write_data_folder(tmp_path / "data", per_side=1), "--out", tmp_path / "run")

    assert (no_catalog.exit_code, no_recipe.exit_code) == (2, 2)
    assert "needs a catalog.csv" in no_catalog.stderr
    assert "neither a recipe" in no_recipe.stderr


@pytest.mark.slow
def test_train_then_evaluate_from_the_command_line(tmp_path: Path) -> None:
    data = write_data_folder(tmp_path / "data", per_side=1)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text('name = "tiny"\nround1 = [[1, 64, 2]]\nround2 = [[1, 64, 2]]\nfactor_batches = 1\n')

    trained = run("train", recipe, data, "--out", tmp_path / "run", "--threads", 1)
    measured = run("evaluate", tmp_path / "run" / "tiny.safetensors", data, "--out", tmp_path / "results")

    assert trained.exit_code == 0
    assert "| all |" in trained.stdout
    assert measured.exit_code == 0
    assert (tmp_path / "results" / "results.md").read_text() == measured.stdout
    assert trained.stdout.splitlines()[2:] == measured.stdout.splitlines()[2:]


def test_models_lists_what_is_shipped_with_its_measured_accuracy() -> None:
    result = run("models")

    assert result.exit_code == 0
    assert {"small", "base", "hagnifinder-r50"} <= set(result.stdout.split())
    assert "unseen patients" in result.stdout
    assert "patients of unseen data sets" in result.stdout


def test_every_help_has_a_command_to_copy() -> None:
    for name in main.commands:
        assert f"hagnifinder {name}" in run(name, "--help").stdout.split("Options:")[0].split("\n", 2)[2]


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    check = "import sys, hagnifinder.cli; sys.exit(any(m in sys.modules for m in ('torch', 'cv2', 'numpy', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.slow
def test_predicting_opens_no_socket(pictures: Path, tiny_weights: Path) -> None:
    guard = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from hagnifinder.cli import main; main()"
    )
    command = [sys.executable, "-c", guard, "predict", str(pictures), "--json", "--model", str(tiny_weights)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
