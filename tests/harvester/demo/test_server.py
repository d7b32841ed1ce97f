"""The stand-in answers as the recorded services do, counts as they count, and fails on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import requests

from harvester.demo.faults import FAULT_KINDS, KINDS_OF_SERVICE, Fault, Faults
from harvester.demo.served import Blob, ServedArticle, load_article_folder, repeat, served_from_shared
from harvester.demo.server import StandIn
from harvester.demo.services import ServiceLimits

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
JATS = """<article><front><article-meta><article-id pub-id-type="pmcid">PMC{number}</article-id>
<title-group><article-title>{title}</article-title></title-group></article-meta></front><body><fig id="f1">
<label>Figure 1</label><caption><p>{caption}</p></caption></fig></body></article>"""


def article(number: int, **changes: object) -> ServedArticle:
    title, caption = f"Tumour number {number} of the colon", "Adenoma, hematoxylin and eosin, ×200."
    plain = ServedArticle(
        pmcid=f"PMC{number}",
        xml=Blob(JATS.format(number=number, title=title, caption=caption).encode()),
        pdf=Blob(b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"),
        media=(("fig-g001.jpg", Blob(b"\xff\xd8\xff" + b"jpeg" * 300)),),
        title=title,
        journal="Journal of Tests",
        pmid=30_000_000 + number,
        doi=f"10.1000/{number}",
    )
    return replace(plain, **changes)


ARTICLES = [
    article(101),
    article(102, licence_code="CC0", released=date(2026, 2, 3)),
    article(103, licence_code="CC BY-NC", released=date(2025, 12, 31), pdf=None, media=()),
    article(104, licence_code="TDM", is_open_access=False, is_manuscript=True, pdf=None, media=()),
    article(105, is_retracted=True),
    article(106, version=1, is_manuscript=True),
    article(106, version=10),
]


@pytest.fixture(scope="module")
def stand_in():
    with StandIn(ARTICLES, limits=ServiceLimits(enforces_rate=False)) as server:
        yield server


def esearch(server: StandIn, term: str, **more: str) -> dict:
    params = {"db": "pmc", "term": term, "retmode": "json", "tool": "t", "email": "a@b.org"} | more
    reply = requests.get(f"{server.eutils_url}/esearch.fcgi", params=params, timeout=10)
    assert reply.status_code == 200
    return json.loads(reply.text, strict=False)["esearchresult"]


def ids(server: StandIn, term: str, **more: str) -> set[str]:
    return set(esearch(server, term, **more)["idlist"])


def bucket(server: StandIn, key: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(f"{server.bucket_url}/{key}", headers=named, timeout=10)


def listing(server: StandIn, **params: str) -> ET.Element:
    reply = requests.get(f"{server.bucket_url}/", params={"list-type": "2"} | params, timeout=10)
    assert reply.status_code == 200
    return ET.fromstring(reply.content)


def shape(value: object) -> object:
    """Types and keys of a JSON value, so that two answers can be compared without their content."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_search_answers_in_the_form_of_the_recorded_one(stand_in: StandIn, shared_dir: Path) -> None:
    real = json.loads((shared_dir / "pmc_samples/eutils/esearch_pmc_doi_2026-09-30.json").read_text())

    mine = requests.get(
        f"{stand_in.eutils_url}/esearch.fcgi",
        params={"db": "pmc", "term": '"10.1000/101" OR "10.1000/102" OR "10.1000/9"', "retmode": "json"},
        timeout=10,
    ).json()

    real["esearchresult"]["errorlist"]["phrasesnotfound"] = ["x"]
    assert shape(mine) == shape(real)
    assert list(mine["esearchresult"]) == list(real["esearchresult"])
    assert mine["esearchresult"]["count"] == "2"
    assert mine["esearchresult"]["errorlist"]["phrasesnotfound"] == ['"10.1000/9"']


