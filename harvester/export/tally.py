"""What came of an export: counted while it runs, kept over an interruption, told in the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from harvester.export.splits import band_of
from harvester.export.spread import spread_of

TOLERANCES = (0.05, 0.10, 0.15, 0.25, 0.50)
"""Distances of the true pixel size from its label whose expected share is told."""
AGREES_WITHIN = 0.25
"""A scale bar and the image alone agree when neither is this share larger than the other."""


@dataclass(slots=True)
class Tally:
    """Counts of what was exported.

    Attributes:
        n_images: Images, that is tiles or snapshots.
        n_snapshots: Snapshots they come from.
        left_out: Snapshots that stayed behind, each counted once, by reason (a key of filters.REASONS).
        by_split, by_licence, by_source: Images by split, licence code and origin of the pixel size.
        by_band, by_organ: Images by "split/band of magnification" and "split/organ".
        models, sources: How many images have an estimate of a model, come from a source.
        expected: Images with an interval ("n"), without one though with a value ("sure"), and for each tolerance the
            sum of the probabilities that the true pixel size is that near.
        bars: Images with a scale bar and an answer from the image alone ("n"), and those where both agree.
    """

    n_images: int = 0
    n_snapshots: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    by_split: Counter[str] = field(default_factory=Counter)
    by_licence: Counter[str] = field(default_factory=Counter)
    by_source: Counter[str] = field(default_factory=Counter)
    by_band: Counter[str] = field(default_factory=Counter)
    by_organ: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    expected: dict[str, float] = field(default_factory=dict)
    bars: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any], split: str, magnification_x: float | None, n_images: int = 1) -> None:
        """Count a snapshot that gives so many images of a magnification."""
        self.n_snapshots += 1
        self.n_images += n_images
        self.by_split[split] += n_images
        self.by_licence[row["licence_code"]] += n_images
        self.by_source[row["magnification_source"] or "none"] += n_images
        self.by_band[f"{split}/{band_of(magnification_x)}"] += n_images
        self.by_organ[f"{split}/{row['organ'] or 'unknown'}"] += n_images
        self.sources[row["source"]] += n_images
        if row["model_id"]:
            self.models[row["model_id"]] += n_images
        spread = spread_of(row)
        if spread is not None:
            self._expect("n", n_images)
            for tolerance in TOLERANCES:
                self._expect(f"{tolerance:g}", n_images * spread.probability_within(tolerance))
        elif row["mpp_um"] is not None:
            self._expect("sure", n_images)
        bar_um, image_um = row["bar_mpp_um"], row["image_mpp_um"]
        if bar_um and image_um and not row["image_abstained"]:
            self.bars["n"] += n_images
            self.bars["agree"] += n_images * (max(bar_um / image_um, image_um / bar_um) <= 1 + AGREES_WITHIN)

    def _expect(self, name: str, value: float) -> None:
        self.expected[name] = self.expected.get(name, 0.0) + value

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """Return the tally that `to_json` gave."""
        plain = {"n_images", "n_snapshots", "expected"}
        read: dict[str, Any] = {name: value if name in plain else Counter(value) for name, value in values.items()}
        return cls(**read)


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts with the largest first, names deciding between equals."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))
