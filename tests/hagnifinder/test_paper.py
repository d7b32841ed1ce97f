"""The paper's tables and figures from stored runs of drawn tissue."""

import csv
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from hagnifinder.cli import main
from hagnifinder.evaluation.paper_figures import EXAMPLE
from hagnifinder.evaluation.paper_tables import where
from tests.hagnifinder.test_systems import write_built


def hagnifinder(*words: object) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A built set and runs of one system under P1, P2 and P4."""
    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("paper")
    data, runs = write_built(folder / "data"), folder / "runs"
    for split, protocols in (("P1", ["P1"]), ("P2", ["P2", "P4"])):
        out = runs / f"lbp-{split}"
        hagnifinder("train", "zaveri-lbp", data, "--out", out, "--protocol", split, "--samples", 32, "--batch", 16,
                    "--threads", 1)  # fmt: skip
        for protocol in protocols:
            hagnifinder("evaluate", out / "zaveri-lbp.safetensors", data, "--protocol", protocol, "--out",
                        out / protocol, "--most", 6, *(["--controls"] if protocol == "P2" else []))  # fmt: skip
    torch.set_num_threads(before)
    return data, runs


@pytest.mark.slow
def test_one_command_writes_tables_figures_and_a_page(material: tuple[Path, Path], tmp_path: Path) -> None:
    data, runs = material

    hagnifinder("paper", runs, "--data", data, "--out", tmp_path, "--machine", "a <drawn> machine")

    pictures = {p.stem for p in tmp_path.glob("*.png")}
    assert pictures == {"curve", "fig3", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10a", "fig10b"}
    for name in pictures:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
    with (tmp_path / "table3_breakhis.csv").open(newline="") as lines:
        breakhis = list(csv.DictReader(lines))
    assert {row["40x ours"] for row in breakhis} == {"data not available"}
    assert [row["40x paper"] for row in breakhis] == ["84.13%", "96.56%", "96.92%"]
    with (tmp_path / "systems.csv").open(newline="") as lines:
        systems = list(csv.DictReader(lines))
    assert {row["protocol"] for row in systems} == {"P1", "P2", "P4"}
    assert {row["patches"] for row in systems} == {"6"}
    assert "control: power spectrum" in {row["system"] for row in systems}
    with (tmp_path / "p1_beside_p2.csv").open(newline="") as lines:
        assert [row["crops seen"] for row in csv.DictReader(lines)] == ["32"]
    page = (tmp_path / "index.html").read_text()
    assert "a &lt;drawn&gt; machine" in page and "<drawn>" not in page
    assert page.count("data:image/png;base64") == len(pictures)
    assert "http://" not in page and "https://" not in page
    assert "P1 less P2" in (tmp_path / "paper.md").read_text()


@pytest.mark.slow
def test_a_damaged_result_is_named_and_costs_only_itself(material: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    runs = tmp_path / "runs"
    shutil.copytree(material[1], runs)
    (runs / "lbp-P1/P1/answers.csv").write_text("path,level_x\nx,=1+1\n")

    output = hagnifinder("paper", runs, "--out", tmp_path / "out")

    assert "lbp-P1/P1 cannot be read and is left out." in output
    assert not (tmp_path / "out/fig5.png").exists()
    assert (tmp_path / "out/fig9.png").exists()


@pytest.mark.slow
def test_runs_of_two_data_sets_and_no_runs_are_refused(material: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    runs = tmp_path / "runs"
    shutil.copytree(material[1], runs)
    path = runs / "lbp-P1/P1/results.json"
    result = json.loads(path.read_text())
    result["card"]["manifest_sha256"] = "another"
    path.write_text(json.dumps(result))
    (tmp_path / "none").mkdir()

    two = CliRunner().invoke(main, ["paper", str(runs), "--out", str(tmp_path / "out")])
    none = CliRunner().invoke(main, ["paper", str(tmp_path / "none"), "--out", str(tmp_path / "out")])

    assert (two.exit_code, none.exit_code) == (2, 2)
    assert "several data sets" in two.output
    assert "holds no run" in none.output


def test_nothing_is_claimed_far_beyond_what_was_seen() -> None:
    assert "fewer than three" in where([(100, 0.1), (200, 0.2)], 0.9)
    assert "does not rise" in where([(100, 0.3), (200, 0.2), (400, 0.1)], 0.9)
    assert "beyond ten times" in where([(100, 0.10), (200, 0.11), (400, 0.12)], 0.99)
    assert where([(100, 0.5), (200, 0.6), (400, 0.6923)], 0.771) == "about 797 crops, by a line through the logits"


def test_the_published_example_gives_the_true_values_of_figure_3() -> None:
    from hagnifinder.model import AdaptiveScaling

    x = torch.tensor(EXAMPLE)

    assert [round(v, 2) for v in torch.tanh(x).tolist()] == [-0.76, 0.76, -0.96, 0.96, 1.0]
    small = torch.tanh(AdaptiveScaling(unbiased=False)(x))[:4]
    assert float(small.abs().max()) < 0.025  # scaling presses the small values together instead of spreading them
