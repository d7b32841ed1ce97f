"""Which models there are and what their cards say; loads no torch, so that asking is cheap."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hagnifinder.errors import ModelError

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
DEFAULT_NAME = "small"
PAPER_NAME = "hagnifinder-r50"
"""The paper's network, which a harvest runs beside the default."""
CARD_KEY = "hagnifinder_card_1"
"""Where a weights file keeps its card; another number is another format."""
MAX_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A weights file and the card inside it; `model_id` is what estimates are stored under."""

    path: Path
    card: dict[str, Any]
    weights_sha256: str

    @property
    def model_id(self) -> str:
        """Name and the first 12 digits of the hash: other weights, another id."""
        return f"{self.card.get('name', 'unnamed')}@{self.weights_sha256[:12]}"


def shipped_models() -> list[str]:
    """Names of the models in the package, sorted."""
    return sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors"))


def resolve(name_or_path: str) -> Path:
    """The weights file behind "default", the name of a shipped model, or a path.

    Raises:
        ModelError: when there is none.
    """
    name = DEFAULT_NAME if name_or_path == "default" else name_or_path
    shipped = WEIGHTS_FOLDER / f"{name}.safetensors"
    if os.sep not in name and shipped.is_file():
        return shipped
    path = Path(name)
    if path.is_file():
        return path
    raise ModelError(
        f"there is no model {name_or_path!r}: give a file or one of {', '.join(shipped_models()) or 'none'}."
    )


def read_card(path: Path) -> ModelCard:
    """Read what a weights file says of itself, without its numbers.

    Raises:
        ModelError: when the file is missing, too large, or no model of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path} is too large to be a Hagnifinder model.")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with safe_open(str(path), framework="np") as tensors:
            metadata = tensors.metadata() or {}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path} is not a Hagnifinder model.") from error
    try:
        card = json.loads(metadata[CARD_KEY])
        if not isinstance(card, dict):
            raise ValueError("a card is an object")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not a Hagnifinder model of this version.") from error
    return ModelCard(path, card, sha256)
