"""Every policy against every licence code that PMC uses: one test each, and what is refused is listed to the user."""

from __future__ import annotations

import pytest

from harvester.export.dataset import export_dataset
from harvester.export.filters import LICENCE_REASONS, RowFilter
from harvester.export.request import ExportRequest
from tests.harvester.export.test_request import GOOD
from tests.harvester.small_harvest import add_article, open_blank

CODES = ("CC0", "CC BY", "CC BY-SA", "CC BY-ND", "CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND", "TDM", None)
POLICIES: dict[str, tuple[dict[str, object], str]] = {
    "remix": ({}, "CC0, CC BY, CC BY-SA, CC BY-NC, CC BY-NC-SA"),
    "commercial": ({"policy": "commercial"}, "CC0, CC BY, CC BY-SA"),
    "any": ({"policy": "any"}, "CC0, CC BY, CC BY-SA, CC BY-NC, CC BY-NC-SA"),
    "any, ND asked for": (
        {"policy": "any", "include_nd": True},
        "CC0, CC BY, CC BY-SA, CC BY-NC, CC BY-NC-SA, CC BY-ND, CC BY-NC-ND",
    ),
    "commercial, ND asked for": ({"policy": "commercial", "include_nd": True}, "CC0, CC BY, CC BY-SA"),
    "codes": ({"policy": "CC BY,CC0"}, "CC0, CC BY"),
    "codes with ND": ({"policy": "CC BY,CC BY-ND"}, "CC BY, CC BY-ND"),
    "TDM by name": ({"policy": "TDM"}, ""),
}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_takes_what_it_says_and_nothing_else(policy, code):
    request, taken = POLICIES[policy]

    reason = RowFilter(ExportRequest("csv", **request)).why_not({**GOOD, "licence_code": code})

    assert (reason is None) == (code in taken.split(", ")), reason
    assert reason is None or reason in LICENCE_REASONS


@pytest.mark.parametrize("policy", POLICIES)
def test_your_own_files_always_leave_and_figures_with_a_permission_note_never(policy):
    row_filter = RowFilter(ExportRequest("csv", **POLICIES[policy][0]))

    assert row_filter.why_not({**GOOD, "licence_code": "own"}) is None
    for code in CODES:
        noted = {**GOOD, "licence_code": code, "rights": "Reproduced with permission."}
        assert row_filter.why_not(noted) in LICENCE_REASONS


def test_what_a_licence_held_back_is_listed(tmp_path):
    with open_blank(tmp_path / "harvest") as catalog:
        for number, code in enumerate(CODES, start=1):
            add_article(catalog, number, n=1, licence_code=code)

        summary = export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))

    text = summary.text()
    assert "CC BY-ND: the licence is not in the policy of this export" in text
    assert "TDM: the licence allows text mining, not reuse" in text
    assert "no licence stated: no licence is stated" in text
    assert summary.refused_licences.total() == 4
    assert (
        "| CC BY-NC-ND: the licence is not in the policy of this export | 1 |"
        in (tmp_path / "set/README.md").read_text()
    )
