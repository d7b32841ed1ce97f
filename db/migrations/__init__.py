"""The history of the schema; travels inside the package so that an installed program can upgrade a catalog."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def _config() -> Config:
    config = Config()
    # ConfigParser reads a percent sign as the start of a variable
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the database to a revision inside the caller's transaction: all of it or nothing."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def known_revisions() -> list[str]:
    """Return all revisions this program knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
