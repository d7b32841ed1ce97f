"""What several witnesses of one pixel size say together, and when a scale bar is not to be believed.

Every witness is a likelihood over log2 of µm per pixel, under an error model that was fitted (`error_models.json`, by
`tests/benchmarks/bench_witnesses.py --fit`), never a vote. The image speaks with its own intervals; nuclei with the
spread of their natural size; a stated objective with the spread of pixel sizes that cameras and printing give it. A bar
is read to about a percent, or is plainly wrong by any factor: it is believed unless the others are much likelier under
"any other scale" than under the bar's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harvester.records import Reconciled, Witnesses

Curve = NDArray[np.float64]

GRID: Curve = np.arange(-6.0, 6.0 + 1e-9, 1.0 / 64)
"""log2 of µm per pixel, from 0.016 to 64 µm."""
PRIOR_LOG2 = (-3.5, 3.5)
"""Where the pixel size of a printed micrograph can lie before anything is known: 0.09 to 11 µm."""
Z90, Z99 = 1.645, 2.576
MIN_WRONG_BARS = 2
"""From as many contradicted bars of one article on, its others are doubted."""


@dataclass(frozen=True, slots=True)
class ErrorModels:
    """How each witness errs; log2 of µm per pixel throughout.

    Attributes:
        nucleus_log2_um, nucleus_sd: log2 of the nuclei's diameter in µm over patients, and its spread.
        nucleus_outlier: Probability that something else than nuclei was measured.
        nucleus_coarsest_um: Coarser pixels than this resolve no nuclei; what is measured there says nothing.
        image_outlier: Probability that the image is wrong by any factor.
        objective_log2, objective_sd: log2 of (µm per pixel times objective) over articles, and its spread.
        objective_n: Articles it was learnt from.
        bar_sd: Error of a bar's reading.
        article_limit_sd: How far an article's bars may lie from their images and nuclei in the mean, in their spreads.
        stop_below: Log evidence for the bar, against any other scale, below which it is a conflict.
    """

    nucleus_log2_um: float
    nucleus_sd: float
    nucleus_outlier: float
    nucleus_coarsest_um: float
    image_outlier: float
    objective_log2: float
    objective_sd: float
    objective_n: int
    bar_sd: float
    article_limit_sd: float
    stop_below: float

    @classmethod
    def read(cls, path: Path) -> ErrorModels:
        """Read fitted numbers from a JSON file.

        Raises:
            ValueError: when it holds anything else than these numbers.
        """
        values = json.loads(path.read_text(encoding="utf-8"))
        names = set(cls.__dataclass_fields__)
        if not isinstance(values, dict) or not names <= set(values):
            raise ValueError(f"{path} does not hold {', '.join(sorted(names))}")
        numbers = {name: float(values[name]) for name in names}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError(f"{path} holds a number that is not finite")
        return cls(**{**numbers, "objective_n": int(numbers["objective_n"])})  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def shipped_models() -> ErrorModels:
    """Return the error models in the package."""
    return ErrorModels.read(Path(__file__).parent / "error_models.json")


def reconcile(said: Witnesses, models: ErrorModels | None = None) -> Reconciled:
    """Join the witnesses of one snapshot.

    Args:
        said: What each witness says of µm per native pixel.
        models: Their error models; those of the package when not given.

    Returns:
        A bar that is believed goes before metadata, the image, the caption, in this order. A bar that the others
        contradict, or that lies outside the image's 99 % interval, is a conflict without a value.
    """
    models = models or shipped_models()
    curves = _curves(said, models)
    stated = said.bar_mpp_um or said.metadata_mpp_um
    if stated is not None:
        source: Literal["scale_bar", "metadata"] = "scale_bar" if said.bar_mpp_um else "metadata"
        return _judge_stated(said, stated, source, curves, models)
    if said.image_mpp_um is not None and not said.image_abstained:
        return _from_image(said, curves)
    if said.field_mpp_um is not None:
        return _from_caption(said, said.field_mpp_um, 0.1, curves, "by the width of the field that the caption gives")
    if said.objective_x is not None and models.objective_n > 0:
        mpp_um = 2.0**models.objective_log2 / said.objective_x
        why = (
            f"by the objective alone ({said.objective_x:g}x), as pixel sizes of that objective spread over"
            f" {models.objective_n} articles"
        )
        return _from_caption(said, mpp_um, models.objective_sd, curves, why)
    return Reconciled(said.snapshot_id, None, None, None, None, None, "No witness says anything that can be used.")


def reconcile_article(items: Sequence[Witnesses], models: ErrorModels | None = None) -> list[Reconciled]:
    """Join the witnesses of each snapshot of one article; bars of one article stand and fall together.

    Who draws one bar wrongly has the scale of the microscope wrong, and draws the next one so. When at least two of an
    article's bars contradict the tissue, and at least half of them do, the others are not believed either. Nor is any
    when all together lie farther from their images and nuclei, in the mean, than those of one patient err together.
    """
    models = models or shipped_models()
    verdicts = [reconcile(item, models) for item in items]
    barred = [k for k, item in enumerate(items) if item.bar_mpp_um is not None]
    against = [k for k in barred if verdicts[k].agreement == "conflict"]
    apart = mean_distance(items, models)
    if len(against) >= MIN_WRONG_BARS and 2 * len(against) >= len(barred):
        because = f"{len(against)} of the {len(barred)} bars of this article contradict their tissue."
    elif apart is not None and abs(apart[0]) > models.article_limit_sd:
        because = (
            f"the bars of this article together make pixels {2.0 ** abs(apart[1]):.1f} times as"
            f" {'large' if apart[1] > 0 else 'small'} as their tissue looks."
        )
    else:
        return verdicts
    for k in barred:
        if k not in against:
            bar_um = items[k].bar_mpp_um
            assert bar_um is not None
            nuclei = _nuclei_by(items[k], bar_um, models)
            why = f"The scale bar gives {_um(bar_um)} a pixel{f'; {nuclei}' if nuclei else ''}"
            why += f"; this one alone would pass, but {because}"
            verdicts[k] = replace(
                verdicts[k], mpp_um=None, mpp_lo_um=None, mpp_hi_um=None, source=None, agreement="conflict", reason=why
            )
    return verdicts


def mean_distance(items: Sequence[Witnesses], models: ErrorModels | None = None) -> tuple[float, float] | None:
    """Return how far bars lie from their images and nuclei in the mean: in the spreads of these, and in log2.

    None for fewer than two bars whose image or nuclei say anything. In spreads, because an image that is unsure of
    itself may be far from a right bar.
    """
    models = models or shipped_models()
    found = []
    for item in items:
        said = []
        if (image := _image_normal(item)) is not None:
            said.append(image)
        if item.nucleus_px is not None:
            said.append((models.nucleus_log2_um - math.log2(item.nucleus_px), models.nucleus_sd))
        if item.bar_mpp_um is not None and said:
            away = [math.log2(item.bar_mpp_um) - centre for centre, _ in said]
            in_spreads = sum(a / spread for a, (_, spread) in zip(away, said, strict=True)) / math.sqrt(len(said))
            found.append((in_spreads, sum(away) / len(away)))
    if len(found) < MIN_WRONG_BARS:
        return None
    return sum(z for z, _ in found) / len(found), sum(away for _, away in found) / len(found)


def log_evidence(said: Witnesses, mpp_um: float, models: ErrorModels | None = None) -> float:
    """Return how much likelier image, nuclei and caption are if `mpp_um` is right than if any other scale is.

    The natural logarithm of a Bayes factor: 0 when they say nothing, negative when they speak against it.
    """
    curves = _curves(said, models or shipped_models())
    if not curves:
        return 0.0
    return _at(sum(curves.values(), np.zeros_like(GRID)), mpp_um)


def _curves(said: Witnesses, models: ErrorModels) -> dict[str, Curve]:
    """Return log likelihood curves over GRID, each relative to its mean over the prior: 0 says nothing."""
    found: dict[str, Curve] = {}
    interval = _image_normal(said)
    if interval is not None:
        found["image"] = _relative(_normal(GRID, *interval), models.image_outlier)
    if said.nucleus_px is not None:
        centre = models.nucleus_log2_um - math.log2(said.nucleus_px)
        curve = _normal(GRID, centre, models.nucleus_sd)
        found["nuclei"] = _relative(curve, models.nucleus_outlier)
    if said.objective_x is not None and models.objective_n > 0:
        centre = models.objective_log2 - math.log2(said.objective_x)
        found["caption"] = _relative(_normal(GRID, centre, models.objective_sd), 0.05)
    return found


def _image_normal(said: Witnesses) -> tuple[float, float] | None:
    """Return middle and spread of the normal that is as wide as the image's intervals, the wider of both."""
    lo, hi = said.image_lo90_um, said.image_hi90_um
    if said.image_mpp_um is None or said.image_abstained or not lo or not hi:
        return None
    spread = math.log2(hi / lo) / 2.0 / Z90
    if said.image_lo99_um and said.image_hi99_um:
        spread = max(spread, math.log2(said.image_hi99_um / said.image_lo99_um) / 2.0 / Z99)
    return math.log2(math.sqrt(lo * hi)), max(spread, 0.02)


