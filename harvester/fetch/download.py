"""Brings one file of the bucket into the store: resumed where it broke, started anew where it can't be trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import requests
from urllib3.exceptions import HTTPError

from harvester.errors import DamagedFile, FetchError
from harvester.fetch.answers import MissingFile, TryAgain, connection_words, parse_retry_after
from harvester.fetch.client import MISSING, TRANSIENT, Client
from harvester.fetch.store import PartFile, Store, looks_like_html
from harvester.records import Asset, AssetRef

MIN_PROGRESS_BYTES = 4096
"""A try that brought less than this counts as failed."""
MAX_PIECES = 200
"""Requests for one file, whatever progress each makes."""
MAX_PAGE_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/([0-9]{1,15})")


def fetch_file(client: Client, store: Store, article_id: str, ref: AssetRef) -> Asset:
    """Return the file from the store, downloading it when it is not there whole.

    A part left by an earlier try or run is gone on with by Range and If-Match. The md5 of the whole decides; when it is
    wrong the file is fetched once more from zero.

    Raises:
        MissingFile: no such object.
        DamagedFile: other bytes than announced, twice.
        MalformedArticle: the announced bytes are not what the name says.
        RateLimited: told to wait longer than `max_wait_s`.
        FetchError: not delivered in all tries, larger than allowed, or the disk refused.
    """
    found = store.find(article_id, ref)
    if found is not None:
        return found
    try:
        return _fetch_whole(client, store, article_id, ref)
    except DamagedFile:
        return _fetch_whole(client, store, article_id, ref)


def _fetch_whole(client: Client, store: Store, article_id: str, ref: AssetRef) -> Asset:
    with store.begin(article_id, ref) as part:
        n_failed, most = 0, client.settings.max_tries
        for _ in range(MAX_PIECES):
            before, wish_s = part.size, None
            fatal: FetchError | None = None
            try:
                if _fetch_piece(client, ref, part):
                    return part.commit()
                continue
            except TryAgain as problem:
                reason, wish_s = problem.reason, problem.retry_after_s
            except FetchError as problem:
                fatal = problem
            except (requests.RequestException, HTTPError, OSError) as problem:
                reason = connection_words(problem)
            if fatal is not None:
                fatal.__context__ = fatal.__cause__ = None
                raise fatal.with_traceback(None)
            n_failed = 0 if part.size - before >= MIN_PROGRESS_BYTES else n_failed + 1
            if n_failed >= most:
                break
            client.wait_to_try_again(max(1, n_failed), wish_s, reason)
    raise FetchError(f"{ref.name} could not be downloaded in {most} tries: {reason}.")


def _fetch_piece(client: Client, ref: AssetRef, part: PartFile) -> bool:
    """Ask for what is missing and append it; True when the file has all its bytes.

    False when the part was thrown away and the next request has to begin at zero.
    """
    headers = {}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.etag:
            headers["If-Match"] = part.etag
    assert ref.url is not None
    with client.open_file(ref.url, headers) as answer:
        status = answer.status_code
        if part.size and status == 412:
            part.restart()
            return False
        if part.size and status == 416:
            match = _UNSATISFIED_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if match and int(match[1]) == part.size:
                return True
            part.restart()
            return False
        if status in TRANSIENT:
            raise TryAgain(f"HTTP {status}", parse_retry_after(answer.headers))
        if status in MISSING:
            raise MissingFile(f"The PMC bucket has no {ref.name}.")
        if status not in (200, 206):
            raise FetchError(f"The PMC bucket refused {ref.name} (HTTP {status}).")
        n_whole = _whole_length(answer, part)
        if n_whole is None:
            part.restart()
            raise TryAgain("the wrong part of the file came")
        if n_whole > client.settings.max_file_bytes:
            raise FetchError(
                f"{ref.name} has {n_whole:,} bytes, more than the {client.settings.max_file_bytes:,} allowed."
            )
        part.mark(answer.headers.get("ETag"))
        _append(client, ref, part, answer)
    if 0 <= n_whole != part.size:
        raise TryAgain("the file came cut short")
    return True


def _whole_length(answer: requests.Response, part: PartFile) -> int | None:
    """Return the length of the whole file, -1 when it is not told, None when this is not the part asked for."""
    if answer.status_code == 200:
        if part.size:
            part.restart()
        length = answer.headers.get("Content-Length", "")
        return int(length) if re.fullmatch(r"[0-9]{1,15}", length) else -1
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None:
        return None
    first, last, n_whole = (int(text) for text in match.groups())
    etag = answer.headers.get("ETag")
    if first != part.size or not first <= last < n_whole or (part.etag and etag and etag != part.etag):
        return None
    return n_whole


def _append(client: Client, ref: AssetRef, part: PartFile, answer: requests.Response) -> None:
    pieces = client.stream(answer)
    for piece in pieces:
        if part.size == 0 and looks_like_html(piece):
            piece = _whole_page(piece, pieces)
            # a page that really is the announced file is left to the store, which refuses it for good
            if ref.md5 is None or hashlib.md5(piece, usedforsecurity=False).hexdigest() != ref.md5:
                raise TryAgain("a web page came instead of the file")
        part.write(piece)
        if part.size > client.settings.max_file_bytes:
            raise FetchError(f"{ref.name} has more than the {client.settings.max_file_bytes:,} bytes allowed.")


def _whole_page(begin: bytes, rest: Iterator[bytes]) -> bytes:
    page = bytearray(begin)
    for piece in rest:
        page += piece
        if len(page) > MAX_PAGE_BYTES:
            raise TryAgain("a web page came instead of the file")
    return bytes(page)
