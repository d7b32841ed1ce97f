"""The only socket of the project: three services, asked politely, whose answers are believed only when they hold.

Every request has a bounded number of tries, every body a bounded size, every wait an end. The API key goes out in
requests and nowhere else.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from harvester import __version__
from harvester.errors import FetchError, HarvestError, RateLimited, SourceError, UsageError
from harvester.fetch.answers import (
    Cancelled,
    HideKey,
    Json,
    MissingFile,
    TryAgain,
    bad_key,
    connection_words,
    parse_europepmc,
    parse_eutils,
    parse_retry_after,
)
from harvester.fetch.limiter import RateLimiter
from harvester.fetch.store import looks_like_html
from harvester.settings import LOOPBACK_HOSTS, ServiceSettings

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_ANSWER_BYTES = 64 << 20
"""A search page, a listing or metadata is never this large; a full one of 9,999 ids has about 200 kB."""
MAX_GET_CHARS = 1800
"""Longer queries go by POST (NBK25499 asks for that from several hundred ids on; Europe PMC ends at about 8 kB)."""
MAX_REDIRECTS = 3
REFUSAL_TRIES = 4
"""The services word overload and a bad query alike; the same refusal so often in a row is meant."""
FIRST_PAUSE_S = 0.5
LONG_PAUSE_S = 3.0
"""A person in front of the screen is told of longer ones."""
EUROPEPMC_PER_SECOND = 4
"""No limit is published; 1 to 5 a second is the advice."""

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
MISSING = frozenset({403, 404, 410})
"""The bucket answers 403 for what its listing does not show."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HIDE_KEY = HideKey()


@dataclass(frozen=True, slots=True)
class _Service:
    """One of the three services: name for messages, base address, and the gate each request passes."""

    name: str
    base: str
    gate: Callable[[], AbstractContextManager[object]]

    def error(self, message: str) -> HarvestError:
        """Return the error of this service: files fail with FetchError, searches with SourceError."""
        text = message.format(name=self.name)
        text = text[:1].upper() + text[1:]
        return FetchError(text) if "bucket" in self.name else SourceError(text)


