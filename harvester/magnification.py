"""The only door to hagnifinder: pictures in, estimates out. Import is cheap; torch is loaded in the model's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hagnifinder.metadata import MPP_RANGE_UM, PixelSize, read_pixel_size
from harvester.errors import MalformedArticle, UsageError
from harvester.geometry import RgbImage
from harvester.records import EstimateRow

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate
    from hagnifinder.shipped import ModelCard

__all__ = ["MPP_RANGE_UM", "PixelSize", "read_pixel_size"]
"""What files say of their scale goes through this door as it is."""

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A magnification model as the catalog names it."""

    model_id: str
    name: str
    version: str
    weights_sha256: str
    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SnapshotItem:
    """A snapshot to be estimated, by the place of its file."""

    snapshot_id: str
    path: Path


def read_rgb(source: Path | bytes, max_px: int = 200_000_000) -> RgbImage:
    """Decode any picture to (H, W, 3) uint8 RGB.

    Raises:
        MalformedArticle: reason "image_unreadable"; one sentence that says what is wrong with it.
    """
    from hagnifinder.errors import ImageError
    from hagnifinder.images import read_rgb as read

    try:
        return read(source, max_px=max_px)
    except ImageError as error:
        raise MalformedArticle(str(error), reason="image_unreadable") from error


@dataclass(frozen=True, slots=True)
class Nuclei:
    """The nuclei of a picture: median diameter in its pixels, how much they differ (log2), how many were measured."""

    diameter_px: float
    spread_log2: float
    count: int


def measure_nuclei(pixels: RgbImage) -> Nuclei | None:
    """Measure the nuclei of an H&E picture (H, W, 3) uint8 RGB; None where none are resolved."""
    from hagnifinder.baselines.nuclei import measure_nuclei as measure

    found = measure(pixels)
    return None if found is None else Nuclei(found.diameter_px, found.spread_log2, found.count)


def _to_row(snapshot_id: str, model_id: str, estimate: Estimate) -> EstimateRow:
    return EstimateRow(
        snapshot_id=snapshot_id,
        model_id=model_id,
        magnification_x=estimate.magnification_x,
        magnification_lo_x=estimate.magnification_lo_x,
        magnification_hi_x=estimate.magnification_hi_x,
        mpp_um=estimate.mpp_um,
        abstained=estimate.abstained,
        reason=estimate.reason or None,
    )


def _cards(names: Sequence[str]) -> list[ModelCard]:
    from hagnifinder.errors import ModelError
    from hagnifinder.shipped import read_card, resolve

    try:
        return [read_card(resolve(name)) for name in names]
    except ModelError as error:
        raise UsageError(f"{str(error)[:1].upper()}{str(error)[1:]}") from error


@dataclass(frozen=True, slots=True)
class Estimators:
    """Loads models and answers batches with them; picklable, so that it can be sent to the model's process.

    Attributes:
        names: Shipped names or weight files, best first.
        device: auto, cpu or cuda.
        model_ids: What their estimates are stored under, in the same order.
    """

    names: tuple[str, ...]
    device: Device
    model_ids: tuple[str, ...]

    @classmethod
    def choose(cls, names: Sequence[str], device: Device) -> Estimators:
        """Take the named models, or the default with the paper's beside it.

        Raises:
            UsageError: a name that is not shipped, or a file that is no model.
        """
        from hagnifinder.shipped import DEFAULT_NAME, PAPER_NAME

        if names:
            return cls(tuple(names), device, tuple(item.model_id for item in _cards(names)))
        cards = _cards((DEFAULT_NAME, PAPER_NAME))
        return cls(tuple(str(item.path) for item in cards), device, tuple(item.model_id for item in cards))

    def __call__(self) -> tuple[Callable[[Sequence[SnapshotItem]], list[list[EstimateRow]]], list[ModelInfo]]:
        """Load every model; return the batch function and what is known of the models."""
        from hagnifinder.errors import ModelError
        from hagnifinder.predict import Predictor

        try:
            predictors = [Predictor.load(name, self.device) for name in self.names]
        except ModelError as error:
            raise UsageError(str(error)) from error
        about = [ModelInfo(p.model_id, p.name, p.version, p.weights_sha256, dict(p.card)) for p in predictors]

        def answer(items: Sequence[SnapshotItem]) -> list[list[EstimateRow]]:
            pictures = [read_rgb(item.path) for item in items]
            columns = [predictor.predict_many(pictures) for predictor in predictors]
            return [
                [
                    _to_row(item.snapshot_id, p.model_id, column[i])
                    for p, column in zip(predictors, columns, strict=True)
                ]
                for i, item in enumerate(items)
            ]

        return answer, about
