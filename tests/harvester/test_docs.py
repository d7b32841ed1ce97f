"""The manual can't rot: generated pages are compared, commands and files it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hagnifinder.cli import main as hagnifinder
from harvester.cli import main as harvester
from tests.harvester.cli_page import page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_page_of_the_command_line_is_what_the_commands_say():
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_in_the_manual_exists(path):
    text = path.read_text(encoding="utf-8")

    named = re.findall(r"(?<![\w/.-])(harvester|hagnifinder) ([a-z]+)\b(?= [A-Z'\"~./-]|`)", text)
    commands = {"harvester": set(harvester.commands), "hagnifinder": set(hagnifinder.commands)}
    assert not [f"{program} {name}" for program, name in named if name not in commands[program]]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_in_the_manual_leads_somewhere(path):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))

    assert not [target for target in targets if not (path.parent / target).exists()]
