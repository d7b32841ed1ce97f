"""The first look at the catalog: which snapshots go. Nothing is written and no image is read.

Memory is one byte a snapshot, and about twenty for each that competes with its duplicates.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harvester.catalog import Catalog
from harvester.errors import FetchError
from harvester.export.duplicates import ACROSS, TWICE, PictureHashes
from harvester.export.filters import LICENCE_REASONS, REASONS, RowFilter
from harvester.export.request import ExportRequest
from harvester.export.splits import split_key, split_of
from harvester.licences import licence_name

_GOES = 255
_CODES = {reason: code for code, reason in enumerate(REASONS)}
_RANKS = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was decided of every row of the view, in its order.

    Attributes:
        decisions: One byte a row.
        left_out: How many stay behind, by reason.
        refused_licences: How many the licence held back, by "code: why".
        digest: SHA-256 over all rows: the same catalog, the same digest.
    """

    decisions: bytearray
    left_out: Counter[str]
    refused_licences: Counter[str]
    digest: str

    @property
    def n_going(self) -> int:
        """How many rows go."""
        return self.decisions.count(_GOES)

    def rows(self, catalog: Catalog) -> Iterator[dict[str, Any] | None]:
        """Yield each row of the catalog that goes, and None for each that stays.

        Raises:
            FetchError: after the last row, when the catalog is no longer the one that was looked at.
        """
        seen = hashlib.sha256()
        for position, row in enumerate(catalog.snapshots()):
            seen.update(_bytes_of(row))
            goes = position < len(self.decisions) and self.decisions[position] == _GOES
            yield row if goes else None
        if seen.hexdigest() != self.digest:
            raise FetchError("The catalog changed while it was exported.")


def select_rows(catalog: Catalog, request: ExportRequest) -> Selection:
    """Judge every row of the view `snapshots`: the filters first, then duplicates among what is left."""
    row_filter = RowFilter(request, _articles_with_mesh(catalog, request.mesh))
    decisions, digest = bytearray(), hashlib.sha256()
    left_out: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    hashes = PictureHashes()
    for row in catalog.snapshots():
        digest.update(_bytes_of(row))
        reason = row_filter.why_not(row)
        if reason is None:
            decisions.append(_GOES)
            hashes.add(row["image_sha256"], row["phash"], _RANKS[split_of(split_key(row))])
            continue
        decisions.append(_CODES[reason])
        left_out[reason] += 1
        if reason in LICENCE_REASONS:
            refused[_refusal(row, reason)] += 1
    verdicts = hashes.judge(keep_within=request.keep_duplicates)
    for code, reason in ((TWICE, "duplicate"), (ACROSS, "duplicate_across")):
        left_out[reason] += int((verdicts == code).sum())
    view = np.frombuffer(decisions, np.uint8)
    competing = np.flatnonzero(view == _GOES)
    view[competing[verdicts == TWICE]] = _CODES["duplicate"]
    view[competing[verdicts == ACROSS]] = _CODES["duplicate_across"]
    return Selection(decisions, +left_out, refused, digest.hexdigest())


def _bytes_of(row: dict[str, Any]) -> bytes:
    return repr(tuple(row.values())).encode("utf-8", "backslashreplace")


def _refusal(row: dict[str, Any], reason: str) -> str:
    code, in_text = row["licence_code"], row["text_licence_code"]
    said = code or licence_name(None)
    if in_text is not None and in_text != code:
        said += f" (its text: {in_text})"
    return f"{said}: {REASONS[reason]}"


def _articles_with_mesh(catalog: Catalog, words: tuple[str, ...]) -> frozenset[str]:
    if not words:
        return frozenset()
    wanted = {word.casefold() for word in words}
    found = set()
    for row in catalog.rows("SELECT article_id, mesh_terms FROM article"):
        terms = json.loads(row["mesh_terms"]) if isinstance(row["mesh_terms"], str) else row["mesh_terms"]
        if any(str(term).casefold() in wanted for term in terms or ()):
            found.add(row["article_id"])
    return frozenset(found)
