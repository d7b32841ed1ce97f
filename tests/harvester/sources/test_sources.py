"""Real answers of the services are read, hostile ones are refused, and searches walk every slice once."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.errors import MalformedArticle, UsageError
from harvester.licences import Policy
from harvester.sources import Hit
from harvester.sources.bucket import (
    ArticleMetadata,
    Refusal,
    choose_version,
    list_sizes,
    list_versions,
    parse_metadata,
    parse_versions,
    refusal_of,
)
from harvester.sources.europepmc import EuropePmcSearch, build_query, parse_results
from harvester.sources.pmc import PmcSearch, build_term, parse_search, split_dates, with_dates
from harvester.sources.query import check_query, unfielded_in_entrez, unfielded_in_europepmc

BASE = "https://bucket.example.org"
REMIX = Policy.parse("remix")


@pytest.fixture(scope="module")
def samples(shared_dir: Path) -> Path:
    return shared_dir / "pmc_samples"


class Memory:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get_checkpoint(self, key: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.values.get(key))

    def set_checkpoint(self, key: str, value: Any) -> None:
        # as a database gives it back
        self.values[key] = json.loads(json.dumps(value))
        if value is None:
            del self.values[key]


class Services:
    """Answers from a function; `asked` lists what was asked."""

    def __init__(self, answer: Callable[[dict], Any]) -> None:
        self.answer, self.asked = answer, []

    def _ask(self, path, params, parse):
        self.asked.append(dict(params))
        return parse(self.answer(dict(params)))

    ask_eutils = ask_europepmc = ask_bucket = _ask


# the bucket


def test_real_metadata_are_read(samples: Path) -> None:
    found = {}
    for path in sorted((samples / "s3").glob("*.json")):
        record = json.loads(path.read_text())
        found[path.name] = parse_metadata(path.read_bytes(), record["pmcid"], record["version"], BASE)

    many = found["s3_meta_PMC11592912.1.json"]
    assert many.article_id == "PMC11592912.1" and many.licence_code == "CC BY" and many.pmid == 39593914
    assert len(many.images) == 18 and many.images[3].name == "entropy-26-00970-g004a.jpg"
    assert many.pdf is not None and many.pdf.md5 == "b9341a524eb57a192b5d3bd969c2d840"
    assert many.pdf.url == f"{BASE}/PMC11592912.1/PMC11592912.1.pdf" and many.pdf.name == "PMC11592912.1.pdf"
    article = many.as_article("pmc", "a query")
    assert (article.journal, article.year, article.query) == ("Entropy (Basel)", 2024, "a query")
    assert found["s3_meta_PMC4924218.1.json"].images == ()
    manuscript = found["s3_meta_PMC7983342.1_AM.json"]
    assert manuscript.is_manuscript and manuscript.pdf is None and manuscript.licence_code == "TDM"
    refusal = refusal_of(manuscript, REMIX)
    assert refusal is not None and refusal.reason == "licence:TDM"


def test_real_listings_are_read(samples: Path) -> None:
    two = (samples / "s3/s3_list_two_versions_PMC7988253.xml").read_bytes()
    none = (samples / "s3/s3_list_PMC12977955_empty.xml").read_bytes()

    assert parse_versions(two, "PMC7988253") == ([1, 2], None)
    assert parse_versions(none, "PMC12977955") == ([], None)
    assert parse_versions(two, "PMC798825") == ([], None)


def test_equal_versions_of_a_real_article_give_the_newest(samples: Path) -> None:
    both = [
        parse_metadata((samples / f"s3/s3_meta_PMC7988253.{v}.json").read_bytes(), "PMC7988253", v, BASE)
        for v in (1, 2)
    ]
    chosen = choose_version(both, REMIX)
    assert isinstance(chosen, ArticleMetadata) and chosen.version == 2
    kept = choose_version(both, REMIX, have=1)
    assert isinstance(kept, ArticleMetadata) and kept.version == 1


def listing(inner: str, root: str = "ListBucketResult") -> bytes:
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def test_listings_are_read_to_their_last_page() -> None:
    def prefix(text: str) -> str:
        return f"<CommonPrefixes><Prefix>{text}</Prefix></CommonPrefixes>"

    pages = {
        "": "<IsTruncated>true</IsTruncated><NextContinuationToken>t/+=</NextContinuationToken>"
        + "".join(map(prefix, ["PMC1.10/", "PMC1.2/", "PMC1.x/", "PMC12.3/", "PMC1.0/", "PMC1.2/x/", "../"])),
        "t/+=": "<IsTruncated>false</IsTruncated>" + prefix("PMC1.3/"),
    }
    services = Services(lambda params: listing(pages[params.get("continuation-token", "")]))

    assert list_versions(services, "PMC1") == [2, 3, 10]
    assert services.asked[0] == {"list-type": "2", "prefix": "PMC1.", "delimiter": "/"}


def test_sizes_are_read() -> None:
    inner = "".join(f"<Contents><Key>{k}</Key><Size>{n}</Size></Contents>" for k, n in [("PMC1.1/a.pdf", 5), ("x", 6)])
    assert list_sizes(Services(lambda params: listing(inner)), "PMC1.1") == {"a.pdf": 5}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xml",
        listing("", "Error"),
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><ListBucketResult>&x;</ListBucketResult>',
        b"<ListBucketResult>" + b"<a>" * 5000,
        b"<html><body>Preparing to download</body></html>",
    ],
)
def test_what_is_no_listing_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_versions(content, "PMC1")


def record(**changes: Any) -> bytes:
    fields = {
        "pmcid": "PMC1",
        "version": 1,
        "title": "A title",
        "is_pmc_openaccess": True,
        "license_code": "CC BY",
        "xml_url": f"s3://pmc-oa-opendata/PMC1.1/PMC1.1.xml?md5={'a' * 32}",
        "pdf_url": f"s3://pmc-oa-opendata/PMC1.1/main file.pdf?md5={'b' * 32}",
        "media_urls": [],
    }
    return json.dumps({**fields, **changes}).encode()


def test_files_get_their_own_name_and_a_quoted_address() -> None:
    media = [f"s3://pmc-oa-opendata/PMC1.1/{name}?md5={'c' * 32}" for name in ("a b?#%é.JPG", "mmc1.pdf", "g.webp")]
    found = parse_metadata(record(media_urls=media), "PMC1", 1, BASE)

    assert (
        found.pdf is not None and found.pdf.name == "PMC1.1.pdf" and found.pdf.url == f"{BASE}/PMC1.1/main%20file.pdf"
    )
    assert [image.name for image in found.images] == ["a b?#%é.JPG", "g.webp"]
    assert found.images[0].url == f"{BASE}/PMC1.1/a%20b%3F%23%25%C3%A9.JPG"


@pytest.mark.parametrize(
    "name",
    [
        "../PMC2.1/a.jpg",
        "sub/a.jpg",
        "C:\\a.jpg",
        "a\nb.jpg",
        "..\\a.jpg",
        "\ud800.jpg",
        "x" * 300 + ".jpg",
        "pmc1.1.PDF/x.jpg",
    ],
)
def test_media_names_that_are_no_names_are_left_out(name: str) -> None:
    good = f"s3://pmc-oa-opendata/PMC1.1/good.jpg?md5={'c' * 32}"
    found = parse_metadata(record(media_urls=[f"s3://pmc-oa-opendata/PMC1.1/{name}", good]), "PMC1", 1, BASE)

    assert [image.name for image in found.images] == ["good.jpg"]
    assert len(found.bad_names) == 1 and found.bad_names[0].isascii()


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_no_announced_name_leads_out_of_the_articles_folder(name: str) -> None:
    address = f"s3://pmc-oa-opendata/PMC1.1/{name}.jpg"
    found = parse_metadata(record(media_urls=[address]), "PMC1", 1, BASE)

    for image in found.images:
        assert "/" not in image.name and "\\" not in image.name and image.name not in {".", ".."}
        assert image.url is not None and image.url.startswith(f"{BASE}/PMC1.1/") and image.url.count("/") == 4
        assert "?" not in image.url and "#" not in image.url


@pytest.mark.parametrize(
    "changes",
    [
        {"pmcid": "PMC2"},
        {"pmcid": None},
        {"version": 2},
        {"pdf_url": "s3://other-bucket/PMC1.1/PMC1.1.pdf"},
        {"pdf_url": "https://example.org/PMC1.1.pdf"},
        {"pdf_url": "s3://pmc-oa-opendata/PMC2.1/PMC2.1.pdf"},
        {"pdf_url": "s3://pmc-oa-opendata/PMC1.1/../PMC2.1/PMC2.1.pdf"},
        {"pdf_url": "s3://pmc-oa-opendata/PMC1.1/"},
        {"xml_url": 7},
    ],
)
def test_metadata_of_something_else_are_refused_for_good(changes: dict) -> None:
    with pytest.raises(MalformedArticle) as caught:
        parse_metadata(record(**changes), "PMC1", 1, BASE)
    assert caught.value.reason == "bad_metadata"


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"<html>", b"[" * 100_000])
def test_metadata_that_can_not_be_read_may_come_right(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_metadata(content, "PMC1", 1, BASE)


def test_odd_values_become_none_and_raw_newlines_pass() -> None:
    odd = record(title=["x"], doi=7, pmid=True, citation=None, license_code=None, media_urls="none")
    found = parse_metadata(odd, "PMC1", 1, BASE)
    assert (found.title, found.doi, found.pmid, found.citation, found.licence_code) == (None,) * 5
    broken = record(title="two TEXT lines").replace(b"TEXT", b"\n\t")
    assert parse_metadata(broken, "PMC1", 1, BASE).title == "two lines"
    assert parse_metadata(record(title="\ud83d x \x00"), "PMC1", 1, BASE).title == "? x"


def version_of(number: int, **changes: Any) -> ArticleMetadata:
    media = [f"s3://pmc-oa-opendata/PMC1.{number}/a.jpg"] if changes.pop("has_images", True) else []
    folder = f"s3://pmc-oa-opendata/PMC1.{number}"
    fields = {"version": number, "xml_url": f"{folder}/a.xml", "pdf_url": f"{folder}/a.pdf", "media_urls": media}
    return parse_metadata(record(**{**fields, **changes}), "PMC1", number, BASE)


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([version_of(2), version_of(10)], 10),
        ([version_of(1), version_of(2, is_manuscript=True)], 1),
        ([version_of(1), version_of(2, pdf_url=None)], 1),
        ([version_of(1), version_of(2, has_images=False)], 1),
        ([version_of(1), version_of(2, is_retracted=True)], 1),
        ([version_of(1), version_of(2, license_code="CC BY-ND")], 1),
        ([version_of(1, is_historical_ocr=True)], "ocr"),
        ([version_of(1, is_retracted=True)], "retracted"),
        ([version_of(1, license_code=None)], "licence:none"),
        ([version_of(1, license_code="NO-CC CODE")], "licence:NO-CC CODE"),
        ([version_of(1, is_pmc_openaccess=False)], "not_open_access"),
        ([version_of(1, pdf_url=None)], "no_pdf"),
        ([version_of(1, xml_url=None)], "no_xml"),
        ([], "no_version"),
    ],
)
def test_versions_are_chosen_by_what_they_are(candidates: list[ArticleMetadata], chosen: int | str) -> None:
    found = choose_version(candidates, REMIX)
    assert (found.reason if isinstance(found, Refusal) else found.version) == chosen


# E-utilities


def test_real_search_answers_are_read(samples: Path) -> None:
    answer = json.loads((samples / "eutils/esearch_pmc_doi_2026-09-30.json").read_text())

    page = parse_search(answer)

    assert page.n_hits == 5 and page.is_complete and page.pmcids[0] == "PMC13598418"
    assert page.understood.startswith('"10.3390/nu8060377"[All Fields]') and page.notes == ()


def test_what_the_service_did_not_find_is_noted() -> None:
    result = {
        "count": "0",
        "idlist": [],
        "errorlist": {"phrasesnotfound": ["abcXYZ"], "fieldsnotfound": []},
        "warninglist": {
            "phrasesignored": [],
            "quotedphrasesnotfound": ['"a b"'],
            "outputmessages": ["No items found."],
        },
    }
    assert parse_search({"esearchresult": result}).notes == (
        "The service found nothing for: abcXYZ.",
        'The service does not know this phrase and searched its words instead: "a b".',
        "The service says: No items found.",
    )


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"count": "x", "idlist": []},
        {"count": "1"},
        {"count": "1", "idlist": ["PMC1"]},
        {"count": "1", "idlist": [1]},
        {"count": "1", "idlist": ["../1"]},
        {"count": "1", "idlist": ["٣"]},
    ],
)
def test_search_answers_of_another_shape_are_refused(result: Any) -> None:
    with pytest.raises(ValueError):
        parse_search({"esearchresult": result})


def test_terms_keep_the_query_in_brackets_and_add_the_filters() -> None:
    assert build_term("a OR b", Policy.parse("commercial"), histology=False) == (
        "(a OR b) AND open_access[filter]"
        " AND (cc0_license[filter] OR cc_by_license[filter] OR cc_by-sa_license[filter])"
    )
    assert "cc_" not in build_term("a", Policy.parse("any"), histology=False)
    assert '"H&E"[Figure/Table Caption]' in build_term("a", REMIX, histology=True)
    assert (
        with_dates("(a) AND b", date(2026, 1, 2), date(2026, 3, 4)) == "((a) AND b) AND 2026/01/02:2026/03/04[pmcrdat]"
    )
    with pytest.raises(UsageError):
        build_term("a", Policy.parse("own"), histology=False)


@pytest.mark.parametrize("query", ["", "  ", "a) OR (b", "(a", 'say "x', "a\x07"])
def test_queries_that_would_escape_their_brackets_are_refused(query: str) -> None:
    with pytest.raises(UsageError):
        check_query(query)


def test_brackets_inside_quotes_do_not_count() -> None:
    assert check_query('"a (b"  AND\n(c)') == '"a (b" AND (c)'


def test_words_without_a_field_are_named() -> None:
    query = 'colon cancer[Title] AND (adenoma OR "big polyp") NOT "x [y"[Title] AND 2020:2021[pmcrdat]'
    assert unfielded_in_entrez(query) == ["adenoma", '"big polyp"']
    assert unfielded_in_europepmc('TITLE:"a b" AND (foo OR KW:x) AND ABSTRACT:(a OR b)') == ["foo"]


@given(st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.integers(1, 5000))
def test_pieces_of_a_range_follow_each_other_without_gap(last: date, n_days: int) -> None:
    first = last - timedelta(days=n_days)

    pieces = split_dates(first, last)

    assert len(pieces) > 1
    assert pieces[0][1] == last and pieces[-1][0] == first
    assert all(begin <= end for begin, end in pieces)
    assert all(newer[0] - older[1] == timedelta(days=1) for newer, older in pairwise(pieces))


class Index:
    """ESearch over (id, day), showing `ceiling` ids at most."""

    def __init__(self, days: list[date], ceiling: int) -> None:
        self.days, self.ceiling = days, ceiling

    def __call__(self, params: dict) -> dict:
        found = range(len(self.days))
        if "[pmcrdat]" in params["term"]:
            words = params["term"].rpartition(" ")[2].removesuffix("[pmcrdat]").split(":")
            first, last = (date(*map(int, word.split("/"))) for word in words)
            found = [n for n in found if first <= self.days[n] <= last]
        ids = [str(n + 1) for n in found][: min(self.ceiling, int(params["retmax"]))]
        return {"esearchresult": {"count": str(len(found)), "idlist": ids, "querytranslation": "understood"}}


@given(
    st.lists(st.dates(date(1985, 1, 1), date(2026, 6, 1)), max_size=40),
    st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_every_article_is_reached_once_unless_a_day_holds_too_many(days: list[date], ceiling: int) -> None:
    said: list[str] = []
    memory = Memory()
    services = Services(Index(days, ceiling))
    search = PmcSearch(services, memory, "x[Title]", REMIX, today=date(2026, 6, 1), say=said.append)

    start = search.start()
    hits = [hit.subject for hit in search.hits()]

    lost = sum(max(0, days.count(day) - ceiling) for day in set(days)) if len(days) > ceiling else 0
    assert start.n_hits == len(days)
    assert len(hits) == len(set(hits)) == len(days) - lost
    assert bool(lost) == any("the service shows" in sentence for sentence in said)
    assert all(int(params["retmax"]) <= 9999 and params["retstart"] == "0" for params in services.asked)
    search.forget()
    assert memory.values == {}


def test_an_interrupted_search_goes_on_with_the_same_articles() -> None:
    days = [date(2026, 3, n % 28 + 1) for n in range(60)]
    memory, first, second = Memory(), Services(Index(days, 5)), Services(Index([*days, date(2026, 4, 1)], 5))

    def search(services: Services, today: date) -> PmcSearch:
        made = PmcSearch(services, memory, "x[Title]", REMIX, today=today, say=lambda sentence: None)
        made.start()
        return made

    whole = [hit.subject for hit in search(Services(Index(days, 5)), date(2026, 3, 31)).hits()]
    memory.values.clear()
    hits = search(first, date(2026, 3, 31)).hits()
    begun = [next(hits).subject for _ in range(20)]
    n_before = len(first.asked)
    rest = [hit.subject for hit in search(second, date(2026, 4, 2)).hits()]

    assert begun == whole[:20] and rest == whole
    assert len(second.asked) + n_before < 45


def test_a_limit_of_hits_asks_no_more_slices_than_needed() -> None:
    days = [date(2026, 3, n % 28 + 1) for n in range(60)] + [date(2010, 1, n % 28 + 1) for n in range(60)]
    services = Services(Index(days, 5))
    search = PmcSearch(services, Memory(), "x[Title]", REMIX, today=date(2026, 3, 31), say=lambda sentence: None)
    search.start()
    hits = search.hits()

    assert next(hits) == Hit("PMC28") and next(hits) == Hit("PMC56")
    assert len(services.asked) < 12


def test_licences_are_counted_by_the_service() -> None:
    services = Services(Index([date(2026, 1, 1)] * 3, 9999))
    search = PmcSearch(services, Memory(), "x[Title]", REMIX, today=date(2026, 3, 31), say=lambda sentence: None)

    assert search.count("CC BY-NC-ND") == 3 and search.count(None) == 3 and search.count("TDM") == 0
    assert services.asked[0]["retmax"] == "0" and "cc_by-nc-nd_license[filter]" in services.asked[0]["term"]


# Europe PMC


def test_real_europe_pmc_answers_are_read(samples: Path) -> None:
    lite = parse_results(json.loads((samples / "europepmc/epmc_search_lite_2026-09-30.json").read_text()), "*")
    preprint = parse_results(json.loads((samples / "europepmc/epmc_search_core_preprint.json").read_text()), "*")

    assert lite.n_hits == 7 and lite.cursor is None
    assert [r.subject for r in lite.records if r.is_open_access] == ["PMC4924218"]
    assert lite.records[0].subject == "MED:42781191"
    assert preprint.records[0].subject == "PPR:PPR1114009" and preprint.records[0].licence == "cc by-nc-nd"


@pytest.mark.parametrize(
    "answer",
    [
        {"version": "6.9"},
        {"hitCount": "3"},
        {"hitCount": 3, "resultList": []},
        {"hitCount": 1, "resultList": {"result": [7]}},
        {"hitCount": 1, "resultList": {"result": [{"source": "../", "id": "x"}]}},
    ],
)
def test_europe_pmc_answers_of_another_shape_are_refused(answer: dict) -> None:
    with pytest.raises(ValueError):
        parse_results(answer, "*")


def test_one_result_may_come_without_a_list() -> None:
    answer = {"hitCount": 1, "resultList": {"result": {"pmcid": "PMC5", "inPMC": "Y"}}, "nextCursorMark": "abc"}
    page = parse_results(answer, "*")
    assert page.records[0].subject == "PMC5" and page.cursor == "abc"


def test_europe_pmc_queries_keep_their_brackets() -> None:
    base, licences = build_query(
        "a OR b", Policy.parse("commercial"), histology=True, first=date(2026, 1, 1), last=None
    )
    assert base.startswith(
        '(a OR b) AND (FIG:"hematoxylin and eosin" OR FIG:"H&E" OR FIG:histopathology) AND OPEN_ACCESS:y'
    )
    assert base.endswith("FIRST_PDATE:[2026-01-01 TO 2999-12-31]")
    assert licences == '(LICENSE:"cc0" OR LICENSE:"cc by" OR LICENSE:"cc by-sa")'
    assert build_query("a", Policy.parse("any"), histology=False, first=None, last=None)[1] == ""


class Cursor:
    """Europe PMC over records, `size` a page; `breaks` makes the licence filter find nothing."""

    def __init__(self, records: list[dict], size: int, breaks: bool = False) -> None:
        self.records, self.size, self.breaks = records, size, breaks

    def __call__(self, params: dict) -> dict:
        records = [] if self.breaks and "LICENSE" in params["query"] else self.records
        start = 0 if params["cursorMark"] == "*" else int(params["cursorMark"])
        page = records[start : start + self.size]
        return {"hitCount": len(records), "nextCursorMark": str(start + len(page)), "resultList": {"result": page}}


RECORDS = [
    {"pmcid": f"PMC{n}", "inPMC": "Y", "isOpenAccess": "Y", "license": "cc by", "source": "MED", "id": str(n)}
    for n in range(1, 8)
]


@pytest.mark.parametrize("breaks", [False, True])
def test_pages_are_followed_and_kept(breaks: bool) -> None:
    memory, services = Memory(), Services(Cursor(RECORDS, 3, breaks))
    search = EuropePmcSearch(services, memory, "TITLE:x", REMIX, say=lambda sentence: None)
    start = search.start()
    hits = [hit.subject for hit in search.hits()]
    n_asked = len(services.asked)

    again = EuropePmcSearch(services, memory, "TITLE:x", REMIX, say=lambda sentence: None)
    again.start()

    assert hits == [f"PMC{n}" for n in range(1, 8)] and start.n_hits == 7
    assert bool(start.notes) == breaks
    assert [hit.subject for hit in again.hits()] == hits and len(services.asked) == n_asked
    again.forget()
    assert memory.values == {}


def test_hits_that_can_not_be_taken_say_why() -> None:
    odd = [
        {**RECORDS[0], "license": "cc by-nd"},
        {**RECORDS[1], "isOpenAccess": "N"},
        {**RECORDS[2], "inPMC": "N"},
        {**RECORDS[3], "license": None},
    ]
    search = EuropePmcSearch(Services(Cursor(odd, 9)), Memory(), "TITLE:x", REMIX, say=lambda sentence: None)
    search.start()

    assert [(hit.subject, hit.refused and hit.refused[0]) for hit in search.hits()] == [
        ("PMC1", "licence:CC BY-ND"),
        ("PMC2", "not_open_access"),
        ("MED:3", "not_in_pmc"),
        ("PMC4", None),
    ]


def test_hits_that_were_announced_and_did_not_come_are_said() -> None:
    said: list[str] = []

    def answer(params: dict) -> dict:
        return {**Cursor(RECORDS, 3)(params), "hitCount": 9}

    search = EuropePmcSearch(Services(answer), Memory(), "TITLE:x", REMIX, say=said.append)
    search.start()
    assert len(list(search.hits())) == 7
    assert said == ["Europe PMC announced 9 hits and sent 7; run again to look for the others."]
