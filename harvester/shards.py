"""Which part of a harvest a job takes, when several share the work without talking to each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from harvester.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number` (from 1) of `count`. Each article belongs to one part, by the hash of its PMCID or local id."""

    number: int
    count: int

    def holds(self, subject_id: str) -> bool:
        """Return whether a PMCID, or the id of an article, figure, panel or snapshot, is of this part.

        All versions of an article are of one part.
        """
        key = re.split(r"[./]", subject_id, maxsplit=1)[0]
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % self.count == self.number - 1


def parse_shard(text: str | None) -> Shard | None:
    """Read I/N, as in 2/4; None stays None.

    Raises:
        UsageError: when it is not that, or I is not from 1 to N.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard is {text!r}: give I/N with I from 1 to N, for instance 2/4.")
    return Shard(int(match[1]), int(match[2]))
