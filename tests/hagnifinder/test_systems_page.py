"""docs/systems.md names every system, arm and protocol there is."""

from pathlib import Path

from hagnifinder.baselines.registry import SYSTEMS
from hagnifinder.evaluation.sides import TRAINED_UNDER

PAGE = (Path(__file__).parents[2] / "docs" / "systems.md").read_text(encoding="utf-8")


def test_the_page_names_what_there_is() -> None:
    arms = {arm for system in SYSTEMS.values() for arm in system.arms} - {"default"}

    assert [name for name in SYSTEMS if f"`{name}`" not in PAGE] == []
    assert [arm for arm in arms if f"`{arm}`" not in PAGE] == []
    assert [p for p in TRAINED_UNDER if f"| {p} |" not in PAGE] == []
