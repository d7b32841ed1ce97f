"""The Ray engine's place; it is not there yet."""

from __future__ import annotations

from harvester.errors import UsageError


def require_cluster() -> None:
    """Refuse, in one sentence, what is not built.

    Raises:
        UsageError: always.
    """
    raise UsageError("--engine ray is not there yet; use --engine local, which runs on every core of this machine.")