def test_metadata_record_has_the_keys_and_types_of_the_real_ones(stand_in: StandIn, shared_dir: Path) -> None:
    real_full = json.loads((shared_dir / "pmc_samples/s3/s3_meta_PMC11592912.1.json").read_text())
    real_tdm = json.loads((shared_dir / "pmc_samples/s3/s3_meta_PMC7983342.1_AM.json").read_text())

    full = bucket(stand_in, "PMC101.1/PMC101.1.json")
    tdm = bucket(stand_in, "metadata/PMC104.1.json").json()

    assert full.headers["Content-Type"] == "binary/octet-stream"
    assert list(full.json()) == list(real_full)
    assert shape(full.json()) == shape(real_full)
    assert set(tdm) == set(real_tdm)
    assert re.fullmatch(r"s3://pmc-oa-opendata/PMC101\.1/PMC101\.1\.pdf\?md5=[0-9a-f]{32}", full.json()["pdf_url"])


@pytest.mark.parametrize(
    ("sample", "prefix"),
    [("s3_list_two_versions_PMC7988253.xml", "PMC106."), ("s3_list_PMC12977955_empty.xml", "PMC1.")],
)
def test_listing_has_the_elements_of_the_recorded_one(
    stand_in: StandIn, shared_dir: Path, sample: str, prefix: str
) -> None:
    real = ET.parse(shared_dir / "pmc_samples/s3" / sample).getroot()

    mine = listing(stand_in, prefix=prefix, delimiter="/")

    assert [e.tag for e in mine.iter()] == [e.tag for e in real.iter()]
    assert mine.findtext(f"{S3}KeyCount") == real.findtext(f"{S3}KeyCount")


@pytest.mark.parametrize(("kind", "sample"), [("lite", "search_lite_2026-09-30"), ("core", "search_core_preprint")])
def test_europepmc_records_use_the_names_and_types_of_the_recorded_ones(
    stand_in: StandIn, shared_dir: Path, kind: str, sample: str
) -> None:
    real = json.loads((shared_dir / f"pmc_samples/europepmc/epmc_{sample}.json").read_text())
    names = {key: shape(value) for hit in real["resultList"]["result"] for key, value in hit.items()}

    params = {"query": 'DOI:"10.1000/101"', "format": "json", "resultType": kind}
    mine = requests.get(f"{stand_in.europepmc_url}/search", params=params, timeout=10).json()

    assert shape(mine["request"]) == shape(real["request"])
    assert set(real) <= set(mine)
    (hit,) = mine["resultList"]["result"]
    assert (hit["pmcid"], hit["isOpenAccess"], hit["hasPDF"]) == ("PMC101", "Y", "Y")
    for key in set(hit) & set(names) - {"fullTextUrlList"}:
        assert shape(hit[key]) == names[key]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("open_access[filter]", {"101", "102", "103", "105", "106"}),
        ('"open access"[filter] AND (cc0_license[filter] OR cc_by-nc_license[filter])', {"102", "103"}),
        ("author_manuscript[filter]", {"104"}),
        ("2026/02[pmcrdat]", {"102"}),
        ("2025/12/01:2026/01/15[pmcrdat]", {"101", "103", "104", "105", "106"}),
        ("2026[crdt]", set()),
        ('"hematoxylin and eosin"[Figure/Table Caption] AND 103[Title]', {"103"}),
        ("colon adenoma NOT 101", {"102", "103", "104", "105", "106"}),
        ("(102[title] OR 103[title]) AND tumo*[title] AND cc0_license[filter]", {"102"}),
        ("zebrafish[Title]", set()),
    ],
)
def test_search_evaluates_fields_filters_and_dates(stand_in: StandIn, term: str, expected: set[str]) -> None:
    assert ids(stand_in, term, retmax="100") == expected


def test_dates_may_come_as_parameters_but_only_both(stand_in: StandIn) -> None:
    assert ids(stand_in, "colon[title]", datetype="pmcrdat", mindate="2026/02/01", maxdate="2026/02/28") == {"102"}
    assert len(ids(stand_in, "colon[title]", datetype="pmcrdat", mindate="2026/02/01")) == 6


