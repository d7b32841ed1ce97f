"""How a command opens a harvest: checked, locked when it writes, with the run noted whatever its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harvester.catalog import Catalog
    from harvester.fetch.store import Store

DONE, LEFT, NOT_STARTED = 0, 1, 2
"""Exit codes: all done; something is left that a later run may finish; could not start."""


@contextmanager
def open_to_write(out_dir: Path, command: str, settings: dict[str, Any]) -> Iterator[tuple[Store, Catalog]]:
    """Open a harvest for writing; it is made when it is not there.

    Raises:
        UsageError: the folder can't be written to, or another run does.
        CatalogError: its catalog is none, or a newer one.
    """
    from harvester.catalog import Catalog
    from harvester.fetch.store import Store
    from harvester.settings_file import write_settings

    store = Store(out_dir)
    store.check_writable()
    with store.lock(), Catalog.open(out_dir, create=True) as catalog:
        write_settings(out_dir, command, settings)
        run_id = catalog.start_run(command, settings)
        code = LEFT
        try:
            yield store, catalog
            code = DONE
        except click.exceptions.Exit as error:
            code = error.exit_code
            raise
        finally:
            catalog.finish_run(run_id, code)


def require_harvest(harvest: Path) -> None:
    """Refuse a folder that is no harvest.

    Raises:
        UsageError: it has no catalog.
    """
    from harvester.errors import UsageError

    # a catalog elsewhere is looked for where it is, when it is opened
    if not harvest.is_dir() or not (os.environ.get("HARVESTER_CATALOG_URL") or (harvest / "catalog.db").is_file()):
        raise UsageError(f"There is no harvest at {str(harvest)!r}; start one with `harvester run` or `harvester add`.")
