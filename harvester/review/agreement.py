"""How well people agree with each other, and how their blind guesses compare with the model's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any, Literal

from harvester.catalog import Catalog

# the newest of each reviewer comes last
_REVIEWS = """
SELECT snapshot_id, reviewer, magnification_x, CASE WHEN kind <> 'he' THEN 'reject' ELSE verdict END AS verdict
FROM review WHERE withdrawn_at IS NULL AND NOT is_orphan {and_where} ORDER BY created_at, review_id
"""
_BY_MORE_THAN_ONE = """
AND snapshot_id IN (SELECT snapshot_id FROM review GROUP BY snapshot_id HAVING MIN(reviewer) < MAX(reviewer))
"""

# a blind guess counts even when it was withdrawn: the answer had been shown by then
_BLIND = """
SELECT r.snapshot_id, r.reviewer, r.magnification_x, s.bar_mpp_um, s.image_mpp_um, s.image_abstained
FROM review r CROSS JOIN snapshots s
WHERE s.snapshot_id = r.snapshot_id AND r.is_blind AND NOT r.is_orphan AND r.magnification_x IS NOT NULL
ORDER BY r.snapshot_id, r.reviewer
"""


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two reviewers on the snapshots both have judged.

    Attributes:
        n_both: Snapshots that both have judged; the newest verdict of each counts.
        observed: Share of them with the same verdict (accept, reject, correct), 0 to 1.
        kappa: Cohen's kappa of the verdicts (Cohen 1960, Educ. Psychol. Meas. 20:37); None when chance alone would
            agree always, as when both gave one and the same verdict throughout.
        n_scales: Snapshots for which both gave a magnification.
        median_log2: Median |log2| of the ratio of the two magnifications; None without any.
    """

    reviewer_a: str
    reviewer_b: str
    n_both: int
    observed: float
    kappa: float | None
    n_scales: int
    median_log2: float | None


@dataclass(frozen=True, slots=True)
class BlindGuess:
    """One magnification that a reviewer gave before seeing any witness, where something else knows the scale.

    Attributes:
        reviewer_x: What the reviewer gave.
        truth_x: What it is compared with: 10 / µm per pixel of the scale bar, else the other reviewers' mean (log).
        reviewer_log2, model_log2: |log2| of guess over truth; the model's is None when it abstained.
    """

    snapshot_id: str
    reviewer: str
    reviewer_x: float
    truth_x: float
    truth_from: Literal["scale_bar", "reviewers"]
    reviewer_log2: float
    model_log2: float | None


@dataclass(frozen=True, slots=True)
class BlindReport:
    """People's error beside the model's, on the same snapshots.

    Attributes:
        guesses: Blind guesses that can be compared, by snapshot and reviewer.
        n_without_truth: Blind guesses left out as neither scale bar nor another reviewer says what is right.
        n_with_model: Guesses on whose snapshot the model gave a number too.
        reviewers_median_log2, model_median_log2: Medians over those `n_with_model`; None without any.
        reviewers_median_log2_all: The reviewers' median over all guesses; None without any.
    """

    guesses: tuple[BlindGuess, ...]
    n_without_truth: int
    n_with_model: int
    reviewers_median_log2: float | None
    model_median_log2: float | None
    reviewers_median_log2_all: float | None


def pair_agreements(catalog: Catalog) -> tuple[PairAgreement, ...]:
    """Return the agreement of every two reviewers who have a snapshot in common, by name."""
    verdicts: dict[str, dict[str, tuple[str, float | None]]] = {}
    for row in catalog.rows(_REVIEWS.format(and_where=_BY_MORE_THAN_ONE)):
        verdicts.setdefault(row["reviewer"], {})[row["snapshot_id"]] = (row["verdict"], row["magnification_x"])
    pairs = []
    for a, b in combinations(sorted(verdicts), 2):
        common = sorted(verdicts[a].keys() & verdicts[b].keys())
        if not common:
            continue
        both = [(verdicts[a][key], verdicts[b][key]) for key in common]
        names = [(first[0], second[0]) for first, second in both]
        scales = [(first[1], second[1]) for first, second in both]
        distances = [abs(math.log2(x / y)) for x, y in scales if x is not None and y is not None]
        observed = sum(x == y for x, y in names) / len(names)
        pairs.append(PairAgreement(a, b, len(names), observed, cohens_kappa(names), len(distances), _median(distances)))
    return tuple(pairs)


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of paired verdicts, -1 to 1; None for no pairs or where chance would agree always."""
    if not pairs:
        return None
    n = len(pairs)
    firsts, seconds = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / n
    expected = sum(firsts[name] * seconds[name] for name in firsts) / n**2
    return None if expected == 1.0 else (observed - expected) / (1.0 - expected)


def blind_report(catalog: Catalog) -> BlindReport:
    """Compare every blind magnification, and the model's of the same snapshot, with scale bar or other reviewers."""
    given: dict[str, dict[str, float]] = {}
    for row in catalog.rows(_REVIEWS.format(and_where="")):
        if row["magnification_x"] is not None:
            given.setdefault(row["snapshot_id"], {})[row["reviewer"]] = row["magnification_x"]
    rows = catalog.rows(_BLIND)
    guesses = tuple(guess for row in rows if (guess := _guess(row, given.get(row["snapshot_id"], {}))))
    with_model = [(g.reviewer_log2, g.model_log2) for g in guesses if g.model_log2 is not None]
    return BlindReport(
        guesses=guesses,
        n_without_truth=len(rows) - len(guesses),
        n_with_model=len(with_model),
        reviewers_median_log2=_median([person for person, _ in with_model]),
        model_median_log2=_median([model for _, model in with_model]),
        reviewers_median_log2_all=_median([g.reviewer_log2 for g in guesses]),
    )


def _guess(row: dict[str, Any], given: dict[str, float]) -> BlindGuess | None:
    truth_from: Literal["scale_bar", "reviewers"]
    if row["bar_mpp_um"] is not None:
        truth_x, truth_from = 10.0 / row["bar_mpp_um"], "scale_bar"
    else:
        others = [math.log2(x) for name, x in given.items() if name != row["reviewer"]]
        if not others:
            return None
        truth_x, truth_from = 2.0 ** (sum(others) / len(others)), "reviewers"
    has_model = row["image_mpp_um"] is not None and not row["image_abstained"]
    return BlindGuess(
        row["snapshot_id"],
        row["reviewer"],
        row["magnification_x"],
        truth_x,
        truth_from,
        abs(math.log2(row["magnification_x"] / truth_x)),
        abs(math.log2(10.0 / row["image_mpp_um"] / truth_x)) if has_model else None,
    )


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
