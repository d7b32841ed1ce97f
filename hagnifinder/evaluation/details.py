"""What a median hides: accuracy in the paper's units, agreement on seven levels, risk against coverage, the worst."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hagnifinder.evaluation.metrics import Scored
from hagnifinder.scale import log2_error, magnification_x_of

LEVELS_X = (5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0)
"""The levels of Otálora et al. 2018 that agreement is counted on."""
_REPEATS = 1000


def share_within(scored: Sequence[Scored], relative: float) -> float:
    """Share of the pictures whose predicted pixel size is within this fraction of the true one, either way in ratio."""
    limit = math.log2(1.0 + relative)
    errors = [abs(e) for e in _errors(scored)]
    return sum(e <= limit for e in errors) / len(errors) if errors else math.nan


def accuracy(scored: Sequence[Scored], within_x: float) -> float:
    """ACC_N of Zhang et al. 2023: share of the pictures whose magnification is at most N from the true one."""
    near = [
        abs(magnification_x_of(s.estimate.mpp_um) - magnification_x_of(s.mpp_um)) <= within_x
        for s in scored
        if s.estimate.mpp_um is not None
    ]
    return sum(near) / len(near) if near else math.nan


def level_of(mpp_um: float) -> int:
    """Index of the level that is nearest in ratio."""
    at = math.log2(magnification_x_of(mpp_um))
    return min(range(len(LEVELS_X)), key=lambda i: abs(math.log2(LEVELS_X[i]) - at))


def kappa(scored: Sequence[Scored]) -> float:
    """Quadratically weighted kappa of predicted and true level (Cohen, Psychol Bull 70(4):213-220, 1968).

    Not a number when all pictures and answers share one level.
    """
    pairs = [(level_of(s.estimate.mpp_um), level_of(s.mpp_um)) for s in scored if s.estimate.mpp_um is not None]
    if not pairs:
        return math.nan
    said, true = np.array(pairs).T
    expected = float(np.mean((said[:, None] - true[None]) ** 2))
    return 1.0 - float(np.mean((said - true) ** 2)) / expected if expected else math.nan


def clustered_interval(held: Sequence[bool], groups: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % interval of a share, by drawing patients with replacement."""
    names = sorted(set(groups))
    per_group = {name: [h for h, g in zip(held, groups, strict=True) if g == name] for name in names}
    hits = np.array([sum(per_group[name]) for name in names], dtype=float)
    sizes = np.array([len(per_group[name]) for name in names], dtype=float)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), (_REPEATS, len(names)))
    low, high = np.percentile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def details_markdown(scored: Sequence[Scored]) -> str:
    """A row for all pictures and one for each data set: the share within 5, 10, 25 %, ACC_0.5/1/5 and kappa."""
    lines = [
        "| | pictures | within 5 % | 10 % | 25 % | ACC_0.5 | ACC_1 | ACC_5 | kappa |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    names = sorted({s.dataset for s in scored})
    for name, part in [("all", list(scored)), *((n, [s for s in scored if s.dataset == n]) for n in names)]:
        shares = [share_within(part, r) for r in (0.05, 0.1, 0.25)] + [accuracy(part, x) for x in (0.5, 1.0, 5.0)]
        agreement = kappa(part)
        lines.append(
            f"| {name} | {len(part)} | "
            + " | ".join(f"{share:.0%}" for share in shares)
            + f" | {'' if math.isnan(agreement) else f'{agreement:.2f}'} |"
        )
    return "\n".join(lines) + "\n"


def risk_markdown(scored: Sequence[Scored], shares: Sequence[float] = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3)) -> str:
    """Error of the surest pictures, the narrowest intervals first: a row for each share answered."""
    known = [s for s in scored if s.estimate.mpp_lo_um and s.estimate.mpp_hi_um]
    known.sort(key=lambda s: (s.estimate.mpp_hi_um or 0.0) / (s.estimate.mpp_lo_um or 1.0))
    lines = ["| answered | median abs. log2 | 90th pct. | widest hi / lo |", "|---|---|---|---|"]
    for share in shares:
        part = known[: max(1, round(share * len(known)))]
        errors = np.abs(_errors(part))
        widest = (part[-1].estimate.mpp_hi_um or 0.0) / (part[-1].estimate.mpp_lo_um or 1.0)
        lines.append(f"| {share:.0%} | {np.median(errors):.3f} | {np.percentile(errors, 90):.3f} | {widest:.2f} |")
    return "\n".join(lines) + "\n"


def worst_markdown(scored: Sequence[Scored], most: int = 20) -> str:
    """The largest errors, one row a picture."""
    ranked = sorted(
        (s for s in scored if s.estimate.mpp_um is not None),
        key=lambda s: -abs(log2_error(s.estimate.mpp_um or s.mpp_um, s.mpp_um)),
    )
    lines = ["| data set | patient | true µm/px | said | 90 % interval | abstained |", "|---|---|---|---|---|---|"]
    for s in ranked[:most]:
        e = s.estimate
        lines.append(
            f"| {s.dataset} | {s.group} | {s.mpp_um:.3g} | {e.mpp_um:.3g} | {e.mpp_lo_um:.3g} to {e.mpp_hi_um:.3g} | "
            f"{e.reason.replace('_', ' ')} |"
        )
    return "\n".join(lines) + "\n"


def _errors(scored: Sequence[Scored]) -> list[float]:
    return [log2_error(s.estimate.mpp_um, s.mpp_um) for s in scored if s.estimate.mpp_um is not None]