def _normal(x: Curve, centre: float, spread: float) -> Curve:
    return np.asarray(np.exp(-0.5 * ((x - centre) / spread) ** 2) / (spread * math.sqrt(2.0 * math.pi)))


def _relative(density: Curve, outlier: float) -> Curve:
    low, high = PRIOR_LOG2
    flat = 1.0 / (high - low)
    return np.asarray(np.log(((1.0 - outlier) * density + outlier * flat) / flat))


def _at(curve: Curve, mpp_um: float) -> float:
    return float(np.interp(math.log2(mpp_um), GRID, curve))


def _judge_stated(
    said: Witnesses,
    stated: float,
    source: Literal["scale_bar", "metadata"],
    curves: dict[str, Curve],
    models: ErrorModels,
) -> Reconciled:
    shares = {name: round(_at(curve, stated), 3) for name, curve in curves.items()}
    outside = _outside_99(said, stated)
    if outside or sum(shares.values()) < models.stop_below:
        return Reconciled(
            said.snapshot_id, None, None, None, None, "conflict", _contradiction(said, stated, source, models), shares
        )
    half = Z90 * models.bar_sd
    speaks = [_NAMES[name] for name, share in shares.items() if share > 0.0]
    reason = f"{_NAMES[source].capitalize()} gives {_um(stated)} a pixel"
    reason += f"; {_and(speaks)} agree{'s' if len(speaks) == 1 and speaks[0] != 'nuclei' else ''}." if speaks else "."
    return Reconciled(
        said.snapshot_id,
        stated,
        float(f"{stated * 2.0**-half:.6g}"),
        float(f"{stated * 2.0**half:.6g}"),
        source,
        "agree" if "image" in curves or "nuclei" in curves else "single",
        reason,
        shares,
    )


