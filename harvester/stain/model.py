"""The trained classifier of panels, evaluated with numpy alone: small nets over `features.describe`.

The file is an .npz without pickles, written by `harvester.stain.train`; its card says what it was made from.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harvester.errors import HarvestError
from harvester.records import PANEL_KINDS
from harvester.stain.features import N_FEATURES

FORMAT = 1
HE = PANEL_KINDS.index("he")
CLIP = 4.0
"""Features are cut at so many spreads from their centre: what is odder than that is not trusted further."""


@dataclass(frozen=True, slots=True)
class PanelModel:
    """A few nets with one hidden layer; the mean of their answers, with a temperature, is the answer.

    Attributes:
        centre, spread: (F,) float32 that bring features to the nets' scale; clipped to `CLIP` spreads.
        hidden: (K, F + 1, H) float32, weights of the hidden layers, the last row the biases.
        outer: (K, H + 1, 12) float32, weights of the last layers, kinds in the order of PANEL_KINDS.
        temperature: Divides the log of the mean; fitted on sets held out.
        he_slope, he_offset: Straight line through which the log odds of H&E then go; fitted on sets held out.
        card: What the model is, was trained on, and measured.
    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    hidden: NDArray[np.float32]
    outer: NDArray[np.float32]
    temperature: float
    he_slope: float
    he_offset: float
    card: dict[str, Any]

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (N, 12) float64, rows summing to 1, for (N, F) features."""
        scaled = np.clip((features - self.centre) / self.spread, -CLIP, CLIP).astype(np.float64)
        mean = np.zeros((features.shape[0], len(PANEL_KINDS)))
        for inner, last in zip(self.hidden, self.outer, strict=True):
            active = np.maximum(scaled @ inner[:-1] + inner[-1], 0.0)
            value = active @ last[:-1] + last[-1]
            raised = np.exp(value - value.max(axis=1, keepdims=True))
            mean += raised / raised.sum(axis=1, keepdims=True) / len(self.hidden)
        return calibrate(sharpen(mean, self.temperature), self.he_slope, self.he_offset)

    def to_bytes(self) -> bytes:
        """Return the file's bytes; the same model gives the same bytes."""
        head = {
            "format": FORMAT,
            "kinds": list(PANEL_KINDS),
            "temperature": self.temperature,
            "he_slope": self.he_slope,
            "he_offset": self.he_offset,
            "card": self.card,
        }
        out = io.BytesIO()
        np.savez_compressed(
            out,
            centre=self.centre,
            spread=self.spread,
            hidden=self.hidden,
            outer=self.outer,
            head=np.frombuffer(json.dumps(head, sort_keys=True).encode(), dtype=np.uint8),
        )
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
            model = cls(
                **arrays,
                temperature=float(head["temperature"]),
                he_slope=float(head["he_slope"]),
                he_offset=float(head["he_offset"]),
                card=dict(head["card"]),
            )
            known = head["format"] == FORMAT and tuple(head["kinds"]) == PANEL_KINDS
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise HarvestError("The panel classifier's file can't be read; install the package again.") from error
        if not known or model.centre.shape != (N_FEATURES,):
            raise HarvestError("The panel classifier was made for other features; train it again.")
        return model


def sharpen(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return (N, 12) float64: the probabilities with their logarithms divided by the temperature, summing to 1."""
    logs = np.log(np.maximum(probabilities, 1e-5)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def he_log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) float64: the log odds of H&E, between -9 and 9."""
    he = np.clip(probabilities[:, HE], 1e-4, 1 - 1e-4)
    return np.asarray(np.log(he / (1 - he)))


def calibrate(probabilities: NDArray[np.float64], slope: float, offset: float) -> NDArray[np.float64]:
    """Return (N, 12) float64 with the log odds of H&E put through a line the other kinds sharing the rest.

    J. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers (1999) 61-74.
    """
    he = 1.0 / (1.0 + np.exp(-(slope * he_log_odds(probabilities) + offset)))
    rest = np.delete(probabilities, HE, axis=1)
    rest *= ((1.0 - he) / np.maximum(rest.sum(axis=1), 1e-12))[:, None]
    return np.asarray(np.insert(rest, HE, he, axis=1))


def likeliest(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (N,) the places in PANEL_KINDS of the likeliest kinds; H&E only where it is likelier than not.

    So no panel is called H&E whose tissue is then left out as not H&E.
    """
    others = np.where(probabilities[:, [HE]] < 0.5, np.arange(len(PANEL_KINDS)) == HE, False)
    return np.asarray(np.where(others, -1.0, probabilities).argmax(axis=1))
