"""The rate limit, counted by a server."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harvester.errors import UsageError
from harvester.fetch import limiter
from harvester.fetch.limiter import REST_S, RateLimiter


def most_in_a_second(times: list[float]) -> int:
    times = sorted(times)
    return max(sum(1 for other in times if at <= other < at + 1.0) for at in times)


@pytest.fixture
def clocked_server():
    """A server that notes when each request arrives and answers after an uneven delay."""
    times: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            times.append(time.monotonic())
            time.sleep(0.03 * (len(times) % 4))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", times
    server.shutdown()
    server.server_close()
    thread.join()


def ask_often(url: str, folder: Path, n: int) -> None:
    limit = RateLimiter("service", 3, folder=folder)
    for _ in range(n):
        with limit.slot(), urllib.request.urlopen(url) as answer:
            answer.read()


@pytest.mark.slow
def test_three_processes_together_stay_within_the_rate(clocked_server, tmp_path: Path) -> None:
    url, times = clocked_server
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=ask_often, args=(url, tmp_path, n)) for n in (8, 8, 9)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(times) == 25
    assert most_in_a_second(times) <= 3
    assert max(times) - min(times) < 25 / 3 * 1.6, "the limit must not cost much more than it has to"


def test_threads_of_one_process_stay_within_the_rate(clocked_server, tmp_path: Path) -> None:
    url, times = clocked_server
    threads = [threading.Thread(target=ask_often, args=(url, tmp_path, 2)) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(times) == 8
    assert most_in_a_second(times) <= 3


def die_in_a_slot(folder: Path) -> None:
    with RateLimiter("service", 1, folder=folder).slot():
        os._exit(0)


def test_a_slot_of_a_dead_process_rests_from_when_it_is_found(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=die_in_a_slot, args=(tmp_path,))
    process.start()
    process.join(30)

    before = time.monotonic()
    with RateLimiter("service", 1, folder=tmp_path).slot():
        waited = time.monotonic() - before

    assert REST_S - 0.01 <= waited < 3


@pytest.mark.parametrize("content", ["nonsense", "nan", "1e300", "-5", ""])
def test_a_slot_with_an_impossible_time_rests_once(tmp_path: Path, content: str) -> None:
    limit = RateLimiter("service", 1, folder=tmp_path)
    limit._slots[0].write_text(content)
    waits: list[float] = []
    limit._sleep = lambda seconds: (waits.append(seconds), time.sleep(seconds))[0]

    with limit.slot():
        pass

    assert REST_S - 0.1 < sum(waits) <= REST_S + 0.05


def test_a_wait_that_is_given_up_frees_the_slot(tmp_path: Path) -> None:
    class GiveUp(Exception):
        pass

    def refuse(seconds: float) -> None:
        raise GiveUp

    with RateLimiter("service", 1, folder=tmp_path).slot():
        pass
    with pytest.raises(GiveUp), RateLimiter("service", 1, folder=tmp_path, sleep=refuse).slot():
        pass

    with RateLimiter("service", 1, folder=tmp_path).slot():
        pass


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have no owners here")
def test_a_folder_prepared_by_somebody_else_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(limiter.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"histology-harvester-{os.getuid()}").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="request limit"):
        RateLimiter("service", 3)
