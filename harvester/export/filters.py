"""Which snapshots an export lets through, and why it does not let the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harvester.export.request import ExportRequest
from harvester.export.spread import spread_of
from harvester.licences import NO_DERIVATIVES, Policy

Row = Mapping[str, Any]

REASONS: dict[str, str] = {
    "retracted": "the article was retracted",
    "removed": "its source took the article back",
    "superseded": "the article is there in a newer version",
    "licence_not_stated": "no licence is stated (for files of your own: `harvester add --license own`)",
    "licence_text_mining_only": "the licence allows text mining, not reuse",
    "licence_no_derivatives": "the licence forbids derivatives, which a crop may be (`--include-nd` takes them)",
    "licence_not_in_policy": "the licence is not in the policy of this export",
    "rights": "the figure carries a permission note of its own",
    "kind": "another kind of picture than asked for",
    "he_score": "H&E less likely than asked for",
    "tissue": "less tissue than asked for",
    "organ": "another organ than asked for, or none known",
    "journal": "another journal than asked for",
    "mesh": "none of the MeSH headings asked for",
    "year": "published outside the years asked for, or in an unknown one",
    "rejected": "a reviewer rejected the snapshot",
    "verdict": "another verdict of the reviewers than asked for",
    "reviews_differ": "reviewers differ (`--include-conflicts` takes them)",
    "conflict": "scale bar and image contradict each other (`--include-conflicts` takes them)",
    "agreement": "another agreement of the witnesses than asked for",
    "scale_from": "the pixel size comes from another witness than asked for",
    "abstained": "the model would not say how large a pixel is (`--include-abstained` takes them)",
    "not_estimated": "nothing is known of the scale yet (`harvester annotate` first)",
    "mpp_range": "pixel size outside the range asked for",
    "coarser": "coarser than the pixel size that everything is brought to",
    "interval": "the interval of the pixel size is wider than asked for",
    "confidence": "the true pixel size is within the tolerance with less probability than asked for",
    "too_small": "smaller than one tile",
    "duplicate": "the same picture, or nearly, is in the same split of the export already (`--keep-duplicates`)",
    "duplicate_across": "the same picture, or nearly, is in another split, where it stays",
    "image_missing": "the image file is not there (`harvester verify --repair`)",
    "image_damaged": "the image file is damaged (`harvester verify --repair`)",
    "overlay": "letters, bars or arrows leave no clean piece that is large enough",
    "figure_unreadable": "the figure could not be read from the article's files again as it was",
}
"""Why a snapshot is left out, in the order in which the reasons are tried; the first one counts."""

LICENCE_REASONS = frozenset(name for name in REASONS if name.startswith("licence_")) | {"rights"}


class RowFilter:
    """Judges rows of the view `snapshots` for one request.

    Args:
        mesh_articles: Ids of the articles that have one of the MeSH headings asked for; the view has no headings.
    """

    def __init__(self, request: ExportRequest, mesh_articles: frozenset[str] = frozenset()) -> None:
        self._request = request
        self._policy = Policy.parse(request.policy)
        self._mesh_articles = mesh_articles
        self._organs = frozenset(word.casefold() for word in request.organs)
        self._journals = frozenset(word.casefold() for word in request.journals)
        self._questions: tuple[Callable[[Row], str | None], ...] = (
            self._licence,
            self._subject,
            self._witnesses,
            self._scale,
        )

    def why_not(self, row: Row) -> str | None:
        """Return the reason (a key of REASONS) why a row stays behind; None when it goes."""
        if row["is_retracted"]:
            return "retracted"
        if row["is_removed"]:
            return "removed"
        if row["superseded_by"] is not None:
            return "superseded"
        return next((reason for question in self._questions if (reason := question(row))), None)

    def _licence(self, row: Row) -> str | None:
        code, in_text = row["licence_code"], row["text_licence_code"]
        if code == "own":
            return None
        # metadata and the article's own text may disagree; then both have to allow it
        for stated in (code, in_text) if in_text is not None else (code,):
            if stated is None:
                return "licence_not_stated"
            if stated == "TDM":
                return "licence_text_mining_only"
            if not self._policy.allows_crops(stated, include_nd=self._request.include_nd):
                asked = self._policy.allows_download(stated) and stated in NO_DERIVATIVES
                return "licence_no_derivatives" if asked else "licence_not_in_policy"
        return "rights" if row["rights"] is not None else None

    def _subject(self, row: Row) -> str | None:
        asked = self._request
        if asked.kinds and row["kind"] not in asked.kinds:
            return "kind"
        if row["he_score"] < asked.min_he_score:
            return "he_score"
        if row["tissue_share"] < asked.min_tissue_share:
            return "tissue"
        if self._organs and (row["organ"] or "").casefold() not in self._organs:
            return "organ"
        if self._journals and (row["journal"] or "").casefold() not in self._journals:
            return "journal"
        if asked.mesh and row["article_id"] not in self._mesh_articles:
            return "mesh"
        year = row["year"]
        if asked.year_from is not None and (year is None or year < asked.year_from):
            return "year"
        if asked.year_until is not None and (year is None or year > asked.year_until):
            return "year"
        return None

    def _witnesses(self, row: Row) -> str | None:
        asked, verdict, agreement = self._request, row["review_verdict"], row["agreement"]
        if verdict == "reject" and "reject" not in asked.verdicts:
            return "rejected"
        if asked.verdicts and (verdict or "none") not in asked.verdicts:
            return "verdict"
        wanted = agreement in asked.agreements
        if agreement in ("reviews_differ", "conflict") and not (asked.include_conflicts or wanted):
            return str(agreement)
        if asked.agreements and not wanted:
            return "agreement"
        if asked.witnesses and row["magnification_source"] not in asked.witnesses:
            return "scale_from"
        return None

    def _scale(self, row: Row) -> str | None:
        asked, mpp_um = self._request, row["mpp_um"]
        if mpp_um is None and row["agreement"] != "conflict" and not asked.include_abstained:
            return "abstained" if row["image_abstained"] else "not_estimated"
        if asked.mpp_min_um is not None and (mpp_um is None or mpp_um < asked.mpp_min_um):
            return "mpp_range"
        if asked.mpp_max_um is not None and (mpp_um is None or mpp_um > asked.mpp_max_um):
            return "mpp_range"
        if asked.at_mpp_um is not None:
            if mpp_um is None:
                return "conflict"
            if mpp_um > asked.at_mpp_um:
                return "coarser"
        lo_um, hi_um = row["mpp_lo_um"], row["mpp_hi_um"]
        if asked.max_interval_ratio is not None and lo_um and hi_um and hi_um / lo_um > asked.max_interval_ratio:
            return "interval"
        if asked.tolerance is not None:
            if mpp_um is None:
                return "conflict"
            spread = spread_of(row)
            if spread is not None and spread.probability_within(asked.tolerance) < asked.confidence:
                return "confidence"
        if asked.tile_px is not None:
            shrink = 1.0 if asked.at_mpp_um is None else mpp_um / asked.at_mpp_um
            if min(row["width_px"], row["height_px"]) * shrink < asked.tile_px - 1e-6:
                return "too_small"
        return None
