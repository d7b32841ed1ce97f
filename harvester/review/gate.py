"""Who may speak to the page: this machine's own browser, with the token, and no other web site.

Sources: OWASP cheat sheets on cross-site request forgery and on DNS rebinding; RFC 6265bis on SameSite cookies.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self';"
        b" form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # no-referrer would make browsers send "Origin: null" with the page's own forms
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

NO_TOKEN = "Open the address that 'harvester review' printed: it carries the token this page asks for."  # noqa: S105
WRONG_HOST = "This page answers only under the address that 'harvester review' printed."
CROSS_SITE = "Another web site tried to write here; nothing was changed."


class Gate:
    """ASGI middleware: checks Host, Origin and token before anything else runs, and adds the headers of safety.

    The token stands in the printed address only; the browser then keeps a cookie that scripts cannot read and other
    sites cannot make it send. Both are made anew with every start.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, port: int) -> None:
        self._app = app
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        self.token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)
        # cookies know no ports: two harvests reviewed at once would take each other's
        self._cookie = f"harvester_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send_with_headers, *refusal)
        elif scope["path"] == "/" and (given := _query_token(scope)) is not None:
            if not _equal(given, self.token):
                await _answer(send_with_headers, 403, NO_TOKEN)
                return
            cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send_with_headers, 303, "", (b"location", b"/queue"), (b"set-cookie", cookie.encode()))
        elif not _equal(_cookies(scope).get(self._cookie, ""), self._session):
            await _answer(send_with_headers, 403, NO_TOKEN)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, WRONG_HOST
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "Only pages are read and forms are sent here."
        own = f"http://{hosts[0].lower()}"
        site = _header(scope, b"sec-fetch-site")
        if _header(scope, b"origin") != [own] or (site and site != ["same-origin"]):
            return 403, CROSS_SITE
        return None


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _cookies(scope: Scope) -> dict[str, str]:
    pairs = (pair.partition("=") for line in _header(scope, b"cookie") for pair in line.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _query_token(scope: Scope) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return values[0] if values else None


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


async def _answer(send: Send, status: int, words: str, *headers: tuple[bytes, bytes]) -> None:
    plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": plain})
    await send({"type": "http.response.body", "body": words.encode()})
