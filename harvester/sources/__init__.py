"""Which articles exist, and which of their versions is taken. Nothing here opens a socket; it is handed who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Json = dict[str, object]


class Services(Protocol):
    """Asks the three services. `parse` gets an answer and raises ValueError for one that a later try may mend."""

    def ask_eutils(self, tool: str, params: Mapping[str, str], parse: Callable[[Json], T]) -> T:
        """Ask E-utilities."""
        ...

    def ask_europepmc(self, path: str, params: Mapping[str, str], parse: Callable[[Json], T]) -> T:
        """Ask Europe PMC."""
        ...

    def ask_bucket(self, key: str, params: Mapping[str, str], parse: Callable[[bytes], T]) -> T:
        """Ask the PMC bucket for a listing or a small object."""
        ...


class Memory(Protocol):
    """Keeps where a long search stands, from run to run."""

    def get_checkpoint(self, key: str) -> dict[str, Any] | None:
        """Return what was stored, or None."""
        ...

    def set_checkpoint(self, key: str, value: Mapping[str, Any] | None) -> None:
        """Store a JSON object; None forgets it."""
        ...


@dataclass(frozen=True, slots=True)
class Hit:
    """An article that a search or a manifest names.

    Attributes:
        subject: "PMC123", or "MED:123" for a hit that is not in PMC.
        version: The only version wanted; None leaves the choice.
        refused: (reason, detail) when the search already shows that it can't be taken.
    """

    subject: str
    version: int | None = None
    refused: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SearchStart:
    """What a source says to a query before its hits are gone through.

    Attributes:
        n_hits: Articles found, licence filter included.
        understood: The query as the service understood it.
        notes: What the user should know: words not found, filters dropped.
    """

    n_hits: int
    understood: str
    notes: tuple[str, ...] = ()


class Search(Protocol):
    """A search that is gone through lazily, and goes on where an interrupted run stood."""

    def start(self) -> SearchStart:
        """Ask for the first answer.

        Raises:
            SourceError, UsageError, RateLimited: when it can't be had.
        """
        ...

    def hits(self) -> Iterator[Hit]:
        """Yield the articles in the source's order, each once."""
        ...

    def count(self, licence_code: str | None) -> int:
        """Return how many hits have this licence; None: of any kind, licence filter left out."""
        ...

    def forget(self) -> None:
        """Drop what was kept for going on; the next run asks anew."""
        ...
