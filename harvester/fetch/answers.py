"""What came back from a service: good, worth another try, or a refusal; and what of it may be repeated to a person.

Bodies of E-utilities repeat the API key or the caller's address, and exceptions of the HTTP library repeat whole
request lines. So messages are our own words, or a service's with all of that crossed out.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import requests

from harvester.errors import FetchError, UsageError

Json = dict[str, object]

_KEY = re.compile(r"(api[_-]key\W{1,4})[^&\s\"',}]+", re.IGNORECASE)
_ADDRESS = re.compile(r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b")
_XML_ERROR = re.compile(rb"<ERROR>(.*?)</ERROR>", re.DOTALL)
_OVERLOAD = re.compile(
    r"backend|proxy|time|50[0-9]|gateway|internal|server|temporar|unavailable|again|rate|webenv", re.IGNORECASE
)


class MissingFile(FetchError):
    """The server says there is no such object; asking again helps only when it changes."""


class Cancelled(FetchError):
    """The run was told to stop while this request waited or ran."""


class TryAgain(Exception):
    """An answer that a later try may mend.

    Attributes:
        reason: In our own words, or the service's with key and addresses crossed out.
        retry_after_s: The pause the server asked for.
        is_refusal: The service answered, in good order, that it won't: a few tries are enough to believe it.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, is_refusal: bool = False) -> None:
        super().__init__(reason, retry_after_s)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.is_refusal = is_refusal


def parse_json_object(content: bytes) -> Json:
    """Read a JSON object; line breaks inside strings are let pass, as E-utilities sends them.

    Raises:
        ValueError: when it is none.
    """
    try:
        value = json.loads(content.decode("utf-8"), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def parse_eutils(content: bytes) -> Json:
    """Read the envelope of E-utilities, whose failures come as XML or JSON and with HTTP 200.

    Raises:
        ValueError: when it is no JSON object.
        TryAgain: overloaded, or refused.
        UsageError: the key is refused.
    """
    found = _XML_ERROR.search(content)
    if found is not None and content.lstrip()[:1] == b"<":
        raise _refusal(found[1].decode("utf-8", "replace"))
    answer = parse_json_object(content)
    if "error" in answer:
        words = clean_words(str(answer["error"]))
        if "key invalid" in words.lower():
            raise bad_key()
        raise TryAgain(words, 2.0 if "rate limit" in words.lower() else None)
    result = answer.get("esearchresult")
    if isinstance(result, dict) and "ERROR" in result:
        raise _refusal(str(result["ERROR"]))
    return answer


def parse_europepmc(content: bytes) -> Json:
    """Read the envelope of Europe PMC; raises as `parse_eutils`."""
    answer = parse_json_object(content)
    if "errCode" in answer:
        raise TryAgain(clean_words(str(answer.get("errMsg", ""))), is_refusal=True)
    return answer


def _refusal(text: str) -> TryAgain:
    words = clean_words(text)
    return TryAgain(words, is_refusal=_OVERLOAD.search(words) is None)


def bad_key() -> UsageError:
    """Return the error for a key that NCBI does not know."""
    return UsageError("NCBI refuses the key in NCBI_API_KEY: correct it, or unset it to go on more slowly.")


def hide_key(text: str) -> str:
    """Return the text with the value of every api_key or api-key crossed out."""
    return _KEY.sub(r"\1***", text)


def clean_words(text: str) -> str:
    """Return a service's words fit for a message: one short line without key, network addresses or markup."""
    line = " ".join(re.sub(r"<[^<>]{0,200}>", " ", text).split())
    return _ADDRESS.sub("***", hide_key(line))[:200].rstrip(". ") or "no reason given"


class HideKey(logging.Filter):
    """urllib3 writes request lines at DEBUG; the key in them is crossed out before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, cleaned."""
        text = record.getMessage()
        if _KEY.search(text):
            record.msg, record.args = hide_key(text), ()
        return True


def connection_words(problem: Exception) -> str:
    """Say what kind of failure it was; the exception's own text holds the address with the key."""
    if isinstance(problem, requests.exceptions.SSLError):
        return "the secure connection failed"
    if isinstance(problem, requests.exceptions.ProxyError):
        return "the proxy refused"
    if isinstance(problem, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(problem, requests.exceptions.ConnectionError):
        return "the connection failed"
    return "the connection broke"


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause a server asks for, in seconds: Retry-After in seconds or as a date. None when there is none.

    A date is compared with the server's own Date where it sends one, so that a wrong clock here does no harm.

    Source:
        RFC 9110, 10.2.3.
    """
    text = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return float(text)
    until = _seconds(text)
    if until is None:
        return None
    now = _seconds(headers.get("Date") or "")
    return max(0.0, until - (time.time() if now is None else now))


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
