"""Errors raised by the harvester.

HarvestError
  UsageError          the command can't start: bad arguments, an option that is not there yet, a folder in use
  SourceError         we could not learn which articles exist
  FetchError          server or disk let us down; a later run may succeed
    RateLimited       told to slow down for longer than we wait; carries retry_after_s
    DamagedFile       the bytes that came are not the bytes that were promised
  MalformedArticle    the bytes arrived whole but are not what they claim to be; carries the reason code
  CatalogError        the database refused a write or is at another revision

A panel that is not H&E, a licence that forbids reuse, a figure too small to judge: none of these is an error. They are
Skip records, counted and stored like any result. Every message is one sentence that a person can act on.
"""

from __future__ import annotations


class HarvestError(Exception):
    """Base of everything the harvester raises on purpose; str() is one sentence for a person."""


class UsageError(HarvestError):
    """The command cannot start; exit code 2."""


class SourceError(HarvestError):
    """A search service could not be asked, or refused the query."""


class FetchError(HarvestError):
    """A transfer failed; a later run may succeed."""


class RateLimited(FetchError):
    """The server asked for a pause longer than this run is willing to make."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class DamagedFile(FetchError):
    """The body does not match its md5, its length or its kind; nothing of it was kept."""


class MalformedArticle(HarvestError):
    """A file is not what it claims to be; `reason` is the code of the skip it becomes."""

    def __init__(self, message: str, reason: str = "malformed") -> None:
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


class CatalogError(HarvestError):
    """The catalog refused a write, is locked by another run, or is at another revision."""
