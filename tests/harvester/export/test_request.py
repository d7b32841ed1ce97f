"""What an export lets through, and which requests make no sense."""

from __future__ import annotations

import pytest

from harvester.errors import UsageError
from harvester.export.filters import REASONS, RowFilter
from harvester.export.request import FORMATS, ExportRequest

GOOD: dict[str, object] = {
    "is_retracted": 0,
    "is_removed": 0,
    "superseded_by": None,
    "licence_code": "CC BY",
    "text_licence_code": None,
    "rights": None,
    "review_verdict": None,
    "kind": "he",
    "he_score": 0.8,
    "tissue_share": 0.6,
    "organ": "Liver",
    "journal": "J Test",
    "year": 2020,
    "article_id": "PMC1.1",
    "magnification_source": "image",
    "image_mpp_lo99_um": 0.3,
    "image_mpp_hi99_um": 0.8,
    "width_px": 300,
    "height_px": 200,
    "agreement": "single",
    "image_abstained": 0,
    "mpp_um": 0.5,
    "mpp_lo_um": 0.4,
    "mpp_hi_um": 0.6,
}


def why_not(changes: dict[str, object], **request: object) -> str | None:
    return RowFilter(ExportRequest("csv", **request)).why_not({**GOOD, **changes})  # type: ignore[arg-type]


UNKNOWN = {"mpp_um": None, "mpp_lo_um": None, "mpp_hi_um": None, "agreement": None}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"is_retracted": 1}, "retracted"),
        ({"is_removed": 1}, "removed"),
        ({"superseded_by": "PMC1.2"}, "superseded"),
        ({"licence_code": None}, "licence_not_stated"),
        ({"licence_code": "TDM"}, "licence_text_mining_only"),
        ({"licence_code": "CC BY-ND"}, "licence_not_in_policy"),
        ({"licence_code": "own"}, None),
        ({"licence_code": "own", "rights": "reprinted", "text_licence_code": "CC BY-ND"}, None),
        ({"text_licence_code": "CC BY-NC-ND"}, "licence_not_in_policy"),
        ({"text_licence_code": "CC BY-NC"}, None),
        ({"rights": "Reproduced with permission."}, "rights"),
        ({"review_verdict": "reject"}, "rejected"),
        ({"review_verdict": "accept"}, None),
        ({"agreement": "conflict", **dict.fromkeys(("mpp_um", "mpp_lo_um", "mpp_hi_um"))}, "conflict"),
        ({"agreement": "reviews_differ"}, "reviews_differ"),
        ({**UNKNOWN, "image_abstained": 1}, "abstained"),
        ({**UNKNOWN, "image_abstained": None}, "not_estimated"),
    ],
)
def test_what_stays_behind_without_being_asked(changes, reason):
    assert why_not(changes) == reason


@pytest.mark.parametrize(
    ("changes", "request_", "reason"),
    [
        ({"licence_code": "CC BY-NC"}, {"policy": "commercial"}, "licence_not_in_policy"),
        ({"licence_code": "CC BY-ND"}, {"policy": "any"}, "licence_no_derivatives"),
        ({"licence_code": "CC BY-ND"}, {"policy": "any", "include_nd": True}, None),
        ({"licence_code": "TDM"}, {"policy": "any", "include_nd": True}, "licence_text_mining_only"),
        ({"licence_code": None}, {"policy": "any", "include_nd": True}, "licence_not_stated"),
        ({"text_licence_code": "CC BY-NC"}, {"policy": "commercial"}, "licence_not_in_policy"),
        ({}, {"min_he_score": 0.9}, "he_score"),
        ({}, {"min_he_score": 0.8}, None),
        ({}, {"mpp_min_um": 0.6}, "mpp_range"),
        ({}, {"mpp_max_um": 0.4}, "mpp_range"),
        ({}, {"mpp_min_um": 0.5, "mpp_max_um": 0.5}, None),
        ({}, {"max_interval_ratio": 1.4}, "interval"),
        ({}, {"max_interval_ratio": 1.6}, None),
        ({"mpp_lo_um": None, "mpp_hi_um": None}, {"max_interval_ratio": 1.0}, None),
        ({**UNKNOWN, "image_abstained": 1}, {"include_abstained": True}, None),
        ({**UNKNOWN, "image_abstained": 1}, {"include_abstained": True, "mpp_max_um": 1.0}, "mpp_range"),
        ({**UNKNOWN, "agreement": "conflict"}, {"include_conflicts": True}, None),
        ({**UNKNOWN, "agreement": "conflict"}, {"include_abstained": True}, "conflict"),
        ({"agreement": "reviews_differ"}, {"include_conflicts": True}, None),
    ],
)
def test_filters_and_what_is_asked_for(changes, request_, reason):
    assert why_not(changes, **request_) == reason


def test_every_reason_has_words():
    assert all(REASONS.values())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "zip"}, "'zip' is not known"),
        ({"policy": "free"}, "is no licence policy"),
        ({"min_he_score": 1.5}, "--min-he-score"),
        ({"min_he_score": float("nan")}, "--min-he-score"),
        ({"mpp_min_um": 0.0}, "--mpp-min"),
        ({"mpp_max_um": float("inf")}, "--mpp-max"),
        ({"mpp_min_um": 2.0, "mpp_max_um": 1.0}, "larger than --mpp-max"),
        ({"max_interval_ratio": 0.9}, "--max-interval-ratio"),
        ({"max_interval_ratio": float("nan")}, "--max-interval-ratio"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(values, words):
    with pytest.raises(UsageError, match=words):
        ExportRequest(**{"format": "csv", **values})


def test_the_formats_of_the_contract_are_there():
    assert set(FORMATS) == {"imagefolder", "parquet", "webdataset", "coco", "csv", "qupath"}
