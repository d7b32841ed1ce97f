"""The trained classifier of panels, evaluated with numpy alone: trees and a small net over `features.describe`.

The file is an .npz without pickles, written by `harvester.stain.train`; its card says what it was made from.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harvester.errors import HarvestError
from harvester.records import PANEL_KINDS
from harvester.stain.features import N_FEATURES, Features

FORMAT = 1


@dataclass(frozen=True, slots=True)
class PanelModel:
    """Extremely randomised trees and a net with one hidden layer; their mean, sharpened, is the answer.

    Attributes:
        feature: (N,) int16, the feature a node asks, -1 in a leaf; nodes of all trees in one row.
        threshold: (N,) float32; at most this goes left.
        left, right: (N,) int32, the next node; a leaf's `left` is its row in `leaf`.
        leaf: (L, 12) float16, probabilities in the order of PANEL_KINDS.
        roots: (T,) int32.
        centre, spread: (F,) float32 that bring features to the net's scale; clipped to 4 spreads.
        layers: weights and biases of the net, float32.
        temperature: Divides the log of the mean; fitted on sets held out.
        card: What the model is, was trained on, and measured.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    leaf: NDArray[np.float16]
    roots: NDArray[np.int32]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    layers: tuple[NDArray[np.float32], ...]
    temperature: float
    card: dict[str, Any]

    def probabilities(self, features: Features) -> NDArray[np.float64]:
        """Return (12,) float64 that sum to 1, in the order of PANEL_KINDS, for (F,) float32 features."""
        mean = 0.5 * self.tree_probabilities(features) + 0.5 * self.net_probabilities(features)
        return sharpen(mean[None, :], self.temperature)[0]

    def tree_probabilities(self, features: Features) -> NDArray[np.float64]:
        """Return (12,) float64, the mean of the trees' leaves."""
        node = self.roots.copy()
        while True:
            asked = self.feature[node]
            inner = asked >= 0
            if not inner.any():
                break
            goes_left = features[asked] <= self.threshold[node]
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)
        return np.asarray(self.leaf[self.left[node]].mean(axis=0, dtype=np.float64))

    def net_probabilities(self, features: Features) -> NDArray[np.float64]:
        """Return (12,) float64, the net's softmax."""
        value = np.clip((features - self.centre) / self.spread, -4.0, 4.0).astype(np.float64)
        for k in range(0, len(self.layers), 2):
            value = value @ self.layers[k] + self.layers[k + 1]
            if k + 2 < len(self.layers):
                value = np.maximum(value, 0.0)
        raised = np.exp(value - value.max())
        return np.asarray(raised / raised.sum())

    def to_bytes(self) -> bytes:
        """Return the file's bytes; the same model gives the same bytes."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name)
            for name in ("feature", "threshold", "left", "right", "leaf", "roots", "centre", "spread")
        }
        arrays |= {f"layer{k}": layer for k, layer in enumerate(self.layers)}
        head = {"format": FORMAT, "kinds": list(PANEL_KINDS), "temperature": self.temperature, "card": self.card}
        arrays["head"] = np.frombuffer(json.dumps(head, sort_keys=True).encode(), dtype=np.uint8)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> PanelModel:
        """Read a model back.

        Raises:
            HarvestError: when the bytes are no model of this format, kinds and features.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            head = json.loads(arrays.pop("head").tobytes())
            layers = tuple(arrays.pop(f"layer{k}") for k in range(sum(n.startswith("layer") for n in arrays)))
            model = cls(**arrays, layers=layers, temperature=float(head["temperature"]), card=dict(head["card"]))
            known = head["format"] == FORMAT and tuple(head["kinds"]) == PANEL_KINDS
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            raise HarvestError("The panel classifier's file can't be read; install the package again.") from error
        if not known or model.centre.shape != (N_FEATURES,):
            raise HarvestError("The panel classifier was made for other features; train it again.")
        return model


def sharpen(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return (N, 12) float64: the probabilities with their logarithms divided by the temperature, summing to 1."""
    logs = np.log(np.maximum(probabilities, 1e-5)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
