"""Why a snapshot deserves a look, in the order in which the queue shows them."""

from __future__ import annotations

DOUBTS: dict[str, str] = {
    "conflict": "Scale bar and image contradict each other",
    "reviews_differ": "Reviewers differ",
    "disagreement": "The witnesses disagree",
    "no_scale": "No scale: the model abstained",
    "wide": "The interval is wide",
    "low_score": "Perhaps no H&E",
    "none": "Nothing in particular",
}
"""Doubt to what the page says; the first is shown first."""

WIDE_RATIO = 2.0
"""Upper over lower end of a 90 % interval that is called wide beyond this: an octave, one step of usual objectives."""
LOW_HE_SCORE = 0.8
"""Probability of H&E below which a snapshot is looked at for that alone."""

RANKS = {doubt: rank for rank, doubt in enumerate(DOUBTS)}

DOUBT_QUERY = f"""
SELECT s.snapshot_id, s.image_sha256, s.review_verdict, s.organ, s.journal, s.year, s.licence_code, s.he_score,
       COALESCE(s.image_mpp_hi_um / s.image_mpp_lo_um, 0) AS ratio,
       CASE
         WHEN s.agreement = 'conflict' THEN 'conflict'
         WHEN s.agreement = 'reviews_differ' THEN 'reviews_differ'
         WHEN NOT s.image_abstained AND (s.bar_mpp_um < s.image_mpp_lo_um OR s.bar_mpp_um > s.image_mpp_hi_um)
           THEN 'disagreement'
         WHEN NOT s.image_abstained AND EXISTS (
             SELECT 1 FROM estimate e WHERE e.snapshot_id = s.snapshot_id AND NOT e.abstained
               AND (e.mpp_um < s.image_mpp_lo_um OR e.mpp_um > s.image_mpp_hi_um)) THEN 'disagreement'
         WHEN s.mpp_um IS NULL THEN 'no_scale'
         WHEN s.magnification_source = 'image' AND s.image_mpp_hi_um > {WIDE_RATIO} * s.image_mpp_lo_um THEN 'wide'
         WHEN s.he_score < {LOW_HE_SCORE} THEN 'low_score'
         ELSE 'none'
       END AS doubt
FROM snapshots s
"""  # noqa: S608 nothing of a user's goes in
"""One row a snapshot, with its doubt."""


def rank_of(doubt: str, agreement: str | None) -> int:
    """Return the rank of a queue row: its doubt's, or that of differing reviewers where that comes earlier."""
    own = RANKS[doubt]
    return min(own, RANKS["reviews_differ"]) if agreement == "reviews_differ" else own
