"""From a picture to its pixel size, with an interval and the right to say no.

predictor = Predictor.load()
estimate = predictor.predict(read_rgb("figure.png"))
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from hagnifinder.checkpoint import Network, load_weights
from hagnifinder.density import ENLARGEMENT, GRID, HE_LOGIT, centre_and_spread, gaussian_density, pool
from hagnifinder.errors import ModelError
from hagnifinder.model import Hagnifinder, fold_batch_norm
from hagnifinder.preprocess import MIN_DETAIL, WINDOW_PX, RgbImage, cut_windows, detail, normalise, tissue_share
from hagnifinder.scale import magnification_x_of, round_significant
from hagnifinder.shipped import resolve
from hagnifinder.training.losses import TARGETS, Target, decode

Device = Literal["auto", "cpu", "cuda"]

BATCH = 8
"""Windows the network always gets at a time: another batch shape may add up in another order."""
MAX_WINDOWS = 9
MIN_SIDE_PX = 64
"""A picture with a shorter side holds too little to judge."""
MIN_TISSUE = 0.15
"""Share of stained area below which a picture is not judged."""
NORMAL_Q90 = 1.645
"""Deviations to both sides that hold 9 of 10 of a Gaussian."""
_MIN_SHRUNKEN_PX = 112
_PICTURES_AT_ONCE = 16

SATURATED_UM = 0.3
"""A density network answers with about this pixel size, or a finer one, where the truth may be anything finer: no slide
it learnt from was finer than 0.2. Such a picture is asked again, shrunk."""
FINEST_LEARNT_UM = 0.18
"""Finest pixel size that was learnt, less an ordinary error."""
_HALVINGS = 3
_SLOPE_FROM_LOG2 = -1.0

Reason = Literal["", "too_small", "too_little_tissue", "no_detail", "not_he", "windows_disagree", "outside_range"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the picture says of its own scale.

    Attributes:
        mpp_um: best guess of the µm per pixel; None when there is none at all.
        mpp_lo_um, mpp_hi_um: interval meant to hold the truth for 9 of 10 pictures of new patients; None without
            a guess or when the model was never calibrated.
        magnification_x, magnification_lo_x, magnification_hi_x: the same as 10 / mpp_um, lo <= hi.
        abstained: the guess, if any, should not be used.
        reason: why: too_small, too_little_tissue, no_detail, not_he, windows_disagree, outside_range; empty when not
            abstained.
        n_windows: windows of the picture the network looked at.
        effective_mpp_um: the pixel size that would hold the picture's detail: above `mpp_um` where the picture was
            enlarged after it was taken, by the ratio of the two; None where the model can't tell.
        he_score: how far this looks like tissue stained with H&E, 0 to 1; None where the model can't tell.
    """

    mpp_um: float | None
    mpp_lo_um: float | None
    mpp_hi_um: float | None
    magnification_x: float | None
    magnification_lo_x: float | None
    magnification_hi_x: float | None
    abstained: bool
    reason: str
    n_windows: int
    effective_mpp_um: float | None = None
    he_score: float | None = None


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What the network says of one picture before any judgement; log2 of µm per pixel, shrinking undone.

    Attributes:
        n_windows: windows looked at; 0 when there is nothing to look at, and then the other numbers mean nothing.
        centre: best guess.
        spread: how far the windows, or the density, stray from it.
        refusal: why the picture should not be judged; empty when it may be.
        enlargement: log2 of how far the picture was enlarged; None where the model can't tell.
        he_logit: log odds that it shows H&E-stained tissue; None where the model can't tell.
        shrunk: side of the coarsest copy looked at over the picture's own, when finer than anything learnt.
        density: (BINS,) probabilities on `GRID`; None from a network that answers with a number.
    """

    n_windows: int
    centre: float
    spread: float
    refusal: Reason
    enlargement: float | None = None
    he_logit: float | None = None
    shrunk: float = 1.0
    density: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of_points(cls, log2_mpp: Sequence[float], refusal: Reason) -> RawAnswer:
        """From one number a window: their median, and half the distance of the 16th and 84th percentile."""
        if not log2_mpp:
            return cls(0, 0.0, 0.0, refusal)
        low, high = np.percentile(log2_mpp, [16, 84])
        return cls(len(log2_mpp), float(np.median(log2_mpp)), float(high - low) / 2.0, refusal)

    @classmethod
    def of_densities(
        cls, log_densities: NDArray[np.float32], scales: Sequence[float], sharpness: float, refusal: Reason
    ) -> RawAnswer:
        """From one answer of a `ScaleDensity` a window."""
        if not len(log_densities):
            return cls(0, 0.0, 0.0, refusal)
        density = pool(log_densities, scales, sharpness)
        centre, spread = centre_and_spread(density)
        # Shrinking takes an enlargement back: only the largest copy tells.
        largest = log_densities[np.asarray(scales) == max(scales)]
        enlargement = float(np.median(largest[:, ENLARGEMENT]))
        he_logit = float(log_densities[:, HE_LOGIT].mean())
        return cls(
            len(log_densities),
            centre,
            spread,
            refusal,
            None if math.isnan(enlargement) else max(0.0, enlargement),
            None if math.isnan(he_logit) else he_logit,
            density=density,
        )

    def halved(
        self,
        native: NDArray[np.float32],
        scales: Sequence[float],
        copy: NDArray[np.float32],
        halving: int,
        sharpness: float,
    ) -> tuple[RawAnswer, bool]:
        """The better answer, given the answers (N, columns) of a copy of 0.5 ** halving of the side.

        A copy that puts the picture within what was learnt speaks with the picture's own windows; one that puts it
        beyond speaks alone, since the others can only say "very fine".

        Returns:
            The answer, and whether it is final: not if the copy itself may be finer than what was learnt.
        """
        if not len(copy):
            return self, True
        side = 0.5**halving
        found = RawAnswer.of_densities(copy, [1.0] * len(copy), sharpness, self.refusal)
        if halving == 1 and found.centre - 1.0 >= math.log2(FINEST_LEARNT_UM):
            rows = np.concatenate([native, copy])
            return RawAnswer.of_densities(rows, [*scales, *[side] * len(copy)], sharpness, self.refusal), True
        assert found.density is not None
        density = np.interp(GRID + halving, GRID, found.density)
        finer = replace(
            self,
            n_windows=found.n_windows,
            centre=found.centre - halving,
            spread=found.spread,
            shrunk=side,
            density=density / density.sum(),
        )
        return finer, not is_saturated(found.centre)


def is_saturated(log2_mpp: float) -> bool:
    """Whether a density network's answer may stand for anything finer."""
    return log2_mpp < math.log2(SATURATED_UM)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learnt on the calibration patients; part of the card.

    The half width of the 90 % interval, in log2, is `q90 * sqrt(f**2 + spread**2)` (conformal prediction with
    normalised residuals: Papadopoulos et al., Neural Networks 24(8):842-851, 2011), where f is `floor`, and for answers
    coarser than 0.5 µm per pixel more by `slope` an octave: less is known of low magnifications than their densities
    say.
    """

    q90: float
    floor: float
    max_spread: float
    finest_um: float
    coarsest_um: float
    slope: float = 0.0

    def deviation(self, centre: float, spread: float) -> float:
        """What an error is measured in, log2."""
        return math.hypot(self.floor + self.slope * max(0.0, centre - _SLOPE_FROM_LOG2), spread)

    def half_width(self, centre: float, spread: float) -> float:
        """Half width of the 90 % interval in log2, for an answer of log2 µm per pixel."""
        return self.q90 * self.deviation(centre, spread)


class Predictor:
    """A loaded model. Answers do not depend on which other pictures are asked about in the same call."""

    def __init__(self, network: Network, card: dict[str, Any], weights_sha256: str, device: torch.device) -> None:
        self.card = card
        self.name = str(card.get("name", "unnamed"))
        self.version = str(card.get("version", ""))
        self.weights_sha256 = weights_sha256
        self.model_id = f"{self.name}@{weights_sha256[:12]}"
        self.device = device
        self._is_density = not isinstance(network, Hagnifinder)
        if not self._is_density and card.get("target") not in TARGETS:
            raise ModelError(
                f"the model {self.name} predicts {card.get('target')!r}, which this version does not know."
            )
        self._target: Target = card.get("target", "log2_mpp")
        self._normalise = partial(normalise, mean=network.MEAN, std=network.STD)
        self._sharpness = float(card.get("sharpness", 1.0))
        self._window_px = int(card.get("input_px", WINDOW_PX))
        self._min_he_score = float(card.get("gate", {}).get("min_he_score", 0.0))
        self._scales: tuple[float, ...] = tuple(float(s) for s in card.get("scales", [1.0]))
        try:
            self.calibration = Calibration(**card["calibration"]) if card.get("calibration") else None
        except TypeError as error:
            raise ModelError(f"the card of the model {self.name} has a calibration that cannot be read.") from error
        self._network = fold_batch_norm(network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, name_or_path: str = "default", device: Device = "auto") -> Predictor:
        """Load a shipped model by name, or a weights file.

        Raises:
            ModelError: no such model, a file that is none, or CUDA asked for where there is none.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelError("there is no CUDA device here: use --device cpu or auto.")
        chosen = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
        loaded = load_weights(resolve(name_or_path))
        return cls(loaded.network, loaded.card, loaded.weights_sha256, torch.device(chosen))

    def predict(self, rgb: RgbImage) -> Estimate:
        """Judge one (H, W, 3) uint8 picture."""
        return self.predict_many([rgb])[0]

    def predict_many(self, pictures: Sequence[RgbImage]) -> list[Estimate]:
        """Judge pictures; their windows share batches, their answers share nothing."""
        return [self.judge(raw) for raw in self.answers(pictures)]

    def predict_densities(
        self, pictures: Sequence[Sequence[RgbImage]]
    ) -> Iterator[tuple[Estimate, NDArray[np.float64] | None]]:
        """Judge pictures, each given as its fields, and keep what was thought likely: (BINS,) probabilities on `GRID`.

        An ordinary picture is one field; of a slide there are several, of the same pixel size. A network that answers
        with numbers has a Gaussian as wide as its 90 % interval. None for a picture that should not be judged.
        """
        for raw in self._answers_of_fields(pictures):
            density = None
            if not raw.refusal and self._is_density:
                density = raw.density
            elif not raw.refusal:
                half = self.calibration.half_width(raw.centre, raw.spread) if self.calibration else 1.0
                density = gaussian_density(raw.centre, half / NORMAL_Q90)
            yield self.judge(raw), density

    def answers(self, pictures: Sequence[RgbImage], scales: Sequence[float] | None = None) -> list[RawAnswer]:
        """The network's answers before judgement; `scales` replaces the card's shrunken copies.

        A picture that a density network finds as fine as the finest it learnt from, or finer, is asked again at half,
        a quarter and an eighth of its side until the copy lies within what was learnt.
        """
        return self._answers_of_fields([(picture,) for picture in pictures], scales)

    def _answers_of_fields(
        self, pictures: Sequence[Sequence[RgbImage]], scales: Sequence[float] | None = None
    ) -> list[RawAnswer]:
        windows = list(self._densities_of_fields(pictures, scales))
        answers = [self._pooled(*of_picture) for of_picture in windows]
        if not self._is_density:
            return answers
        pending = [i for i, raw in enumerate(answers) if raw.n_windows and is_saturated(raw.centre)]
        for halving in range(1, _HALVINGS + 1):
            side = 0.5**halving
            pending = [i for i in pending if min(pictures[i][0].shape[:2]) * side >= _MIN_SHRUNKEN_PX]
            shrunken = [[_shrunken(field, side) for field in pictures[i]] for i in pending]
            copies = self._densities_of_fields(shrunken, (1.0,))
            left = []
            for i, (rows, _, _) in zip(pending, copies, strict=True):
                answers[i], is_done = answers[i].halved(*windows[i][:2], rows, halving, self._sharpness)
                if not is_done:
                    left.append(i)
            pending = left
        return answers

    def _densities_of_fields(
        self, pictures: Sequence[Sequence[RgbImage]], scales: Sequence[float] | None
    ) -> Iterator[tuple[NDArray[np.float32], list[float], Reason]]:
        of_fields = self.densities([field for fields in pictures for field in fields], scales)
        for fields in pictures:
            parts = list(islice(of_fields, len(fields)))
            # a field of glass or without detail has no say while another has one
            used = [part for part in parts if not part[2]] or [part for part in parts if len(part[0])] or parts[:1]
            rows = np.concatenate([part[0] for part in used]) if len(used) > 1 else used[0][0]
            yield rows, [scale for part in used for scale in part[1]], used[0][2]

    def densities(
        self, pictures: Sequence[RgbImage], scales: Sequence[float] | None = None
    ) -> Iterator[tuple[NDArray[np.float32], list[float], Reason]]:
        """For each picture its windows' outputs, (N, BINS) or (N,), the scale each was shrunk to, and the refusal."""
        used = tuple(scales) if scales is not None else self._scales
        for start in range(0, len(pictures), _PICTURES_AT_ONCE):
            windows: list[RgbImage] = []
            plans: list[tuple[Reason, list[float]]] = []
            for rgb in pictures[start : start + _PICTURES_AT_ONCE]:
                refusal, own = windows_of(rgb, used, self._window_px)
                plans.append((refusal, [scale for scale, _ in own]))
                windows.extend(window for _, window in own)
            found = self._run(windows)
            first = 0
            for refusal, of_window in plans:
                yield found[first : first + len(of_window)], of_window, refusal
                first += len(of_window)

    def _pooled(self, found: NDArray[np.float32], scales: list[float], refusal: Reason) -> RawAnswer:
        if self._is_density:
            return RawAnswer.of_densities(found, scales, self._sharpness, refusal)
        # A copy shrunk to r of its size has pixels 1/r as large.
        points = decode(found, self._target) + np.log2(scales)
        return RawAnswer.of_points([float(v) for v in points], refusal)

    @torch.inference_mode()
    def _run(self, windows: Sequence[RgbImage]) -> NDArray[np.float32]:
        answers: list[NDArray[np.float32]] = []
        for start in range(0, len(windows), BATCH):
            part = np.stack(windows[start : start + BATCH])
            batch = np.zeros((BATCH, *part.shape[1:]), dtype=np.uint8)
            batch[: len(part)] = part
            out = self._network(self._normalise(torch.from_numpy(batch).to(self.device)))
            answers.append(out.float().cpu().numpy()[: len(part)])
        return np.concatenate(answers) if answers else np.zeros((0,), dtype=np.float32)

    def judge(self, raw: RawAnswer) -> Estimate:
        """Turn answers into an estimate: interval from the calibration, and whether to abstain."""
        n = raw.n_windows
        if n == 0:
            return Estimate(None, None, None, None, None, None, True, raw.refusal, 0)
        # An untrained or hostile network must not overflow a float.
        centre = min(20.0, max(-20.0, raw.centre))
        mpp_um = round_significant(2.0**centre)
        he_score = (
            None if raw.he_logit is None else round(1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, raw.he_logit)))), 3)
        )
        low_um = high_um = None
        reason: Reason = raw.refusal
        if self.calibration is not None:
            half = min(20.0, self.calibration.half_width(centre, raw.spread))
            low_um, high_um = round_significant(2.0 ** (centre - half)), round_significant(2.0 ** (centre + half))
            finest_um = self.calibration.finest_um * raw.shrunk
            if not reason and he_score is not None and he_score < self._min_he_score:
                reason = "not_he"
            elif not reason and not finest_um <= mpp_um <= self.calibration.coarsest_um:
                reason = "outside_range"
            elif not reason and raw.spread > self.calibration.max_spread:
                reason = "windows_disagree"
        return Estimate(
            mpp_um=mpp_um,
            mpp_lo_um=low_um,
            mpp_hi_um=high_um,
            magnification_x=round_significant(magnification_x_of(mpp_um)),
            magnification_lo_x=None if high_um is None else round_significant(magnification_x_of(high_um)),
            magnification_hi_x=None if low_um is None else round_significant(magnification_x_of(low_um)),
            abstained=bool(reason),
            reason=reason,
            n_windows=n,
            effective_mpp_um=None if raw.enlargement is None else round_significant(2.0 ** (centre + raw.enlargement)),
            he_score=he_score,
        )


def windows_of(rgb: RgbImage, scales: tuple[float, ...], window_px: int) -> tuple[Reason, list[tuple[float, RgbImage]]]:
    """The windows of a picture and of its shrunken copies, each with its scale, and why it should not be judged."""
    if min(rgb.shape[:2]) < MIN_SIDE_PX:
        return "too_small", []
    found: list[tuple[float, RgbImage]] = []
    for scale in scales:
        height, width = round(rgb.shape[0] * scale), round(rgb.shape[1] * scale)
        if scale < 1.0 and min(height, width) < _MIN_SHRUNKEN_PX:
            continue
        copy = rgb if scale == 1.0 else _shrunken(rgb, scale)
        found.extend((scale, window) for window in cut_windows(copy, MAX_WINDOWS, window_px))
    detailed = [(scale, window) for scale, window in found if detail(window) >= MIN_DETAIL]
    if not detailed:
        return "no_detail", []
    return ("too_little_tissue" if tissue_share(rgb) < MIN_TISSUE else ""), detailed


def _shrunken(rgb: RgbImage, scale: float) -> RgbImage:
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    shrunk: RgbImage = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return shrunk