def test_unfielded_words_are_expanded_and_shown(stand_in: StandIn) -> None:
    found = esearch(stand_in, "colon adenoma")

    assert '"colon"[All Fields] AND "adenoma"[All Fields]' in found["querytranslation"]
    assert found["translationset"][0]["from"] == "colon adenoma"


@pytest.mark.parametrize("term", ["", "((", "colon)", '"colon', "colon[title"])
def test_unreadable_queries_are_errors_in_a_200(stand_in: StandIn, term: str) -> None:
    assert "ERROR" in esearch(stand_in, term)


def test_search_speaks_xml_by_default(stand_in: StandIn) -> None:
    reply = requests.post(
        f"{stand_in.eutils_url}/esearch.fcgi", data={"db": "pmc", "term": "colon[title]", "usehistory": "y"}, timeout=10
    )

    root = ET.fromstring(reply.content)
    assert root.findtext("Count") == "6"
    assert len(root.findall("IdList/Id")) == 6
    assert root.findtext("WebEnv", "").startswith("MCID_")


def test_search_returns_nothing_beyond_its_ceiling() -> None:
    many = repeat([article(1)], 30)
    with StandIn(many, limits=ServiceLimits(search_ceiling=10, enforces_rate=False)) as server:
        page = esearch(server, "colon[title]", retmax="100")
        last = esearch(server, "colon[title]", retmax="100", retstart="7")
        refused = requests.get(
            f"{server.eutils_url}/esearch.fcgi",
            params={"db": "pmc", "term": "colon[title]", "retmode": "json", "retstart": "10"},
            timeout=10,
        )

    assert (page["count"], len(page["idlist"]), page["retmax"]) == ("30", 10, "10")
    assert len(last["idlist"]) == 3
    with pytest.raises(json.JSONDecodeError):
        json.loads(refused.text)
    assert "cannot be larger than 9" in json.loads(refused.text, strict=False)["esearchresult"]["ERROR"]


def test_identity_and_key_are_asked_for_when_told_to() -> None:
    with StandIn(ARTICLES, limits=ServiceLimits(requires_identity=True, api_key="right")) as server:
        url = f"{server.eutils_url}/esearch.fcgi"
        nobody = requests.get(url, params={"db": "pmc", "term": "colon"}, timeout=10)
        wrong = requests.get(url, params={"api_key": "wrong", "tool": "t", "email": "a@b.org"}, timeout=10)
        log = server.requests

    assert nobody.status_code == wrong.status_code == 400
    assert wrong.json()["error"] == "API key invalid"
    assert "wrong" not in str(log)


@pytest.mark.parametrize(("key", "limit"), [(None, 3), ("secret", 10)])
def test_more_requests_in_a_second_than_allowed_are_refused_and_recorded(key: str | None, limit: int) -> None:
    with StandIn(ARTICLES) as server, requests.Session() as session:
        params = {"db": "pmc", "term": "colon", "retmode": "json"} | ({"api_key": key} if key else {})
        replies = [
            session.get(f"{server.eutils_url}/esearch.fcgi", params=params, timeout=10) for _ in range(limit + 1)
        ]

    assert [r.status_code for r in replies] == [200] * limit + [429]
    body = replies[-1].json()
    assert (body["error"], body["limit"], body["count"]) == ("API rate limit exceeded", str(limit), str(limit + 1))
    assert replies[-1].headers["Retry-After"] == "2"
    assert (len(server.violations), server.busiest_second) == (1, limit + 1)


def test_the_window_slides_and_is_one_second_long() -> None:
    server = StandIn(ARTICLES)
    arrivals = [10.0, 10.4, 10.99, 11.0, 11.3, 11.41, 11.98]

    refused = [server._over_rate({}, "caller", at_s) is not None for at_s in arrivals]

    # at 11.3 the last second holds 10.4, 10.99, 11.0 and itself
    assert refused == [False, False, False, False, True, True, True]
    assert [v.count for v in server.violations] == [4, 4, 5]
    server._server.server_close()


