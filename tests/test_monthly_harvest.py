"""The page docs/monthly-harvest.md, followed word by word against a stand-in of the services."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from hagnifinder.shipped import CARD_KEY, resolve
from harvester.catalog import Catalog
from harvester.cli import main
from harvester.demo.articles import draw_articles
from harvester.demo.plan import PLAN
from harvester.demo.run import environment
from harvester.demo.server import StandIn
from harvester.review.verdicts import Verdict, save_verdict

PAGE = Path(__file__).resolve().parents[1] / "docs" / "monthly-harvest.md"
ROOT = Path("runs/colon")


def lines_of(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def write_model(path: Path) -> None:
    """A model that differs from the shipped one by its card alone."""
    with safe_open(str(resolve("small")), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        card = json.loads(file.metadata()[CARD_KEY]) | {"name": "ours"}
    path.parent.mkdir()
    save_file(tensors, path, metadata={CARD_KEY: json.dumps(card)})


def exported(folder: str) -> set[str]:
    lines = (Path(folder) / "manifest.csv").read_text(encoding="utf-8").splitlines()
    return {row["article_id"] for row in csv.DictReader(lines)}


@pytest.mark.slow
def test_the_page_is_followed_word_by_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(Path("models/ours.safetensors"))
    one, two, three, four = (
        a.served for a in draw_articles(plan=(PLAN[4], PLAN[5], PLAN[13], PLAN[4])) if a.served.pdf
    )
    with StandIn([one, two]) as server, environment(server.environment()):
        for number, line in enumerate(lines_of(PAGE)):
            program, *arguments = shlex.split(line)
            assert program == "harvester"
            if arguments[0] == "review":
                with Catalog.open(ROOT) as catalog:
                    seen = next(catalog.snapshots())
                    verdict = Verdict(seen["snapshot_id"], "correct", "ann", magnification_x=20.0)
                    save_verdict(catalog, verdict, seen=None, blind=False)
                continue
            if "--refresh" in arguments:
                server.retract(two.pmcid)
                server.add(three, four)
                server.forget_requests()
            result = CliRunner().invoke(main, arguments, catch_exceptions=False)
            assert result.exit_code == 0, f"{number}: {line}\n{result.output}"
            if "--refresh" in arguments:
                assert not [r for r in server.downloads() if r.path.startswith(one.pmcid)]
            if "--since" in arguments:
                assert re.search(r"articles retracted +1 +" + re.escape(two.article_id), result.output)
            if "--model" in arguments:
                with Catalog.open(ROOT) as catalog:
                    assert {row["model_id"].partition("@")[0] for row in catalog.snapshots()} == {"ours"}

    assert two.article_id in exported("data/first-month")
    assert two.article_id not in exported("data/second-month")
    with Catalog.open(ROOT) as catalog:
        reviewed = [row for row in catalog.snapshots() if row["review_verdict"]]
    assert [row["snapshot_id"] for row in reviewed] == [seen["snapshot_id"]]
