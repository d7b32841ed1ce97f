"""The commands of docs/training.md for the paper's data, run on drawn slides: killed once, resumed, the same bytes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hagnifinder.cli import main
from hagnifinder.data.splits import Split, split_of
from tests.hagnifinder.drawn_slides import draw_slide, write_slide

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## The paper's own data")[1].split("\n## ")[0]
COMMANDS = [shlex.split(line)[1:] for line in SECTION.splitlines() if line.startswith("    hagnifinder ")]
SMALLER = ["--samples", "12", "--batch", "2", "--threads", "1"]


def patients(side: Split, n: int) -> list[str]:
    names = (f"TCGA-DR-{i:04d}" for i in range(10_000))
    return [name for name in names if split_of(name) is side][:n] if n else []


def start(words: list[str], cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "hagnifinder", *words]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def run(words: list[str], cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cwd)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output + str(result.exception)


def small(words: list[str]) -> list[str]:
    """The same command for drawn slides: fewer crops, ResNet18, the processor."""
    words = [w.replace("hagnifinder-r50", "hagnifinder-r18").replace("cuda", "cpu") for w in words]
    words = ["1" if before in ("--workers", "--loaders") else w for before, w in zip(["", *words], words, strict=False)]
    return [*words, *SMALLER] if words[0] == "train" else words


def write_list(path: Path, names: list[str]) -> None:
    cases = [
        {
            "file_id": f"{i:08d}-0000-0000-0000-000000000000",
            "file_name": f"{name}-01Z-00-DX1.svs",
            "md5sum": "0" * 32,
            "file_size": 1000,
            "experimental_strategy": "Diagnostic Slide",
            "cases": [{"submitter_id": name, "project": {"project_id": "TCGA-BRCA"}}],
        }
        for i, name in enumerate(names)
    ]
    path.write_text(json.dumps({"data": {"hits": cases}}))


@pytest.mark.slow
def test_the_page_s_commands_run_on_drawn_slides_killed_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for side in Split for name in patients(side, 2)]
    write_list(tmp_path / "files.json", names)
    for i, name in enumerate(names):
        pixels = draw_slide(800, 660, mpp_um=1.0, seed=i)
        write_slide(tmp_path / "slides" / f"{name}-01Z-00-DX1.svs", pixels, mpp_um=1.0, objective_x=10)
    assert [words[0] for words in COMMANDS].count("train") == 2

    run([*COMMANDS[0], "--slides", str(len(names)), "--projects", "1"], tmp_path, monkeypatch)
    for words in COMMANDS[1:]:
        if words[0] == "train" and "P2" in words:
            kill_in_the_middle(small(words), tmp_path)
            run([*small(words), "--resume"], tmp_path, monkeypatch)
            undisturbed = [w.replace("runs/r50-P2", "undisturbed") for w in small(words)]
            run(undisturbed, tmp_path, monkeypatch)
        else:
            run([w.replace("hagnifinder-r50.", "hagnifinder-r18.") for w in small(words)], tmp_path, monkeypatch)

    name = "hagnifinder-r18.safetensors"
    assert (tmp_path / "runs/r50-P2" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert (tmp_path / "results/paper/index.html").stat().st_size > 100_000
    assert (tmp_path / "results/paper/fig10b.png").exists()


def kill_in_the_middle(words: list[str], cwd: Path) -> None:
    """Kill a training after its second step, without a word of warning."""
    log = cwd / words[words.index("--out") + 1] / "log.jsonl"
    process = start(words, cwd)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if log.exists() and log.read_text().count("\n") >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