def test_requests_a_second_apart_are_no_violation() -> None:
    with StandIn(ARTICLES) as server:
        for _ in range(4):
            esearch(server, "colon")
            time.sleep(0.34)

    assert server.violations == []


def test_listing_pages_by_continuation_token_without_loss() -> None:
    many = repeat([article(1)], 25)
    with StandIn(many, limits=ServiceLimits(list_page_keys=4)) as server:
        keys, token, pages = [], {}, 0
        while True:
            root = listing(server, prefix="metadata/", **token)
            keys += [e.findtext(f"{S3}Key") for e in root.findall(f"{S3}Contents")]
            pages += 1
            if root.findtext(f"{S3}IsTruncated") == "false":
                break
            token = {"continuation-token": root.findtext(f"{S3}NextContinuationToken")}
        folders = [
            e.text for e in listing(server, prefix="PMC9000000", delimiter="/").iter(f"{S3}Prefix") if "/" in e.text
        ]

    assert keys == sorted({f"metadata/{a.article_id}.json" for a in many})
    assert pages == 7
    assert folders == [f"{a.article_id}/" for a in many[:4]]


def test_objects_come_whole_in_ranges_and_with_their_etag(stand_in: StandIn) -> None:
    pdf = ARTICLES[0].pdf.body
    whole = bucket(stand_in, "PMC101.1/PMC101.1.pdf")
    etag = whole.headers["ETag"]

    rest = bucket(stand_in, "PMC101.1/PMC101.1.pdf", Range="bytes=1000-", If_Range=etag)
    changed = bucket(stand_in, "PMC101.1/PMC101.1.pdf", Range="bytes=1000-", If_Range='"other"')
    middle = bucket(stand_in, "PMC101.1/PMC101.1.pdf", Range="bytes=5-9")
    beyond = bucket(stand_in, "PMC101.1/PMC101.1.pdf", Range=f"bytes={len(pdf)}-")
    mismatch = bucket(stand_in, "PMC101.1/PMC101.1.pdf", If_Match='"other"')

    assert etag == f'"{hashlib.md5(pdf).hexdigest()}"'
    assert (whole.content, whole.headers["Accept-Ranges"]) == (pdf, "bytes")
    assert (rest.status_code, rest.content) == (206, pdf[1000:])
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(pdf) - 1}/{len(pdf)}"
    assert (changed.status_code, changed.content) == (200, pdf)
    assert (middle.status_code, middle.content) == (206, pdf[5:10])
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(pdf)}")
    assert mismatch.status_code == 412


@pytest.mark.parametrize("key", ["PMC101.1/", "PMC999.1/PMC999.1.json", "PMC103.1/PMC103.1.pdf"])
def test_what_is_no_object_is_missing_in_xml(stand_in: StandIn, key: str) -> None:
    reply = bucket(stand_in, key)

    assert reply.status_code == 404
    assert ET.fromstring(reply.content).findtext("Code") == "NoSuchKey"


def test_hostile_names_are_announced_as_they_are_and_served_under_their_key() -> None:
    names = ["../../evil.jpg", "a \"b\" 'c'.jpg", "line\nbreak.jpg", "🔬.jpg", "C:\\x.jpg"]
    hostile = article(7, media=tuple((name, Blob(name.encode())) for name in names), record_pmcid="PMC8")
    with StandIn([hostile]) as server:
        record = bucket(server, "PMC7.1/PMC7.1.json").json()
        body = bucket(server, "PMC7.1/" + requests.utils.quote("🔬.jpg"))

    assert [url.split("/PMC7.1/")[1].rsplit("?", 1)[0] for url in record["media_urls"]] == names
    assert record["pmcid"] == "PMC8"
    assert body.content == "🔬.jpg".encode()


def test_missing_media_are_announced_but_not_there() -> None:
    with StandIn([article(7, missing_media=frozenset({"fig-g001.jpg"}))]) as server:
        assert len(bucket(server, "PMC7.1/PMC7.1.json").json()["media_urls"]) == 1
        assert bucket(server, "PMC7.1/fig-g001.jpg").status_code == 404


