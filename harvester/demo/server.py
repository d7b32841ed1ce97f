"""A local stand-in of E-utilities, the PMC bucket and Europe PMC: standard library only, loopback only.

It answers as the real services do, counts requests as they count them, remembers every request, and can be told to fail
in the ways the real ones fail. The demo harvests from it, and the tests of the crawl run against it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from harvester.demo.faults import Fault, Faults, Service, damaged
from harvester.demo.served import ServedArticle
from harvester.demo.services import (
    Answer,
    Bucket,
    EuropePmc,
    Eutils,
    ServiceLimits,
    s3_error,
    search_error,
)

MAX_URL_CHARS = 8190
_HEADERS_OF_INTEREST = ("user-agent", "range", "if-range", "if-match", "if-none-match", "accept-encoding")
NO_FAULTS = Faults()
REAL_LIMITS = ServiceLimits()
_DROP_BYTES, _DROP_PAUSE_S = 1 << 12, 0.02


@dataclass(slots=True)
class ServedRequest:
    """A request as the stand-in saw it.

    Attributes:
        at_s: time.monotonic() at arrival.
        path: Below the service, percent-decoded: "esearch.fcgi", "PMC1.1/PMC1.1.pdf", "" for a listing.
        params: Query or form; the API key is replaced by "set".
        headers: Those of interest, lower-case names.
        status: 0 when the connection was cut before an answer.
        fault: Kind of the fault that was put in, or None.
        n_bytes: Body bytes sent.
    """

    at_s: float
    service: Service
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    status: int = 0
    fault: str | None = None
    n_bytes: int = 0


@dataclass(slots=True)
class RateViolation:
    """More E-utilities requests in one second than allowed; `count` of them came in the second that ends at `at_s`."""

    at_s: float
    count: int
    limit: int


@dataclass
class _State:
    lock: threading.Lock = field(default_factory=threading.Lock)
    requests: list[ServedRequest] = field(default_factory=list)
    violations: list[RateViolation] = field(default_factory=list)
    arrivals: dict[str, deque[float]] = field(default_factory=dict)
    busiest_second: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    transfers_now: int = 0
    max_transfers: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # a client that goes on after its answer was cut must not be reset by a full queue
    request_queue_size = 128

    def __init__(self, stand_in: StandIn, port: int) -> None:
        self.stand_in = stand_in
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake threads that wait for the next request of a kept connection, so that they end."""
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the game."""


class StandIn:
    """Context manager: the services over `articles`, on 127.0.0.1, until the block ends; port 0 takes a free one.

    Raises:
        OSError: when the port is taken.

    Attributes:
        articles: What is served now; `add`, `add_version`, `retract` and `remove` change it.
        eutils_url, bucket_url, europepmc_url: Base addresses, as the environment variables expect them.
        requests: Every request in order of arrival.
        violations: Every time the E-utilities rate was exceeded.
        busiest_second: Most E-utilities requests of one caller in any one-second window.
        max_transfers: Most objects of the bucket that were being sent at the same time.
    """

    def __init__(
        self,
        articles: Sequence[ServedArticle],
        faults: Faults = NO_FAULTS,
        limits: ServiceLimits = REAL_LIMITS,
        port: int = 0,
    ) -> None:
        self._faults = faults
        self._limits = limits
        self._serve_articles(articles)
        self._state = _State()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.eutils_url, self.bucket_url, self.europepmc_url = f"{base}/eutils", f"{base}/bucket", f"{base}/europepmc"

    def _serve_articles(self, articles: Sequence[ServedArticle]) -> None:
        self.articles = tuple(articles)
        self._eutils = Eutils(articles, self._limits)
        self._bucket = Bucket(articles, self._limits)
        self._europepmc = EuropePmc(articles)

    def add(self, *articles: ServedArticle) -> None:
        """Publish articles, or further versions of them, from now on."""
        ids = {article.article_id for article in articles}
        self._serve_articles([*(a for a in self.articles if a.article_id not in ids), *articles])

    def retract(self, pmcid: str) -> None:
        """Mark every version of an article as retracted, from now on."""
        self._serve_articles([replace(a, is_retracted=True) if a.pmcid == pmcid else a for a in self.articles])

    def remove(self, pmcid: str) -> None:
        """Take an article out of search and bucket, from now on."""
        self._serve_articles([a for a in self.articles if a.pmcid != pmcid])

    def add_version(self, pmcid: str, **changes: Any) -> ServedArticle:
        """Publish a further version of an article, its newest with these fields changed; return it."""
        newest = max((a for a in self.articles if a.pmcid == pmcid), key=lambda a: a.version)
        later = replace(newest, **{"version": newest.version + 1, **changes})
        self.add(later)
        return later

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    @property
    def requests(self) -> list[ServedRequest]:
        with self._state.lock:
            return list(self._state.requests)

    @property
    def violations(self) -> list[RateViolation]:
        with self._state.lock:
            return list(self._state.violations)

    @property
    def busiest_second(self) -> int:
        return self._state.busiest_second

    @property
    def max_transfers(self) -> int:
        return self._state.max_transfers

    def downloads(self) -> list[ServedRequest]:
        """Requests for PDF, XML or media; listings and metadata records are not among them."""
        return [r for r in self.requests if r.service == "bucket" and r.path and not r.path.endswith(".json")]

    def forget_requests(self) -> None:
        """Empty the log and the counts, not the memory of tries; for looking at a second run alone."""
        with self._state.lock:
            self._state.requests.clear()
            self._state.violations.clear()
            self._state.busiest_second = self._state.max_transfers = 0

    def environment(self, email: str = "demo@example.org") -> dict[str, str]:
        """Return the environment variables that send a harvest here."""
        return {
            "HARVESTER_EUTILS_URL": self.eutils_url,
            "HARVESTER_PMC_BUCKET_URL": self.bucket_url,
            "HARVESTER_EUROPEPMC_URL": self.europepmc_url,
            "HARVESTER_EMAIL": email,
        }

    def _over_rate(self, params: dict[str, str], address: str, at_s: float) -> Answer | None:
        """Count a request of E-utilities; return the refusal when it is one too many."""
        key = params.get("api_key", "")
        limit = 10 if key else 3
        with self._state.lock:
            window = self._state.arrivals.setdefault(key or address, deque())
            while window and at_s - window[0] >= 1.0:
                window.popleft()
            window.append(at_s)
            count = len(window)
            self._state.busiest_second = max(self._state.busiest_second, count)
            if count <= limit:
                return None
            self._state.violations.append(RateViolation(at_s, count, limit))
        return _rate_refusal(429, key or address, count, limit, 2) if self._limits.enforces_rate else None

    def _answer(self, entry: ServedRequest, params: dict[str, str], headers: dict[str, str], address: str) -> Answer:
        if entry.service == "eutils":
            refusal = self._over_rate(params, address, entry.at_s)
            return refusal or self._eutils.answer(entry.path, params)
        if entry.service == "europepmc":
            return self._europepmc.answer(entry.path, params)
        return self._bucket.answer(entry.path, params, headers)

    def _choose_fault(self, entry: ServedRequest) -> Fault | None:
        query = "&".join(f"{k}={v}" for k, v in sorted(entry.params.items()) if k not in ("api_key", "email", "tool"))
        address = f"{entry.service}/{entry.path}" + (f"?{query}" if query else "")
        with self._state.lock:
            before = self._state.tries[address]
            self._state.tries[address] += 1
        return self._faults.choose(entry.service, address, before)

    def _log(self, entry: ServedRequest) -> None:
        with self._state.lock:
            self._state.requests.append(entry)

    def _count_transfer(self, entry: ServedRequest, step: int) -> None:
        if entry.service == "bucket" and entry.path:
            with self._state.lock:
                self._state.transfers_now += step
                self._state.max_transfers = max(self._state.max_transfers, self._state.transfers_now)


def _rate_refusal(status: int, caller: str, count: int, limit: int, retry_after_s: int | None) -> Answer:
    body = {"error": "API rate limit exceeded", "api-key": caller, "count": str(count), "limit": str(limit)}
    headers = {"Content-Type": "application/json", "X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": "0"}
    if status == 429 and retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Answer(status, json.dumps(body, separators=(",", ":")).encode(), headers)


def _page(status: int, title: str) -> Answer:
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><center><h1>{title}</h1></center></body>\r\n</html>"
    return Answer(status, body.encode(), {"Content-Type": "text/html"})


_CHALLENGE = (
    b'<!doctype html><html lang="en"><head><title>Preparing to download ...</title>'
    b'<meta name="robots" content="noindex"></head><body><h1>'
    b"Preparing to download ...</h1><noscript>Enable JavaScript to continue.</noscript><script>"
    + b"/* proof of work */" * 80
    + b"</script></body></html>"
)


def _faulty_answer(fault: Fault, service: Service, answer: Answer, as_json: bool) -> Answer:
    """Return the answer that a fault of content puts in the place of the true one."""
    kind, wait_s = fault.kind, fault.retry_after_s
    waits = {"Retry-After": str(wait_s)} if wait_s is not None else {}
    if kind == "429":
        if service == "eutils":
            return _rate_refusal(429, "127.0.0.1", 4, 3, wait_s)
        page = _page(429, "429 Too Many Requests")
        return Answer(429, page.body, page.headers | waits)
    if kind == "503" and service == "bucket":
        slow = s3_error(503, "SlowDown", "Please reduce your request rate.")
        return Answer(503, slow.body, slow.headers | waits)
    if kind in ("500", "502", "503"):
        return _page(int(kind), f"{kind} {responses[int(kind)]}")
    if kind == "challenge":
        return Answer(200, _CHALLENGE, {"Content-Type": "text/html; charset=utf-8"})
    if kind == "xml_error":
        return search_error("Search Backend failed: Couldn't resolve #pmc-search: 502 Proxy Error", as_json=False)
    if kind == "json_newline":
        return search_error("Search Backend failed: Exception:\nread timed out", as_json=as_json)
    if kind == "rate_in_200":
        return _rate_refusal(200, "127.0.0.1", 4, 3, None)
    if kind == "error_code":
        body = json.dumps({"errCode": 500, "errMsg": "Internal error, try again later"}).encode()
        return Answer(200, body, {"Content-Type": "application/json"})
    if kind == "empty":
        body = json.dumps({"version": "6.9", "hitCount": 0, "request": {}, "resultList": {"result": []}}).encode()
        return Answer(200, body, {"Content-Type": "application/json"})
    if kind == "damaged":
        return Answer(answer.status, damaged(answer.body), answer.headers)
    if kind == "short":
        return Answer(answer.status, answer.body[: int(len(answer.body) * fault.keep_share)], answer.headers)
    return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # headers and body leave in separate writes; without this the second waits for an acknowledgement (40 ms)
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 60.0
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log is `StandIn.requests`."""

    def do_GET(self) -> None:
        self._serve("")

    def do_HEAD(self) -> None:
        self._serve("")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        self._serve(self.rfile.read(int(length) if length.isdigit() else 0).decode("utf-8", "replace"))

    def _serve(self, form: str) -> None:
        at_s = time.monotonic()
        stand_in = self.server.stand_in
        parts = urlsplit(self.path)
        _, _, rest = parts.path.partition("/")
        name, _, path = rest.partition("/")
        services: dict[str, Service] = {"eutils": "eutils", "bucket": "bucket", "europepmc": "europepmc"}
        if name not in services or len(self.path) > MAX_URL_CHARS:
            answer = _page(414, "414 Request-URI Too Large") if name in services else _page(404, "404 Not Found")
            self._send_head(answer)
            self._send_body(answer.body)
            return
        params = dict(parse_qsl(f"{parts.query}&{form}", keep_blank_values=True))
        shown = params | ({"api_key": "set"} if params.get("api_key") else {})
        headers = {key.lower(): value for key, value in self.headers.items()}
        kept = {key: headers[key] for key in _HEADERS_OF_INTEREST if key in headers}
        entry = ServedRequest(at_s, services[name], self.command, unquote(path), shown, kept)
        stand_in._log(entry)
        answer = stand_in._answer(entry, params, headers, self.client_address[0])
        fault = stand_in._choose_fault(entry) if answer.status < 400 else None
        if fault is not None:
            entry.fault = fault.kind
            as_json = "json" in (params.get("retmode"), params.get("format"))
            answer = _faulty_answer(fault, entry.service, answer, as_json)
        if fault is not None and fault.kind == "reset":
            self._reset()
            return
        entry.status = answer.status
        cut = len(answer.body)
        if fault is not None and fault.kind in ("truncated", "reset_midway"):
            cut = int(cut * fault.keep_share)
        entry.n_bytes = 0 if self.command == "HEAD" else cut
        stand_in._count_transfer(entry, +1)
        try:
            self._send_head(answer)
            if self.command != "HEAD" and answer.status != 304:
                is_slow = fault is not None and fault.kind == "drip"
                self._send_body(answer.body[: max(0, cut - 1)], is_slow=is_slow)
        finally:
            # before the last byte: a client that has its whole answer may already be asking for the next one
            stand_in._count_transfer(entry, -1)
        if self.command != "HEAD" and answer.status != 304:
            self._send_body(answer.body[max(0, cut - 1) : cut])
        if cut < len(answer.body):
            self.close_connection = True
        if fault is not None and fault.kind == "reset_midway":
            self._reset()

    def _reset(self) -> None:
        """Close with RST, as a middlebox does."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def _send_body(self, body: bytes, *, is_slow: bool = False) -> None:
        step = _DROP_BYTES if is_slow else max(1, len(body))
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            self.wfile.flush()
            if is_slow and self.server.stand_in._state.stopping.wait(_DROP_PAUSE_S):
                break
