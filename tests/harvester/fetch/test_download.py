"""Files arrive whole or not at all, and no byte is fetched twice without need."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from pathlib import Path

import pytest

from harvester.errors import DamagedFile, FetchError, MalformedArticle, RateLimited
from harvester.fetch.answers import Cancelled, MissingFile
from harvester.fetch.client import Client
from harvester.fetch.download import fetch_file
from harvester.fetch.store import Store
from harvester.records import AssetRef
from harvester.settings import ServiceSettings
from tests.harvester.fetch.conftest import Reply, Script, Seen

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 400 + b"\n%%EOF\n"
PAGE = b"<!DOCTYPE html><html><title>Preparing to download ...</title>" + b" " * 1700 + b"</html>"


def ref_of(script: Script, body: bytes = PDF, name: str = "PMC1.1.pdf") -> AssetRef:
    role = {"pdf": "pdf", "jpg": "media", "xml": "xml"}[name[-3:]]
    return AssetRef(name, role, f"{script.url}/PMC1.1/{name}", hashlib.md5(body).hexdigest())


def whole(body: bytes = PDF, etag: str = '"e1"') -> Reply:
    return Reply(200, body, {"ETag": etag})


def ranged(seen: Seen, body: bytes = PDF, etag: str = '"e1"') -> Reply:
    first = int(seen.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    if seen.headers.get("If-Match", etag) != etag:
        return Reply(412)
    if first >= len(body):
        return Reply(416, b"", {"Content-Range": f"bytes */{len(body)}"})
    return Reply(206, body[first:], {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}", "ETag": etag})


def honest(seen: Seen) -> Reply:
    return ranged(seen) if "Range" in seen.headers else whole()


def files_in(store: Store) -> set[str]:
    return {path.name for path in store.root.rglob("*") if path.is_file()}


def test_a_file_is_fetched_once(client: Client, store: Store, script: Script) -> None:
    script.replies = [whole()]

    first = fetch_file(client, store, "PMC1.1", ref_of(script))
    second = fetch_file(client, store, "PMC1.1", ref_of(script))

    assert first == second and first.n_bytes == len(PDF)
    assert len(script.seen) == 1
    assert files_in(store) == {"PMC1.1.pdf"}


def test_a_body_cut_short_is_resumed_where_it_broke(client: Client, store: Store, script: Script) -> None:
    def cut_range(seen: Seen) -> Reply:
        reply = ranged(seen)
        reply.cut = 20_000
        return reply

    script.replies = [Reply(200, PDF, {"ETag": '"e1"'}, cut=30_000), cut_range, cut_range, honest]

    asset = fetch_file(client, store, "PMC1.1", ref_of(script))

    assert asset.md5 == hashlib.md5(PDF).hexdigest()
    firsts = [int(seen.headers.get("Range", "bytes=0-")[6:-1]) for seen in script.seen]
    assert firsts == [0, 30_000, 50_000, 70_000]
    assert all(seen.headers["If-Match"] == '"e1"' for seen in script.seen[1:])


def test_a_part_of_an_earlier_run_is_resumed(client: Client, store: Store, script: Script) -> None:
    with store.begin("PMC1.1", ref_of(script)) as part:
        part.mark('"e1"')
        part.write(PDF[:1234])
    script.replies = [honest]

    fetch_file(client, store, "PMC1.1", ref_of(script))

    assert [seen.headers["Range"] for seen in script.seen] == ["bytes=1234-"]


def test_a_part_that_was_whole_needs_no_more_bytes(client: Client, store: Store, script: Script) -> None:
    with store.begin("PMC1.1", ref_of(script)) as part:
        part.mark('"e1"')
        part.write(PDF)
    script.replies = [honest]

    assert fetch_file(client, store, "PMC1.1", ref_of(script)).n_bytes == len(PDF)
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Reply(412),
        Reply(416, b"", {"Content-Range": "bytes */17"}),
        Reply(416),
        Reply(206, PDF[:50], {"Content-Range": f"bytes 0-49/{len(PDF)}"}),
        Reply(206, PDF[500:], {"Content-Range": "bytes 500-/*"}),
        Reply(206, PDF[500:]),
        Reply(206, PDF[500:], {"Content-Range": f"bytes 500-{len(PDF) - 1}/{len(PDF)}", "ETag": '"other"'}),
        whole(),
    ],
    ids=["412", "416-other-length", "416", "206-other-start", "206-odd", "206-bare", "206-other-state", "200"],
)
def test_an_answer_that_does_not_fit_the_part_starts_anew(
    client: Client, store: Store, script: Script, answer: Reply
) -> None:
    with store.begin("PMC1.1", ref_of(script)) as part:
        part.mark('"e1"')
        part.write(b"%PDF" + b"?" * 496)
    script.replies = [answer, whole()]

    asset = fetch_file(client, store, "PMC1.1", ref_of(script))

    assert asset.md5 == hashlib.md5(PDF).hexdigest()
    assert script.seen[0].headers["Range"] == "bytes=500-"
    assert all("Range" not in seen.headers for seen in script.seen[1:])


def test_a_wrong_part_is_noticed_by_the_md5_and_fetched_again(client: Client, store: Store, script: Script) -> None:
    with store.begin("PMC1.1", ref_of(script)) as part:
        part.mark('"e1"')
        part.write(b"?" * 500)
    script.replies = [honest]

    assert fetch_file(client, store, "PMC1.1", ref_of(script)).md5 == hashlib.md5(PDF).hexdigest()
    assert ["Range" in seen.headers for seen in script.seen] == [True, False]


@pytest.mark.parametrize(
    "bad",
    [
        Reply(429, b"", {"Retry-After": "1"}),
        Reply(500),
        Reply(502, PAGE),
        Reply(503, b"<Error><Code>SlowDown</Code></Error>"),
        Reply(reset=True),
        Reply(200, PAGE),
        Reply(200, PDF, cut=0),
        Reply(200, b"", {"Content-Length": str(len(PDF))}, cut=0),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:9]!r}-{reply.cut}",
)
def test_a_passing_failure_is_tried_again(client: Client, store: Store, script: Script, bad: Reply) -> None:
    script.replies = [bad, bad, honest]

    assert fetch_file(client, store, "PMC1.1", ref_of(script)).n_bytes == len(PDF)
    assert len(script.seen) == 3


@pytest.mark.parametrize("bad", [PDF.replace(b"\x00", b"\x01"), PDF[:500], b"", PDF + b"more"])
def test_wrong_bytes_get_one_fresh_try_and_are_never_kept(
    client: Client, store: Store, script: Script, bad: bytes
) -> None:
    script.replies = [whole(bad), whole()]
    assert fetch_file(client, store, "PMC1.1", ref_of(script)).n_bytes == len(PDF)

    script.replies, script.seen = [whole(bad)], []
    with pytest.raises(DamagedFile):
        fetch_file(client, store, "PMC2.1", ref_of(script))
    assert len(script.seen) == 2
    assert files_in(store) == {"PMC1.1.pdf"}


def test_challenge_pages_for_ever_are_a_failure_that_may_pass(client: Client, store: Store, script: Script) -> None:
    script.replies = [Reply(200, PAGE)]

    with pytest.raises(FetchError, match="web page"):
        fetch_file(client, store, "PMC1.1", ref_of(script))

    assert files_in(store) == set()


def test_a_page_that_is_the_announced_file_is_refused_for_good(client: Client, store: Store, script: Script) -> None:
    script.replies = [Reply(200, PAGE)]

    with pytest.raises(MalformedArticle) as caught:
        fetch_file(client, store, "PMC1.1", ref_of(script, PAGE))

    assert caught.value.reason == "not_a_pdf"
    assert len(script.seen) == 1 and files_in(store) == set()


@pytest.mark.parametrize("status", [403, 404, 410])
def test_missing_files_are_missing_at_once(client: Client, store: Store, script: Script, status: int) -> None:
    script.replies = [Reply(status)]

    with pytest.raises(MissingFile, match=r"PMC1\.1\.pdf"):
        fetch_file(client, store, "PMC1.1", ref_of(script))
    assert len(script.seen) == 1


def test_a_failing_transfer_keeps_its_part_for_the_next_run(client: Client, store: Store, script: Script) -> None:
    script.replies = [Reply(200, PDF, {"ETag": '"e1"'}, cut=30_000), Reply(503)]
    with pytest.raises(FetchError, match="HTTP 503"):
        fetch_file(client, store, "PMC1.1", ref_of(script))
    assert files_in(store) == {"PMC1.1.pdf.part", "PMC1.1.pdf.part.etag"}

    script.replies, script.seen = [honest], []
    fetch_file(client, store, "PMC1.1", ref_of(script))
    assert script.seen[0].headers["Range"] == "bytes=30000-"


def test_a_long_retry_after_ends_the_file(client: Client, store: Store, script: Script) -> None:
    script.replies = [Reply(503, b"", {"Retry-After": "100000"})]

    with pytest.raises(RateLimited):
        fetch_file(client, store, "PMC1.1", ref_of(script))


def test_a_file_larger_than_allowed_is_not_fetched(settings: ServiceSettings, store: Store, script: Script) -> None:
    client = Client(dataclasses.replace(settings, max_file_bytes=1000))
    script.replies = [whole()]
    with pytest.raises(FetchError, match="allowed"):
        fetch_file(client, store, "PMC1.1", ref_of(script))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/PMC1.1/a.pdf", "https://example.org/a.pdf", "file:///etc/passwd", "{url}.evil/a.pdf"]
)
def test_only_the_bucket_is_asked(client: Client, store: Store, script: Script, url: str) -> None:
    ref = AssetRef("a.pdf", "pdf", url.replace("{url}", script.url), "0" * 32)
    with pytest.raises(FetchError, match="outside"):
        fetch_file(client, store, "PMC1.1", ref)
    assert script.seen == []


def test_images_are_judged_by_their_first_bytes(client: Client, store: Store, script: Script) -> None:
    script.replies = [Reply(200, b"GARBAGE")]
    with pytest.raises(MalformedArticle) as caught:
        fetch_file(client, store, "PMC1.1", ref_of(script, b"GARBAGE", "f1.jpg"))
    assert caught.value.reason == "not_an_image"


def test_no_more_than_eight_transfers_run_at_once(client: Client, tmp_path: Path, script: Script) -> None:
    running, most = set(), [0]
    lock, too_many = threading.Lock(), threading.Event()

    def slow(seen: Seen) -> Reply:
        with lock:
            running.add(seen.path)
            most[0] = max(most[0], len(running))
            if len(running) > 8:
                too_many.set()
        too_many.wait(0.3)
        with lock:
            running.discard(seen.path)
        return whole()

    script.replies = [slow]
    threads = [
        threading.Thread(
            target=fetch_file, args=(client, Store(tmp_path), f"PMC{i}.1", ref_of(script, PDF, f"{i}.pdf"))
        )
        for i in range(1, 21)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert most[0] == 8
    assert len(list(tmp_path.rglob("*.pdf"))) == 20


def test_a_stop_keeps_the_part(settings: ServiceSettings, store: Store, script: Script) -> None:
    client = Client(settings)

    def stop_midway(seen: Seen) -> Reply:
        threading.Timer(0.2, client.cancel).start()
        return Reply(200, PDF, {"ETag": '"e1"'}, cut=40_000)

    script.replies = [stop_midway, Reply(503, b"", {"Retry-After": "20"})]
    with pytest.raises(Cancelled):
        fetch_file(client, store, "PMC1.1", ref_of(script))

    assert (store.article_folder("PMC1.1") / "PMC1.1.pdf.part").stat().st_size == 40_000
