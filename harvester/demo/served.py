"""Articles as the stand-in serves them: the files of one version, and the metadata record the bucket keeps for it."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

from harvester.errors import UsageError

BUCKET_NAME = "pmc-oa-opendata"


@dataclass(frozen=True)
class Blob:
    """Bytes with their md5, counted once however often they are served."""

    body: bytes = field(repr=False)

    @cached_property
    def md5(self) -> str:
        """32 hex digits."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class ServedArticle:
    """One version of one article with its files.

    Attributes:
        pmcid: "PMC123".
        xml: JATS.
        pdf: None when the bucket holds none.
        media: (file name, bytes) of figures and supplements; names may be anything a publisher sends.
        licence_code: As in the bucket's record, "CC BY", "TDM", ... or None.
        released: Day of release in PMC; what `[pmcrdat]` searches.
        missing_media: Names that the record announces and the bucket does not hold.
        record_pmcid: What the record claims instead of `pmcid`, for tests of a wrong record.
    """

    pmcid: str
    xml: Blob
    pdf: Blob | None = None
    media: tuple[tuple[str, Blob], ...] = ()
    version: int = 1
    pmid: int | None = None
    doi: str | None = None
    title: str = ""
    journal: str = ""
    citation: str = ""
    licence_code: str | None = "CC BY"
    released: date = date(2026, 1, 15)
    is_open_access: bool = True
    is_manuscript: bool = False
    is_ocr: bool = False
    is_retracted: bool = False
    missing_media: frozenset[str] = frozenset()
    record_pmcid: str | None = None

    @property
    def article_id(self) -> str:
        return f"{self.pmcid}.{self.version}"

    @property
    def number(self) -> int:
        """The digits of the PMCID, as the search answers them."""
        return int(self.pmcid.removeprefix("PMC"))

    @cached_property
    def text(self) -> Blob:
        """The plain text that lies beside every XML."""
        return Blob(plain_text(self.xml.body.decode("utf-8", "replace")).encode())

    @cached_property
    def search_text(self) -> dict[str, str]:
        """Lower-case words by search field: all, title, abstract, caption."""
        source = self.xml.body.decode("utf-8", "replace")
        parts = {
            "title": f"{self.title} {plain_text(_first(source, 'article-title'))}",
            "abstract": plain_text(_first(source, "abstract")),
            "caption": plain_text(" ".join(re.findall(r"<fig\b.*?</fig>", source, re.S))),
            "all": f"{self.title} {self.journal} {self.doi} {self.text.body.decode()}",
        }
        return {name: f" {' '.join(words.lower().split())} " for name, words in parts.items()}

    @cached_property
    def record(self) -> Blob:
        """The metadata JSON, byte for byte in the form of the bucket (keys absent when there is no PDF or media)."""

        def address(name: str, blob: Blob) -> str:
            return f"s3://{BUCKET_NAME}/{self.article_id}/{name}?md5={blob.md5}"

        fields: dict[str, object] = {
            "pmcid": self.record_pmcid or self.pmcid,
            "version": self.version,
            "pmid": self.pmid,
            "doi": self.doi,
            "mid": "NIHMS1000001" if self.is_manuscript else None,
            "title": self.title,
            "citation": self.citation,
            "is_pmc_openaccess": self.is_open_access,
            "is_manuscript": self.is_manuscript,
            "is_historical_ocr": self.is_ocr,
            "is_retracted": self.is_retracted,
            "license_code": self.licence_code,
            "text_url": address(f"{self.article_id}.txt", self.text),
        }
        if self.pdf is not None:
            fields["pdf_url"] = address(f"{self.article_id}.pdf", self.pdf)
        fields["xml_url"] = address(f"{self.article_id}.xml", self.xml)
        if self.media:
            fields["media_urls"] = [address(name, blob) for name, blob in self.media]
        return Blob(json.dumps(fields).encode())

    def objects(self) -> Iterable[tuple[str, Blob]]:
        """Yield (key, bytes) of everything the bucket holds for this version."""
        prefix = f"{self.article_id}/{self.article_id}"
        yield f"{prefix}.json", self.record
        yield f"{prefix}.txt", self.text
        yield f"{prefix}.xml", self.xml
        if self.pdf is not None:
            yield f"{prefix}.pdf", self.pdf
        for name, blob in self.media:
            if name not in self.missing_media:
                yield f"{self.article_id}/{name}", blob
        yield f"metadata/{self.article_id}.json", self.record


