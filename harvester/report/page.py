"""The page: facts and pictures in, one HTML text out. Every word from outside passes through autoescaping."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from harvester import __version__
from harvester.report.facts import Facts
from harvester.report.funnel import head_facts
from harvester.report.operation import content_facts, operation_facts
from harvester.report.pictures import Album
from harvester.report.sheets import case_facts, sheet_facts
from harvester.report.trust import People, scale_facts, trust_facts
from harvester.report.words import day_and_time, plain

SECTIONS = (
    ("funnel", "Funnel"),
    ("scale-h", "Pixel sizes"),
    ("trust", "Agreement"),
    ("worst", "Disagreements"),
    ("what", "Contents"),
    ("kept", "Kept"),
    ("refused", "Refused"),
    ("runs", "Speed and failures"),
    ("models", "Models"),
)


def build_page(facts: Facts, album: Album, people: People, name: str) -> str:
    """Return the report as one HTML document without anything to load."""
    folder = resources.files("harvester.report") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "report.html").read_text("utf-8"))
    return template.render(
        version=__version__,
        css=Markup((folder / "report.css").read_text("utf-8")),  # noqa: S704 our own file
        name=plain(name, 120),
        as_of=day_and_time(facts.as_of),
        queries=plain("; ".join(facts.queries), 200),
        sections=SECTIONS,
        seed=facts.scan.seed,
        **head_facts(facts),
        **scale_facts(facts),
        **trust_facts(facts, people),
        **case_facts(facts, album),
        **content_facts(facts),
        **sheet_facts(facts, album),
        **operation_facts(facts),
    )
