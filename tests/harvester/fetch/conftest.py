"""A server whose answers a test writes down one by one, and a client without pauses."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from harvester.fetch.client import Client
from harvester.fetch.store import Store
from harvester.settings import ServiceSettings

KEY = "0123456789abcdefdeadbeef0123456789ab"


@dataclass
class Reply:
    """An answer; `cut` closes the connection after so many bytes of the body, `reset` before any answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False


@dataclass
class Seen:
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass
class Script:
    """The replies in order; the last one stays. A callable gets the request."""

    url: str
    replies: list[Reply | Callable[[Seen], Reply]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


@pytest.fixture
def script() -> Iterator[Script]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query + "&" + body)), dict(self.headers.items()))
            story.seen.append(seen)
            reply = story.replies.pop(0) if len(story.replies) > 1 else story.replies[0]
            if callable(reply):
                reply = reply(seen)
            if reply.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    story = Script(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield story
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def settings(script: Script) -> ServiceSettings:
    url = script.url
    return ServiceSettings(
        eutils_url=url,
        bucket_url=url,
        europepmc_url=url,
        email="someone@example.org",
        api_key=KEY,
        connect_timeout_s=2,
        read_timeout_s=2,
    )


@pytest.fixture
def client(settings: ServiceSettings, pauses: list[float]) -> Client:
    return Client(settings, sleep=pauses.append)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "harvest")