def test_europepmc_pages_by_cursor_to_the_end() -> None:
    many = repeat([article(1)], 25)
    with StandIn(many) as server:
        found, mark, sizes = [], "*", []
        while True:
            params = {"query": 'OPEN_ACCESS:y AND LICENSE:"cc by"', "pageSize": 10, "cursorMark": mark}
            page = requests.get(f"{server.europepmc_url}/search", params=params, timeout=10).json()
            hits = page["resultList"]["result"]
            sizes.append(len(hits))
            found += [hit["pmcid"] for hit in hits]
            if page["nextCursorMark"] == mark or not hits:
                break
            mark = page["nextCursorMark"]

    assert sizes == [10, 10, 5, 0]
    assert sorted(found) == sorted(a.pmcid for a in many)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('LICENSE:"cc0" OR LICENSE:"cc by-nc"', {"PMC102", "PMC103"}),
        ('LICENSE:("cc0" OR "cc by-nc") AND HAS_PDF:y', {"PMC102"}),
        ("FIRST_PDATE:[2026-02-01 TO 2026-02-28]", {"PMC102"}),
        ("PUB_YEAR:[2024 TO 2025]", {"PMC103"}),
        ('TITLE:"tumour number" AND NOT PMCID:PMC101 AND IN_PMC:y', {f"PMC{n}" for n in range(102, 107)}),
    ],
)
def test_europepmc_evaluates_its_fields(stand_in: StandIn, query: str, expected: set[str]) -> None:
    page = requests.get(f"{stand_in.europepmc_url}/search", params={"query": query}, timeout=10).json()

    assert {hit["pmcid"] for hit in page["resultList"]["result"]} == expected


def test_europepmc_refuses_in_a_200(stand_in: StandIn, shared_dir: Path) -> None:
    real = json.loads((shared_dir / "pmc_samples/europepmc/epmc_errcode_200.json").read_text())

    reply = requests.get(f"{stand_in.europepmc_url}/search", params={"query": "x", "pageSize": 5000}, timeout=10)

    assert (reply.status_code, reply.json()) == (200, real)


def test_fault_429_sends_retry_after_once_and_then_the_answer() -> None:
    with StandIn(ARTICLES, Faults((Fault("429", r"\.pdf$", retry_after_s=7),))) as server:
        first, second = bucket(server, "PMC101.1/PMC101.1.pdf"), bucket(server, "PMC101.1/PMC101.1.pdf")

    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert (second.status_code, second.content) == (200, ARTICLES[0].pdf.body)
    assert [r.fault for r in server.requests] == ["429", None]


@pytest.mark.parametrize("kind", ["reset", "reset_midway", "truncated"])
def test_cut_connections_are_noticed_by_a_client(kind: str) -> None:
    with StandIn(ARTICLES, Faults((Fault(kind, "pdf$"),))) as server:
        with pytest.raises(requests.RequestException):
            bucket(server, "PMC101.1/PMC101.1.pdf")
        assert bucket(server, "PMC101.1/PMC101.1.pdf").content == ARTICLES[0].pdf.body


