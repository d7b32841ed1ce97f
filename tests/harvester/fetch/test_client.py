"""What the client believes, what it tries again, and what it never says."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from harvester.errors import FetchError, HarvestError, RateLimited, SourceError, UsageError
from harvester.fetch.answers import Cancelled, MissingFile, clean_words, hide_key, parse_json_object, parse_retry_after
from harvester.fetch.client import Client
from harvester.settings import ServiceSettings
from tests.harvester.fetch.conftest import KEY, Reply, Script

FOUND = {"esearchresult": {"count": "1", "idlist": ["7"]}}
GOOD = Reply(body=json.dumps(FOUND).encode())
LIMIT_BODY = json.dumps({"error": "API rate limit exceeded", "api-key": KEY, "count": "11", "limit": "10"}).encode()


def search(client: Client) -> dict:
    return client.ask_eutils("esearch.fcgi", {"db": "pmc", "term": "x"}, lambda answer: answer)


def test_tool_email_and_key_go_with_every_request(client: Client, script: Script) -> None:
    script.replies = [Reply(503), GOOD]

    assert search(client) == FOUND

    assert len(script.seen) == 2
    for request in script.seen:
        assert request.method == "GET" and request.path == "/esearch.fcgi"
        assert request.params["tool"] == "histology-harvester"
        assert request.params["email"] == "someone@example.org"
        assert request.params["api_key"] == KEY
        assert "someone@example.org" in request.headers["User-Agent"]


def test_long_queries_go_by_post(client: Client, script: Script) -> None:
    script.replies = [GOOD, Reply(body=b'{"hitCount": 0}')]

    client.ask_eutils("esearch.fcgi", {"term": "x" * 3000}, lambda answer: answer)
    client.ask_europepmc("search", {"query": "y" * 3000}, lambda answer: answer)

    assert [request.method for request in script.seen] == ["POST", "POST"]
    assert script.seen[0].params["term"] == "x" * 3000
    assert script.seen[1].path == "/searchPOST"


@pytest.mark.parametrize(
    "bad",
    [
        Reply(429, LIMIT_BODY, {"Retry-After": "2"}),
        Reply(200, LIMIT_BODY),
        Reply(500),
        Reply(502, b"<html>Proxy Error"),
        Reply(503),
        Reply(504),
        Reply(reset=True),
        Reply(body=GOOD.body, cut=5),
        Reply(body=GOOD.body[:-3]),
        Reply(body=b"<!DOCTYPE html><title>Preparing to download</title>"),
        Reply(body=b'<?xml version="1.0"?><eSearchResult><ERROR>Search Backend failed: 502</ERROR></eSearchResult>'),
        Reply(body=b'{"esearchresult":{"ERROR":"Search Backend failed:\nread timed out"}}'),
        Reply(body=b'\xff{"esearchresult": {}}'),
        Reply(body=b"[]"),
        Reply(body=b"[" * 100_000),
        Reply(body=b""),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:24]!r}-{reply.cut}-{reply.reset}",
)
def test_a_passing_failure_is_tried_again(client: Client, script: Script, bad: Reply) -> None:
    script.replies = [bad, bad, GOOD]

    assert search(client) == FOUND
    assert len(script.seen) == 3


def test_pauses_grow_and_obey_retry_after(client: Client, script: Script, pauses: list[float]) -> None:
    script.replies = [Reply(503), Reply(503), Reply(503), Reply(429, b"", {"Retry-After": "17"}), GOOD]

    search(client)

    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0 <= pauses[2] <= 2.0
    assert pauses[3] == 17


def test_retry_after_may_be_a_date_by_the_servers_clock() -> None:
    wrong_clock = 1_000_000_000.0
    headers = {"Retry-After": formatdate(wrong_clock + 30, usegmt=True), "Date": formatdate(wrong_clock, usegmt=True)}

    assert parse_retry_after(headers) == 30
    assert 25 < (parse_retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)}) or 0) <= 30
    assert parse_retry_after({"Retry-After": formatdate(time.time() - 30, usegmt=True)}) == 0
    for nonsense in ("", "soon", "-5", "1e9", "99999999999999999999", "Mon, 99 Foo 2026"):
        assert parse_retry_after({"Retry-After": nonsense}) is None


@pytest.mark.parametrize("wish", ["100000", formatdate(time.time() + 100_000, usegmt=True)], ids=["seconds", "date"])
def test_a_wait_longer_than_ours_ends_the_request(
    client: Client, script: Script, pauses: list[float], wish: str
) -> None:
    script.replies = [Reply(429, LIMIT_BODY, {"Retry-After": wish})]

    with pytest.raises(RateLimited, match="asks to wait") as caught:
        search(client)

    assert caught.value.retry_after_s > 99_000
    assert pauses == [] and len(script.seen) == 1


def test_a_query_that_is_refused_again_and_again_is_reported_in_the_services_words(
    client: Client, script: Script
) -> None:
    script.replies = [Reply(body=b'{"esearchresult":{"ERROR":"Unable to parse\n  the <b>query</b>."}}')]

    with pytest.raises(SourceError, match=r"NCBI E-utilities refused the request: Unable to parse the query\.$"):
        search(client)

    assert len(script.seen) == 4


def test_europe_pmc_errors_come_with_http_200(client: Client, script: Script) -> None:
    script.replies = [Reply(body=b'{"errCode": 404, "errMsg": "Invalid {page} size"}')]

    with pytest.raises(SourceError, match=r"Europe PMC refused the request: Invalid \{page\} size\."):
        client.ask_europepmc("search", {"query": "x"}, lambda answer: answer)


@pytest.mark.parametrize("status", [400, 200])
def test_a_wrong_key_is_the_users_to_correct(client: Client, script: Script, status: int) -> None:
    script.replies = [Reply(status, json.dumps({"error": "API key invalid", "api-key": KEY}).encode())]

    with pytest.raises(UsageError, match="NCBI_API_KEY") as caught:
        search(client)

    assert KEY not in str(caught.value)
    assert len(script.seen) == 1


def all_words_of(problem: BaseException) -> str:
    words = []
    while problem is not None:
        words += [str(problem), repr(problem), repr(problem.args), repr(vars(problem))]
        problem = problem.__cause__ or problem.__context__
    return " ".join(words)


@pytest.mark.parametrize(
    "bad",
    [
        Reply(429, LIMIT_BODY),
        Reply(200, LIMIT_BODY),
        Reply(400, LIMIT_BODY),
        Reply(reset=True),
        Reply(body=GOOD.body, cut=3),
        Reply(body=f"not json api_key={KEY}".encode()),
        Reply(body=json.dumps({"esearchresult": {"ERROR": f"bad api_key={KEY} from 192.0.2.7"}}).encode()),
        Reply(302, b"", {"Location": "http://example.org/?api_key=" + KEY}),
        Reply(400, json.dumps({"error": "API key invalid", "api-key": KEY}).encode()),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:24]!r}",
)
def test_the_key_is_in_no_error_chain_log_or_repr(
    client: Client, script: Script, bad: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script.replies = [bad]

    with pytest.raises(HarvestError) as caught:
        search(client)

    said = all_words_of(caught.value) + caplog.text + repr(client) + repr(client.settings) + repr(client._eutils)
    assert KEY not in said
    assert "192.0.2.7" not in said
    assert bad.reset or "esearch.fcgi" in caplog.text, "urllib3's request lines must have been looked at"


def test_nothing_on_disk_holds_the_key(client: Client, script: Script, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    script.replies = [GOOD]

    search(client)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(KEY.encode() in path.read_bytes() or KEY in str(path) for path in files)


def test_the_real_service_needs_an_email_and_a_stand_in_does_not(settings: ServiceSettings, script: Script) -> None:
    script.replies = [GOOD]
    without = dataclasses.replace(settings, email=None)

    assert search(Client(without)) == FOUND
    assert "email" not in script.seen[0].params
    with pytest.raises(UsageError, match="HARVESTER_EMAIL"):
        search(Client(dataclasses.replace(without, eutils_url="https://eutils.ncbi.nlm.nih.gov/entrez/eutils")))


def test_redirects_stay_on_the_host_and_end(client: Client, script: Script) -> None:
    script.replies = [Reply(302, b"", {"Location": "/moved?x=1"}), GOOD]
    assert search(client) == FOUND
    assert script.seen[1].path == "/moved"

    script.replies = [Reply(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})]
    with pytest.raises(SourceError, match="another host"):
        search(client)

    script.replies = [Reply(302, b"", {"Location": "/again"})]
    with pytest.raises(SourceError, match="too often"):
        search(client)


def test_a_server_that_is_down_is_one_sentence(settings: ServiceSettings, pauses: list[float]) -> None:
    closed = dataclasses.replace(settings, eutils_url="http://127.0.0.1:9", bucket_url="http://127.0.0.1:9")
    client = Client(closed, sleep=pauses.append)

    with pytest.raises(
        SourceError,
        match=r"NCBI E-utilities could not be reached in 6 tries: the connection failed; check the network\.",
    ):
        search(client)
    with pytest.raises(FetchError, match=r"The PMC bucket could not be reached in 6 tries"):
        client.ask_bucket("x", {}, bytes)


def test_an_answer_without_end_is_not_read_to_it(client: Client, script: Script, monkeypatch) -> None:
    monkeypatch.setattr("harvester.fetch.client.MAX_ANSWER_BYTES", 1000)
    script.replies = [Reply(body=b" " * 100_000)]

    with pytest.raises(SourceError, match="far too large"):
        search(client)


@pytest.mark.parametrize("status", [403, 404])
def test_objects_that_are_not_there_are_missing_at_once(client: Client, script: Script, status: int) -> None:
    script.replies = [Reply(status, b"<Error><Code>NoSuchKey</Code></Error>")]

    with pytest.raises(MissingFile):
        client.ask_bucket("PMC1.1/PMC1.1.json", {}, parse_json_object)

    assert len(script.seen) == 1


def test_keys_are_quoted(client: Client, script: Script) -> None:
    script.replies = [lambda seen: Reply(body=seen.path.encode())]

    assert client.ask_bucket("PMC1.1/a b?#%é.jpg", {}, bytes) == b"/PMC1.1/a%20b%3F%23%25%C3%A9.jpg"


def test_a_stop_ends_every_wait(settings: ServiceSettings, script: Script) -> None:
    script.replies = [Reply(503, b"", {"Retry-After": "30"})]
    client = Client(settings)
    threading.Timer(0.3, client.cancel).start()
    began = time.monotonic()

    with pytest.raises(Cancelled):
        search(client)

    assert time.monotonic() - began < 5


def test_clients_of_many_threads_use_a_session_each(client: Client, script: Script) -> None:
    script.replies = [lambda seen: Reply(body=b"{}")]
    answers: list[dict] = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.ask_bucket("x", {}, parse_json_object)))
        for _ in range(12)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [{}] * 12


def test_words_of_services_are_cleaned() -> None:
    assert hide_key(f"/esearch.fcgi?api_key={KEY}&db=pmc") == "/esearch.fcgi?api_key=***&db=pmc"
    assert KEY not in hide_key(json.dumps({"api-key": KEY}))
    assert clean_words(" <b>Too\n many</b> from 10.0.0.1. ") == "Too many from ***"
    assert len(clean_words("x" * 10_000)) == 200
    assert clean_words("") == "no reason given"


def test_a_closed_client_leaves_no_connection_open(settings: ServiceSettings, script: Script, recwarn) -> None:
    script.replies = [GOOD]
    with Client(settings) as client:
        search(client)

    assert client._sessions and all(not session.adapters["http://"].poolmanager.pools for session in client._sessions)
    assert search(client) == FOUND
    client.close()
