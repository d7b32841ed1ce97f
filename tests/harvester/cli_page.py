"""docs/cli.md, made from the help of every command: `python -m tests.harvester.cli_page > docs/cli.md`."""

from __future__ import annotations

import click

from hagnifinder.cli import main as hagnifinder
from harvester.cli import main as harvester

HEAD = """# The command line

Made from `--help` by `python -m tests.harvester.cli_page > docs/cli.md`; a test compares.

Results go to `--out` or standard output, talk to standard error: progress bars on a terminal, plain lines otherwise.
Exit codes: 0 all done (what can't be done is a skip, counted and named); 1 something is left that the same command, run
again, may finish; 2 it could not start, with one sentence that says what to do.

| environment variable | what for |
|---|---|
| `HARVESTER_EMAIL` | your address, sent to the services as they ask; needed for real searches |
| `NCBI_API_KEY` | 10 instead of 3 searches a second; never logged, never stored |
| `HARVESTER_EUTILS_URL` | another address of E-utilities, for mirrors |
| `HARVESTER_PMC_BUCKET_URL` | another address of the PMC bucket |
| `HARVESTER_EUROPEPMC_URL` | another address of Europe PMC |
| `HARVESTER_CATALOG_URL` | another database than `DIR/catalog.db`, as an SQLAlchemy URL |
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for name, group in (("harvester", harvester), ("hagnifinder", hagnifinder)):
        settings = {**group.context_settings, "terminal_width": 100, "max_content_width": 100}
        whole = click.Context(group, info_name=name, **settings)
        for command in ("", *sorted(group.commands)):
            context = click.Context(group.commands[command], whole, info_name=command) if command else whole
            title = f"{name} {command}".strip()
            parts.append(f"## {title}\n\n```\n{context.command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
