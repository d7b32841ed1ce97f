"""What can go wrong with an answer, chosen by rule or by a draw that depends on the address alone.

Which tries of which address fail never depends on the order of requests, so a run with faults can be run again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, get_args

Service = Literal["eutils", "bucket", "europepmc"]
FaultKind = Literal[
    "429",  # refused with Retry-After
    "500",
    "502",  # a proxy's HTML page
    "503",  # SlowDown
    "reset",  # the connection is reset before the answer
    "reset_midway",  # ... in the middle of the body
    "truncated",  # Content-Length is right, the body ends early
    "short",  # the body is cut and Content-Length says the shorter length
    "damaged",  # right length, wrong bytes
    "challenge",  # 200 with a page that asks the browser for work
    "xml_error",  # 200 with an <ERROR> in XML
    "json_newline",  # 200 with an error whose text breaks strict JSON
    "rate_in_200",  # 200 with the body of a refusal
    "error_code",  # 200 with {"errCode": ...}
    "empty",  # 200 with a well-formed answer that has lost its hits
    "drip",  # the body comes in slow drops
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

_COMMON: tuple[FaultKind, ...] = ("429", "500", "502", "503", "reset", "reset_midway", "truncated", "short")
KINDS_OF_SERVICE: dict[Service, tuple[FaultKind, ...]] = {
    "eutils": (*_COMMON, "xml_error", "json_newline", "rate_in_200"),
    "bucket": (*_COMMON, "damaged", "challenge"),
    "europepmc": (*_COMMON, "error_code"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: the first tries of matching addresses get this fault, later ones are answered.

    Attributes:
        match: Regular expression searched in "service/path?query", e.g. r"bucket/.*\\.pdf$".
        first_tries: How many requests of one address fail before it is answered.
        share: Share of the matching addresses that fail at all, 0 to 1, drawn by seed and address.
        retry_after_s: Retry-After sent with 429 and 503; None sends none.
        keep_share: Where truncated, short, drip and reset_midway cut the body, 0 to 1.
    """

    kind: FaultKind
    match: str = ""
    first_tries: int = 1
    share: float = 1.0
    retry_after_s: int | None = 1
    keep_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Faults:
    """Every fault of a stand-in.

    Attributes:
        rules: Tried in order; the first that still has a try left decides.
        mixed_tries: Beyond the rules, so many first tries of every address get a kind drawn from all that its
            service can have.
        seed: Of both draws.
        retry_after_s: Retry-After of the drawn 429 and 503.
    """

    rules: tuple[Fault, ...] = ()
    mixed_tries: int = 0
    seed: int = 0
    retry_after_s: int | None = 1

    def choose(self, service: Service, address: str, tries_before: int) -> Fault | None:
        """Return the fault for a request, or None; `tries_before` counts earlier requests of the same address."""
        used = 0
        for i, rule in enumerate(self.rules):
            if not re.search(rule.match, address) or self._draw(f"rule{i}", address) >= rule.share:
                continue
            if tries_before < used + rule.first_tries:
                return rule
            used += rule.first_tries
        if used <= tries_before < used + self.mixed_tries:
            kinds = KINDS_OF_SERVICE[service]
            kind = kinds[int(self._draw(f"try{tries_before}", address) * len(kinds))]
            return Fault(kind, retry_after_s=self.retry_after_s)
        return None

    def _draw(self, purpose: str, address: str) -> float:
        digest = hashlib.sha256(f"{self.seed} {purpose} {address}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def damaged(body: bytes) -> bytes:
    """Return bytes of the same length of which up to 16 in the middle differ, such that no text survives as text."""
    if not body:
        return body
    start = max(0, len(body) // 2 - 8)
    middle = bytes(0xFF if byte != 0xFF else 0xFE for byte in body[start : start + 16])
    return body[:start] + middle + body[start + len(middle) :]
