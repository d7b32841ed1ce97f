"""Licence spellings and policies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import UsageError
from harvester.licences import CODES, Policy, check_code, licence_name, normalise_licence

CC = [code for code in CODES if code.startswith("CC ")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CC BY", "CC BY"),
        ("cc by", "CC BY"),
        ("cc-by", "CC BY"),
        ("cc by-nc-nd", "CC BY-NC-ND"),
        ("CC-BY-NC-SA-4.0", "CC BY-NC-SA"),
        ("CC BY 4.0", "CC BY"),
        ("CC BY-SA 3.0 Unported", "CC BY-SA"),
        ("CC BY 4.0 International", "CC BY"),
        ("ccbylicense", "CC BY"),
        ("ccbyncndlicense", "CC BY-NC-ND"),
        ("cc0license", "CC0"),
        ("cc0", "CC0"),
        ("CC0 1.0", "CC0"),
        ("TDM", "TDM"),
        ("own", "own"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC BY"),
        ("http://creativecommons.org/licenses/by-nc/3.0/igo/", "CC BY-NC"),
        ("https://www.creativecommons.org/licenses/by-nc-nd/4.0/deed.en", "CC BY-NC-ND"),
        ("http://creativecommons.org/licences/by-nd-nc/1.0", "CC BY-NC-ND"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
        ("//creativecommons.org/licenses/by/4.0/", "CC BY"),
    ],
)
def test_every_spelling_of_the_sources_is_understood(text, code):
    assert normalise_licence(text) == code


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "free",
        "open access",
        "cc",
        "cc nc",
        "cc by-by",
        "cc by-sa-nd",
        "CC BY-XX",
        "NO-CC CODE",
        "https://creativecommons.org.example.org/licenses/by/4.0/",
        "https://example.org/?u=https://creativecommons.org/licenses/by/4.0/",
        "https://creativecommons.org/licenses/bynd/4.0/",
        "https://www.elsevier.com/tdm/userlicense/1.0/",
        "cc by" * 100,
    ],
)
def test_what_is_no_known_licence_is_none(text):
    assert normalise_licence(text) is None


@given(st.sampled_from(CODES))
def test_a_code_means_itself(code):
    assert normalise_licence(code) == code == check_code(code.lower())


@given(
    st.sampled_from(CC),
    st.sampled_from(["1.0", "2.5", "3.0", "4.0"]),
    st.booleans(),
    st.sampled_from(["", "/", "/legalcode"]),
)
def test_an_address_means_its_code(code, version, secure, end):
    parts = code.removeprefix("CC ").lower()
    address = f"http{'s' * secure}://creativecommons.org/licenses/{parts}/{version}{end}"

    assert normalise_licence(address) == code


@given(st.text(max_size=400))
def test_any_text_gives_a_code_or_none(text):
    assert normalise_licence(text) in {*CODES, None}


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("remix", {"CC0", "CC BY", "CC BY-SA", "CC BY-NC", "CC BY-NC-SA", "own"}),
        ("commercial", {"CC0", "CC BY", "CC BY-SA", "own"}),
        ("any", {*CODES, None}),
        ("CC BY, cc0", {"CC BY", "CC0", "own"}),
        ("cc by-nd", {"CC BY-ND", "own"}),
    ],
)
def test_a_policy_downloads_exactly_its_licences(policy, allowed):
    parsed = Policy.parse(policy)

    assert {code for code in (*CODES, None) if parsed.allows_download(code)} == allowed


@pytest.mark.parametrize("policy", ["remix", "commercial", "any", "CC BY,CC BY-NC-ND,TDM"])
def test_crops_of_text_mining_and_unknown_licences_never_leave(policy):
    parsed = Policy.parse(policy)

    for include_nd in (False, True):
        assert not parsed.allows_crops("TDM", include_nd=include_nd)
        assert not parsed.allows_crops(None, include_nd=include_nd)
        assert parsed.allows_crops("own", include_nd=include_nd)


def test_crops_of_nd_figures_leave_only_when_asked_for():
    assert not Policy.parse("any").allows_crops("CC BY-ND")
    assert Policy.parse("any").allows_crops("CC BY-ND", include_nd=True)
    assert Policy.parse("CC BY-ND").allows_crops("CC BY-ND")
    assert not Policy.parse("remix").allows_crops("CC BY-ND", include_nd=True)


@given(st.sets(st.sampled_from(CODES), min_size=1), st.booleans())
def test_a_list_of_codes_reads_back_from_its_name(codes, lower):
    text = ",".join(sorted(codes))
    policy = Policy.parse(text.lower() if lower else text)

    assert policy.codes == codes
    assert Policy.parse(policy.name) == policy


@pytest.mark.parametrize("text", ["", "free", "CC BY,", "remix,CC BY", "CC BY-XX"])
def test_a_policy_that_is_none_is_refused_in_one_sentence(text):
    with pytest.raises(UsageError, match="is no licence policy: give remix, commercial, any, or codes"):
        Policy.parse(text)


def test_a_code_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'mine' is no licence code; known are CC0, CC BY"):
        check_code("mine")


def test_every_code_has_a_name_for_people():
    assert all(licence_name(code) != code for code in CODES)
    assert licence_name(None) == "no licence stated"