def test_bodies_that_lie_have_the_status_of_good_ones() -> None:
    pdf = ARTICLES[0].pdf.body
    rules = tuple(Fault(kind, "pdf$") for kind in ("short", "damaged", "challenge", "drip"))
    with StandIn(ARTICLES, Faults(rules)) as server:
        short, damaged, challenge, drip, good = (bucket(server, "PMC101.1/PMC101.1.pdf") for _ in range(5))

    assert {r.status_code for r in (short, damaged, challenge, drip, good)} == {200}
    assert short.content == pdf[: len(pdf) // 2]
    assert len(damaged.content) == len(pdf) and damaged.content != pdf
    assert b"Preparing to download" in challenge.content
    assert drip.content == good.content == pdf


def test_search_faults_arrive_as_they_were_reported() -> None:
    kinds = ("xml_error", "json_newline", "rate_in_200", "503")
    with StandIn(ARTICLES, Faults(tuple(Fault(kind, "esearch") for kind in kinds))) as server:
        url, params = f"{server.eutils_url}/esearch.fcgi", {"db": "pmc", "term": "colon", "retmode": "json"}
        replies = []
        for _ in kinds:
            replies.append(requests.get(url, params=params, timeout=10))
            time.sleep(0.35)

    assert [r.status_code for r in replies] == [200, 200, 200, 503]
    assert ET.fromstring(replies[0].content).findtext("ERROR")
    with pytest.raises(json.JSONDecodeError):
        json.loads(replies[1].text)
    assert replies[2].json()["error"] == "API rate limit exceeded"


def test_mixed_faults_depend_on_the_address_alone() -> None:
    addresses = [f"bucket/PMC{n}.1/PMC{n}.1.pdf" for n in range(400)]
    faults = Faults(mixed_tries=2, seed=3)

    kinds = {address: [faults.choose("bucket", address, i) for i in range(3)] for address in addresses}

    assert all(first and second and third is None for first, second, third in kinds.values())
    assert {k[0].kind for k in kinds.values()} == set(KINDS_OF_SERVICE["bucket"])
    assert kinds == {a: [Faults(mixed_tries=2, seed=3).choose("bucket", a, i) for i in range(3)] for a in addresses}
    assert set().union(*map(set, KINDS_OF_SERVICE.values())) | {"empty", "drip"} == set(FAULT_KINDS)


def test_a_share_of_the_addresses_fails() -> None:
    faults = Faults((Fault("502", share=0.25),))

    n = sum(faults.choose("bucket", f"a{i}", 0) is not None for i in range(1000))

    assert 200 < n < 300


def test_parallel_transfers_are_counted() -> None:
    big = article(9, pdf=Blob(b"%PDF-" + b"x" * 100_000))
    with StandIn([big], Faults((Fault("drip", "pdf$", first_tries=5),))) as server:
        threads = [threading.Thread(target=bucket, args=(server, "PMC9.1/PMC9.1.pdf")) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert server.max_transfers == 5
        assert len(server.downloads()) == 5
        server.forget_requests()
        assert server.requests == []


def test_a_taken_port_is_refused_and_a_freed_one_can_be_had_again() -> None:
    with StandIn(ARTICLES) as server:
        port = int(server.bucket_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            StandIn(ARTICLES, port=port)
        bucket(server, "PMC101.1/PMC101.1.pdf")
    with StandIn(ARTICLES, port=port) as server:
        assert bucket(server, "PMC101.1/PMC101.1.pdf").status_code == 200


def test_leaving_the_block_frees_the_port_and_ends_kept_connections() -> None:
    with requests.Session() as session:
        with StandIn(ARTICLES) as server:
            session.get(server.bucket_url + "/PMC101.1/PMC101.1.pdf", timeout=10)
            url = server.bucket_url
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=2)


def test_real_articles_are_served_with_what_their_xml_says(shared_dir: Path) -> None:
    one = load_article_folder(shared_dir / "articles/PMC4735918")

    assert (one.pmcid, one.doi, one.licence_code) == ("PMC4735918", "10.1155/2016/5764625", "CC BY")
    assert one.journal == "Case Reports in Urology"
    assert one.released == date(2016, 1, 3)
    assert one.pdf.body[:5] == b"%PDF-"


def test_all_real_articles_can_be_found_and_repeated(shared_dir: Path) -> None:
    real = served_from_shared(shared_dir)
    twice = repeat(real, 40)
    with StandIn(twice, limits=ServiceLimits(enforces_rate=False)) as server:
        found = ids(server, "open_access[filter] AND cc_by_license[filter]", retmax="100")
        xml = bucket(server, f"{twice[20].article_id}/{twice[20].article_id}.xml").text

    assert len(real) == 18
    assert len(found) == 40
    assert f">{twice[20].pmcid.removeprefix('PMC')}</article-id>" in xml
    assert twice[0].pdf is real[0].pdf