def _outside_99(said: Witnesses, mpp_um: float) -> bool:
    if said.image_abstained or not said.image_lo99_um or not said.image_hi99_um:
        return False
    return not said.image_lo99_um <= mpp_um <= said.image_hi99_um


_NAMES = {
    "image": "the image", "nuclei": "nuclei", "caption": "the caption", "scale_bar": "the scale bar",
    "metadata": "the file",
}  # fmt: skip


def _contradiction(said: Witnesses, stated: float, source: str, models: ErrorModels) -> str:
    label = f" ({said.bar_text})" if source == "scale_bar" and said.bar_text else ""
    parts = [f"{_NAMES[source].capitalize()}{label} gives {_um(stated)} a pixel"]
    if (nuclei := _nuclei_by(said, stated, models)) is not None:
        parts.append(nuclei)
    if said.image_mpp_um is not None and not said.image_abstained:
        lo, hi = said.image_lo90_um, said.image_hi90_um
        between = f" ({_um(lo)} to {_um(hi)})" if lo and hi else ""
        parts.append(f"the image looks like {_um(said.image_mpp_um)}{between}")
    return "; ".join(parts) + "."


def _nuclei_by(said: Witnesses, stated: float, models: ErrorModels) -> str | None:
    """Say how wide nuclei would be by a pixel size; None where none were measured."""
    if said.nucleus_px is None:
        return None
    size, natural = said.nucleus_px * stated, 2.0**models.nucleus_log2_um
    low, high = natural * 2.0**-models.nucleus_sd, natural * 2.0**models.nucleus_sd
    return f"by that nuclei would be {size:.2g} µm wide, where {low:.2g} to {high:.2g} µm are usual"


def _from_image(said: Witnesses, curves: dict[str, Curve]) -> Reconciled:
    mpp_um = said.image_mpp_um
    assert mpp_um is not None
    shares = {name: round(_at(curve, mpp_um), 3) for name, curve in curves.items()}
    others = [name for name in curves if name != "image"]
    agree = [_NAMES[name] for name in others if shares[name] > 0.0]
    doubt = [_NAMES[name] for name in others if shares[name] <= 0.0]
    reason = f"The image looks like {_um(mpp_um)} a pixel"
    reason += f"; {_and(agree)} fit{'s' if agree == ['the caption'] else ''}" if agree else ""
    reason += f"; {_and(doubt)} would rather have another" if doubt else ""
    return Reconciled(
        said.snapshot_id,
        mpp_um,
        said.image_lo90_um,
        said.image_hi90_um,
        "image",
        "single" if not others else "agree" if not doubt else "single",
        reason + ".",
        shares,
    )


def _from_caption(said: Witnesses, mpp_um: float, spread: float, curves: dict[str, Curve], why: str) -> Reconciled:
    half = Z90 * spread
    shares = {name: round(_at(curve, mpp_um), 3) for name, curve in curves.items()}
    low, value, high = (float(f"{mpp_um * 2.0**k:.4g}") for k in (-half, 0.0, half))
    return Reconciled(said.snapshot_id, value, low, high, "caption", "single", f"{_um(mpp_um)} a pixel {why}.", shares)


def _um(mpp_um: float) -> str:
    return f"{mpp_um:.3g} µm"


def _and(names: list[str]) -> str:
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
