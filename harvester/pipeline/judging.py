"""Which error models a harvest is judged by: its own where it was refitted, else those of the package."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from harvester.catalog_witnesses import Judge
from harvester.errors import UsageError
from harvester.scale.reconcile import ErrorModels, reconcile_article, shipped_models

MODELS_NAME = "error_models.json"


def models_of(root: Path) -> ErrorModels:
    """Return the error models of a harvest.

    Raises:
        UsageError: when its own can't be read.
    """
    path = root / MODELS_NAME
    if not path.is_file():
        return shipped_models()
    try:
        return ErrorModels.read(path)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path} can't be read ({error}); delete it, or make it anew with `evaluate --refit`."
        ) from error


def judge_of(root: Path) -> Judge:
    """Return what joins the witnesses of the snapshots of an article."""
    return partial(reconcile_article, models=models_of(root))
