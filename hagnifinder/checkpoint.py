"""Weights on disk: one safetensors file, its JSON card inside it and beside it, and the state of a running training.

Every write goes to a neighbour file first and is renamed: a killed run leaves the old file or the new one, never half.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from hagnifinder.density import ScaleDensity, ScaleEnsemble
from hagnifinder.efficientnet import VARIANTS
from hagnifinder.errors import ModelError
from hagnifinder.files import write_atomically
from hagnifinder.model import Hagnifinder
from hagnifinder.shipped import CARD_KEY, read_card

Network: TypeAlias = Hagnifinder | ScaleDensity | ScaleEnsemble
_MOST_MEMBERS = 8


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network with what is known about it."""

    network: Network
    card: dict[str, Any]
    weights_sha256: str


def build_network(card: Mapping[str, Any]) -> Network:
    """A ResNet carries the paper's head, an EfficientNet-Lite a density; `members` are such that answer together.

    Raises:
        KeyError, ValueError, TypeError: when the card names no backbone, one that is not known, or impossible members.
    """
    if "members" in card:
        if not 1 <= len(card["members"]) <= _MOST_MEMBERS:
            raise ValueError("the card names an impossible number of members")
        members = [build_network(member) for member in card["members"]]
        densities = [member for member in members if isinstance(member, ScaleDensity)]
        if len(densities) != len(members):
            raise ValueError("only density networks answer together")
        return ScaleEnsemble(densities)
    backbone = card["backbone"]
    if backbone not in VARIANTS:
        return Hagnifinder(backbone)
    hidden = int(card.get("hidden", 256))
    if not 1 <= hidden <= 4096:
        raise ValueError("the card names an impossible width")
    return ScaleDensity(backbone, hidden, enlargement=bool(card.get("enlargement", False)), gate="gate" in card)


def save_weights(path: Path, network: nn.Module, card: Mapping[str, Any], *, halve: bool = True) -> str:
    """Write weights as safetensors with the card inside and as `<stem>.json` beside them.

    Matrices are in half precision unless `halve` is off.

    Returns:
        SHA-256 of the weights file, hexadecimal.
    """
    # Running variances of a batch normalisation may pass the largest half-precision number: they stay as they are.
    tensors = {
        name: (t.half() if halve and t.is_floating_point() and t.ndim > 1 else t).contiguous()
        for name, t in network.state_dict().items()
    }
    text = json.dumps(card, sort_keys=True, ensure_ascii=False)
    # One entry only: the library writes several in an order that changes from run to run.
    data = to_safetensors(tensors, metadata={CARD_KEY: text})
    write_atomically(path, data)
    sha256 = hashlib.sha256(data).hexdigest()
    beside = json.dumps({**card, "weights_sha256": sha256}, indent=2, sort_keys=True, ensure_ascii=False)
    write_atomically(path.with_suffix(".json"), (beside + "\n").encode())
    return sha256


def load_weights(path: Path) -> LoadedModel:
    """Read a weights file; safetensors holds numbers only, so a hostile file can run nothing.

    Raises:
        ModelError: when the file is missing, no model of ours, damaged, or holds numbers that are not finite.
    """
    described = read_card(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        network = build_network(described.card)
        network.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in tensors.items()})
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path} is not a Hagnifinder model of this version.") from error
    if not all(bool(torch.isfinite(t).all()) for t in network.state_dict().values() if t.is_floating_point()):
        raise ModelError(f"{path} holds numbers that are not finite.")
    network.eval()
    return LoadedModel(network, described.card, described.weights_sha256)


def save_training_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state of a running training."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read it back; plain tensors and numbers only.

    Raises:
        ModelError: when the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises a dozen kinds of errors for a damaged archive.
    except Exception as error:
        raise ModelError(f"{path} is not the state of a training run.") from error
    return state