class Client:
    """Asks E-utilities, the PMC bucket and Europe PMC; nothing else can be reached through it.

    Safe for threads: each has its own session; use it in a `with` block, which closes them. `sleep` replaces every wait
    between tries, for tests; the limit of requests a second holds all the same.
    """

    def __init__(self, settings: ServiceSettings, *, sleep: Callable[[float], None] | None = None) -> None:
        self.settings = settings
        self._stop = threading.Event()
        self._sleep = sleep
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._transfers = threading.BoundedSemaphore(settings.max_transfers)
        self._limiters: dict[str, RateLimiter] = {}
        self._lock = threading.Lock()
        self._eutils = _Service("NCBI E-utilities", settings.eutils_url, self._eutils_slot)
        self._bucket = _Service("the PMC bucket", settings.bucket_url, lambda: self._transfers)
        self._europepmc = _Service("Europe PMC", settings.europepmc_url, self._europepmc_slot)
        for name in ("urllib3.connectionpool", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_HIDE_KEY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open; a later request opens new ones."""
        with self._lock:
            for session in self._sessions:
                session.close()

    def cancel(self) -> None:
        """Make every wait end now and every transfer at its next piece; both raise Cancelled."""
        self._stop.set()

    # what the services are asked

    def ask_eutils(self, tool: str, params: Mapping[str, str], parse: Callable[[Json], T]) -> T:
        """Ask E-utilities for JSON, e.g. "esearch.fcgi", with tool, e-mail and key added.

        Args:
            parse: Reads the object; raises ValueError for one that a later try may mend.

        Raises:
            UsageError: no e-mail is set for the real service, or the key is refused.
            SourceError: refused, or not answered properly in all tries.
            RateLimited: told to wait longer than `max_wait_s`.
        """
        s = self.settings
        if s.email is None and urlsplit(s.eutils_url).hostname not in LOOPBACK_HOSTS:
            raise UsageError("NCBI asks for an address to write to: set HARVESTER_EMAIL to your e-mail address.")
        known = {"tool": s.tool, "email": s.email or "", "api_key": s.api_key or ""}
        sent = {**params, "retmode": "json", **{name: value for name, value in known.items() if value}}
        return self._ask(self._eutils, tool, sent, lambda content: parse(parse_eutils(content)))

    def ask_europepmc(self, path: str, params: Mapping[str, str], parse: Callable[[Json], T]) -> T:
        """Ask Europe PMC for JSON, e.g. "search"; `parse` and errors as in `ask_eutils`."""
        email = {"email": self.settings.email} if self.settings.email else {}
        sent = {**params, "format": "json", **email}
        return self._ask(self._europepmc, path, sent, lambda content: parse(parse_europepmc(content)))

    def ask_bucket(self, key: str, params: Mapping[str, str], parse: Callable[[bytes], T]) -> T:
        """Ask the bucket for a listing (key "" and `list-type`) or a small object.

        Args:
            parse: Reads the body; raises ValueError for one that a later try may mend.

        Raises:
            MissingFile: no such object.
            FetchError: not answered properly in all tries.
            RateLimited: told to wait longer than `max_wait_s`.
        """
        return self._ask(self._bucket, quote(key, safe="/"), params, parse)

    def _ask(self, service: _Service, path: str, params: Mapping[str, str], parse: Callable[[bytes], T]) -> T:
        query = urlencode(params)
        url, body = f"{service.base}/{path}", None
        if service is not self._bucket and len(query) > MAX_GET_CHARS:
            url, body = url + ("POST" if service is self._europepmc else ""), query
        elif query:
            url = f"{url}?{query}"

        def once() -> T:
            with service.gate(), self._open(service, url, {}, body) as answer:
                content = self._read_bounded(answer)
                self._check_status(service, answer, content)
            if looks_like_html(content):
                raise TryAgain("a web page came instead of an answer")
            try:
                return parse(content)
            except ValueError:
                raise TryAgain("the answer could not be read") from None

        return self._try_often(service, once)

    def _try_often(self, service: _Service, once: Callable[[], T]) -> T:
        """Call until it returns or the tries are used up."""
        refusal, n_refusals = "", 0
        for attempt in range(1, self.settings.max_tries + 1):
            verb, wish_s = "did not answer properly", None
            fatal: HarvestError | None = None
            try:
                return once()
            except TryAgain as problem:
                reason, wish_s = problem.reason, problem.retry_after_s
                n_refusals = n_refusals + 1 if problem.is_refusal and reason == refusal else int(problem.is_refusal)
                refusal = reason
            except HarvestError as problem:
                fatal = problem
            except (requests.RequestException, HTTPError, OSError) as problem:
                verb, reason = "could not be reached", connection_words(problem)
            # raised below, outside of the handlers, so that no exception with an address in it hangs on to ours
            if fatal is not None:
                fatal.__context__ = fatal.__cause__ = None
                raise fatal.with_traceback(None)
            if n_refusals >= REFUSAL_TRIES:
                raise service.error(f"{{name}} refused the request: {_braced(reason)}.")
            if attempt < self.settings.max_tries:
                self.wait_to_try_again(attempt, wish_s, reason, service)
        advice = "; check the network" if verb.startswith("could") else ""
        raise service.error(f"{{name}} {verb} in {self.settings.max_tries} tries: {_braced(reason)}{advice}.")

    # waiting

    def wait_to_try_again(
        self, attempt: int, wish_s: float | None, reason: str, service: _Service | None = None
    ) -> None:
        """Pause as the server wishes, else longer each time with jitter.

        Args:
            attempt: How many tries there were, from 1.
            wish_s: The server's wish in seconds.
            reason: For the log.
            service: The bucket when not given.

        Raises:
            RateLimited: when the wish is longer than `max_wait_s`.
            Cancelled: when the run is told to stop.
        """
        service = service or self._bucket
        longest = self.settings.max_wait_s
        own = FIRST_PAUSE_S * float(2 ** min(attempt - 1, 20)) * random.uniform(0.5, 1.0)
        if wish_s is not None and wish_s > longest:
            message = f"{{name}} asks to wait {wish_s:.0f} s, longer than the {longest:.0f} s that a run waits."
            raise RateLimited(str(service.error(message)), wish_s)
        wait_s = min(max(wish_s or 0.0, own), longest)
        # a search waits for this, files come in side by side
        is_felt = wait_s >= LONG_PAUSE_S and service is not self._bucket
        level = logging.WARNING if is_felt else logging.INFO
        logger.log(level, "%s: %s; trying again in %.0f s", service.name, reason, wait_s)
        if self._sleep is not None:
            self._sleep(wait_s)
        else:
            self._stop.wait(wait_s)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Cancelled("The run was stopped.")

    def _limiter(self, name: str, per_second: int) -> RateLimiter:
        with self._lock:
            if name not in self._limiters:
                self._limiters[name] = RateLimiter(name, per_second, sleep=self._limiter_sleep)
            return self._limiters[name]

    def _limiter_sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _eutils_slot(self) -> AbstractContextManager[object]:
        s = self.settings
        key = sha256(s.api_key.encode()).hexdigest() if s.api_key else "no key"
        return self._limiter(f"eutils {urlsplit(s.eutils_url).netloc} {key}", s.eutils_per_second).slot()

    def _europepmc_slot(self) -> AbstractContextManager[object]:
        host = urlsplit(self.settings.europepmc_url).netloc
        return self._limiter(f"europepmc {host}", EUROPEPMC_PER_SECOND).slot()

    # one request

    def _session(self, service: _Service) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            email = self.settings.email
            contact = f" ({email})" if email and email.isascii() else ""
            session.headers["User-Agent"] = f"{self.settings.tool}/{__version__}{contact}"
            session.auth = _no_auth
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        # a proxy of the environment has no business between this process and a server on the same machine
        session.trust_env = urlsplit(service.base).hostname not in LOOPBACK_HOSTS
        return session

    @contextmanager
    def _open(
        self, service: _Service, url: str, headers: Mapping[str, str], body: str | None = None
    ) -> Iterator[requests.Response]:
        """Send one request, following a few redirects that stay on the same host; yields before the body is read."""
        home = urlsplit(service.base)
        form = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        for _ in range(MAX_REDIRECTS + 1):
            here = urlsplit(url)
            if (here.scheme, here.netloc) != (home.scheme, home.netloc):
                raise service.error("{name} redirects to another host, which is not followed.")
            self._check_stop()
            answer = self._session(service).request(
                "GET" if body is None else "POST",
                url,
                headers={**headers, **form},
                data=body,
                stream=True,
                allow_redirects=False,
                timeout=(self.settings.connect_timeout_s, self.settings.read_timeout_s),
            )
            with answer:
                if answer.status_code not in _REDIRECTS:
                    yield answer
                    return
                if body is not None and answer.status_code not in (307, 308):
                    break
                url = urljoin(url, answer.headers.get("Location", ""))
        raise service.error("{name} redirects too often.")

    def _read_bounded(self, answer: requests.Response) -> bytes:
        deadline = time.monotonic() + 10 * self.settings.read_timeout_s
        content = bytearray()
        for piece in answer.iter_content(1 << 16):
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise TryAgain("the answer is far too large")
            self._check_pace(deadline)
        return bytes(content)

    def _check_pace(self, deadline: float) -> None:
        self._check_stop()
        if time.monotonic() > deadline:
            raise TryAgain("the answer came too slowly")

    def _check_status(self, service: _Service, answer: requests.Response, content: bytes) -> None:
        """Let only 200 pass; the body is looked at for what it means, never repeated."""
        status = answer.status_code
        if service is self._eutils and status in (400, 401, 403) and b"api key invalid" in content.lower():
            raise bad_key()
        if status in TRANSIENT:
            raise TryAgain(f"HTTP {status}", parse_retry_after(answer.headers))
        if status in MISSING and service is self._bucket:
            raise MissingFile("The PMC bucket has no such object.")
        if status != 200:
            raise service.error(f"{{name}} refused the request (HTTP {status}).")

    # files

    @contextmanager
    def open_file(self, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """Ask the bucket for a file, in one of its transfer places; yields before the body is read.

        Raises:
            FetchError: when the address is not one of the bucket's.
            requests.RequestException, OSError: when the connection fails.
        """
        if not url.startswith(f"{self._bucket.base}/"):
            raise FetchError("A file lies outside the PMC bucket and was not asked for.")
        with self._transfers, self._open(self._bucket, url, {"Accept-Encoding": "identity", **headers}) as answer:
            yield answer

    def stream(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield a file's body in pieces, as stored; ends with an error when it is cut short or crawls."""
        deadline = time.monotonic() + 10 * self.settings.read_timeout_s
        for piece in answer.raw.stream(1 << 16, decode_content=False):
            self._check_pace(deadline)
            yield piece


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from looking for passwords in ~/.netrc."""
    return request


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