def plain_text(markup: str) -> str:
    """Return the words of some XML, tags dropped and white space collapsed."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def _first(source: str, tag: str) -> str:
    match = re.search(rf"<{tag}\b[^>]*>(.*?)</{tag}>", source, re.S)
    return match[1] if match else ""


_LICENCE_PATH = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)|publicdomain/(zero))", re.I)
_PMC_ID = re.compile(r'(<article-id pub-id-type="(?:pmc|pmcid|pmcaid|pmcaiid|pmcid-ver)">)(PMC|)\d+')


def _licence_of(source: str) -> str | None:
    block = _first(source, "permissions")
    match = _LICENCE_PATH.search(block)
    if match:
        return "CC0" if match[2] else f"CC {match[1].upper()}"
    return "CC BY" if "Creative Commons Attribution" in plain_text(block) else None


def load_article_folder(folder: Path) -> ServedArticle:
    """Read an article folder (`fulltext.xml` and, when there is one, `fulltext.pdf`) so that it can be served.

    Raises:
        UsageError: when the folder holds no fulltext.xml or the XML names no PMCID.
    """
    xml_path, pdf_path = folder / "fulltext.xml", folder / "fulltext.pdf"
    if not xml_path.is_file():
        raise UsageError(f"{folder} holds no fulltext.xml, so it can't be served.")
    xml = xml_path.read_bytes()
    source = xml.decode("utf-8", "replace")
    ids = dict(re.findall(r'<article-id pub-id-type="([a-z-]+)">\s*([^<\s]+)', source))
    digits = (ids.get("pmcid") or ids.get("pmc") or "").removeprefix("PMC")
    if not digits.isdigit():
        raise UsageError(f"{xml_path} names no PMCID, so it can't be served.")
    title = plain_text(_first(source, "article-title"))
    journal = plain_text(_first(source, "journal-title"))
    dates = re.findall(r"<pub-date\b.*?</pub-date>", source, re.S)
    # the electronic date has a day; the one of the printed issue often has none
    year, month, day = max(
        [tuple(int(_first(when, unit) or 0) for unit in ("year", "month", "day")) for when in dates],
        key=lambda parts: (parts[2] > 0, parts),
        default=(1900, 1, 1),
    )
    return ServedArticle(
        pmcid=f"PMC{digits}",
        xml=Blob(xml),
        pdf=Blob(pdf_path.read_bytes()) if pdf_path.is_file() else None,
        pmid=int(ids["pmid"]) if ids.get("pmid", "").isdigit() else None,
        doi=ids.get("doi"),
        title=title,
        journal=journal,
        citation=f"{journal}. {year}. doi: {ids.get('doi', '')}",
        licence_code=_licence_of(source),
        released=date(max(year, 1900), month or 1, day or 1),
    )


def served_from_shared(shared_dir: Path) -> list[ServedArticle]:
    """Load every article folder below `shared_dir`/articles, in the order of their names."""
    return [load_article_folder(path.parent) for path in sorted((shared_dir / "articles").glob("*/fulltext.xml"))]


def repeat(articles: Sequence[ServedArticle], n: int, *, first_number: int = 90_000_001) -> list[ServedArticle]:
    """Serve the same articles, in turn, as `n` articles under PMCIDs of their own; PDF and media bytes are shared."""
    result = []
    for i in range(n):
        original, number = articles[i % len(articles)], first_number + i
        xml = _PMC_ID.sub(rf"\g<1>\g<2>{number}", original.xml.body.decode("utf-8", "replace"))
        result.append(replace(original, pmcid=f"PMC{number}", xml=Blob(xml.encode())))
    return result
