"""The bucket of the PMC Cloud Service: which versions an article has, what their metadata promise, which one is taken.

Source: README of the PMC Article Datasets (bucket pmc-oa-opendata), sections 4 and 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from lxml import etree

from harvester.errors import MalformedArticle
from harvester.licences import Policy, normalise_licence
from harvester.names import is_image_name, is_plain_file_name
from harvester.records import Article, AssetRef, AssetRole
from harvester.sources import Services

BUCKET = "s3://pmc-oa-opendata/"
MAX_MEDIA = 2000
_ADDRESS = re.compile(r"(?P<key>.+?)(?:\?md5=(?P<md5>[0-9a-f]{32}))?", re.DOTALL)
_CITATION = re.compile(r"(?P<journal>.{1,200}?)\. (?P<year>(?:18|19|20)[0-9]{2})\b")


@dataclass(frozen=True, slots=True)
class ArticleMetadata:
    """What the bucket's JSON says of one version, as far as it could be verified.

    Attributes:
        licence_code: Normalised where the code is known, otherwise as written; None when not stated.
        xml, pdf: None when the record announces none.
        images: Media whose names end like pictures; supplements are left out.
        bad_names: Announced media whose names can't be files here, with escapes.
        content: The JSON itself.
    """

    pmcid: str
    version: int
    pmid: int | None
    doi: str | None
    title: str | None
    citation: str | None
    is_open_access: bool
    is_manuscript: bool
    is_historical_ocr: bool
    is_retracted: bool
    licence_code: str | None
    xml: AssetRef | None
    pdf: AssetRef | None
    images: tuple[AssetRef, ...] = ()
    bad_names: tuple[str, ...] = ()
    content: bytes = field(repr=False, default=b"")

    @property
    def article_id(self) -> str:
        return f"{self.pmcid}.{self.version}"

    def json_ref(self, bucket_url: str) -> AssetRef:
        """Return the reference of the metadata themselves."""
        name = f"{self.article_id}.json"
        return AssetRef(name, "json", f"{bucket_url}/{self.article_id}/{name}")

    def as_article(self, source: str, query: str | None) -> Article:
        """Return the article's record; the text's own words complete it later."""
        match = _CITATION.match(self.citation or "")
        return Article(
            article_id=self.article_id,
            source="europepmc" if source == "europepmc" else "pmc",
            pmcid=self.pmcid,
            version=self.version,
            pmid=self.pmid,
            doi=self.doi,
            title=self.title,
            journal=match["journal"] if match else None,
            year=int(match["year"]) if match else None,
            licence_code=self.licence_code,
            citation=self.citation,
            is_retracted=self.is_retracted,
            query=query,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no version of an article is taken: a reason code, a sentence, and the version that was looked at last."""

    reason: str
    detail: str
    metadata: ArticleMetadata | None = None


def list_versions(services: Services, pmcid: str) -> list[int]:
    """Ask the bucket which versions of an article it holds; empty when none, which is an ordinary answer."""
    versions: list[int] = []
    params = {"list-type": "2", "prefix": f"{pmcid}.", "delimiter": "/"}
    token: str | None = ""
    while token is not None:
        page, token = services.ask_bucket("", params, lambda content: parse_versions(content, pmcid))
        versions += page
        params = {**params, "continuation-token": token or ""}
    return sorted(set(versions))


def parse_versions(content: bytes, pmcid: str) -> tuple[list[int], str | None]:
    """Read a listing with `prefix=PMC123.` and `delimiter=/`.

    Returns:
        The versions on this page, and the token of the next page or None.

    Raises:
        ValueError: when it is no listing.
    """
    root = _parse_listing(content)
    versions = []
    for prefix in root.iterfind("{*}CommonPrefixes/{*}Prefix"):
        match = re.fullmatch(rf"{re.escape(pmcid)}\.([1-9][0-9]{{0,3}})/", prefix.text or "")
        if match:
            versions.append(int(match[1]))
    return versions, _next_token(root)


def list_sizes(services: Services, article_id: str) -> dict[str, int]:
    """Ask the bucket for the sizes in bytes of an article's files, by name; the first thousand are enough."""

    def parse(content: bytes) -> dict[str, int]:
        sizes = {}
        for item in _parse_listing(content).iterfind("{*}Contents"):
            key, size = item.findtext("{*}Key") or "", item.findtext("{*}Size") or ""
            if key.startswith(f"{article_id}/") and re.fullmatch(r"[0-9]{1,15}", size):
                sizes[key.removeprefix(f"{article_id}/")] = int(size)
        return sizes

    return services.ask_bucket("", {"list-type": "2", "prefix": f"{article_id}/"}, parse)


def _parse_listing(content: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as problem:
        raise ValueError("no XML") from problem
    if b"<!DOCTYPE" in content or etree.QName(root).localname != "ListBucketResult":
        raise ValueError("no listing")
    return root


def _next_token(root: etree._Element) -> str | None:
    token = root.findtext("{*}NextContinuationToken")
    return token if token and root.findtext("{*}IsTruncated") == "true" else None


def fetch_metadata(services: Services, pmcid: str, version: int, bucket_url: str) -> ArticleMetadata:
    """Ask for the JSON of one version.

    Raises:
        MalformedArticle: it is the record of something else, or announces files elsewhere.
        FetchError: missing, or not to be had.
    """
    key = f"{pmcid}.{version}/{pmcid}.{version}.json"
    return services.ask_bucket(key, {}, lambda content: parse_metadata(content, pmcid, version, bucket_url))


def parse_metadata(content: bytes, pmcid: str, version: int, bucket_url: str) -> ArticleMetadata:
    """Read and verify the JSON of one version.

    Raises:
        ValueError: when it is no JSON object; another try may mend that.
        MalformedArticle: it is the record of something else, or announces files outside of the article's folder.
    """
    try:
        record = json.loads(content.decode("utf-8"), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    article_id = f"{pmcid}.{version}"
    if record.get("pmcid") != pmcid or record.get("version", version) not in (version, str(version)):
        raise MalformedArticle(f"The metadata of {article_id} are those of another article.", "bad_metadata")
    folder = f"{BUCKET}{article_id}/"
    xml, pdf = (
        _file_ref(record.get(f"{role}_url"), folder, f"{article_id}.{role}", bucket_url) for role in ("xml", "pdf")
    )
    images, bad_names = _images(
        record.get("media_urls"), folder, bucket_url, {f"{article_id}.xml", f"{article_id}.pdf"}
    )
    licence = _line(record.get("license_code"))
    return ArticleMetadata(
        pmcid=pmcid,
        version=version,
        pmid=_whole_number(record.get("pmid")),
        doi=_line(record.get("doi")),
        title=_line(record.get("title")),
        citation=_line(record.get("citation")),
        is_open_access=record.get("is_pmc_openaccess") is True,
        is_manuscript=record.get("is_manuscript") is True,
        is_historical_ocr=record.get("is_historical_ocr") is True,
        is_retracted=record.get("is_retracted") is True,
        licence_code=(normalise_licence(licence) or licence[:60]) if licence else None,
        xml=xml,
        pdf=pdf,
        images=images,
        bad_names=bad_names,
        content=content,
    )


def _split_address(address: object, folder: str) -> tuple[str, str | None]:
    """Return name in the folder and md5 of `s3://bucket/PMC1.1/name?md5=...`.

    Raises:
        ValueError: when it lies anywhere else.
    """
    if not isinstance(address, str) or not address.startswith(folder):
        raise ValueError("outside of the article's folder")
    match = _ADDRESS.fullmatch(address.removeprefix(folder))
    if match is None:
        raise ValueError("no name")
    return match["key"], match["md5"]


def _file_ref(address: object, folder: str, name: str, bucket_url: str) -> AssetRef | None:
    if address is None:
        return None
    article_id = folder.removeprefix(BUCKET).rstrip("/")
    try:
        key, md5 = _split_address(address, folder)
        if not is_plain_file_name(key):
            raise ValueError("no plain name")
    except ValueError:
        problem = f"The metadata of {article_id} name a file outside of the article's folder."
    else:
        role: AssetRole = "pdf" if name.endswith(".pdf") else "xml"
        return AssetRef(name, role, f"{bucket_url}/{article_id}/{quote(key)}", md5)
    raise MalformedArticle(problem, "bad_metadata")


def _images(
    addresses: object, folder: str, bucket_url: str, taken: set[str]
) -> tuple[tuple[AssetRef, ...], tuple[str, ...]]:
    images: list[AssetRef] = []
    bad_names: list[str] = []
    article_id = folder.removeprefix(BUCKET).rstrip("/")
    # names that differ in case alone are one file on many disks
    used = {name.lower() for name in taken}
    for address in addresses[:MAX_MEDIA] if isinstance(addresses, list) else []:
        try:
            name, md5 = _split_address(address, folder)
        except ValueError:
            bad_names.append(ascii(address)[:200])
            continue
        if not is_image_name(name):
            continue
        if not is_plain_file_name(name) or name.lower() in used:
            bad_names.append(ascii(name)[:200])
            continue
        used.add(name.lower())
        images.append(AssetRef(name, "media", f"{bucket_url}/{article_id}/{quote(name)}", md5))
    return tuple(images), tuple(bad_names)


def _line(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    # lone surrogates, which JSON can spell, can't be stored
    text = " ".join(value.encode("utf-8", "replace").decode().replace("\x00", " ").split())
    return text or None


def _whole_number(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12 else None


def refusal_of(metadata: ArticleMetadata, policy: Policy) -> Refusal | None:
    """Return why a version may not be taken, None when it may."""
    code = metadata.licence_code
    # manuscripts for text mining are in the bucket but not in the open access subset
    is_reusable = metadata.is_open_access or (code == "TDM" and policy.allows_download("TDM"))
    if metadata.is_retracted:
        return Refusal("retracted", "The article has been retracted.", metadata)
    if metadata.is_historical_ocr:
        return Refusal("ocr", "A scanned back issue: its text is raw OCR.", metadata)
    if not policy.allows_download(code):
        licence = code or "none"
        return Refusal(f"licence:{licence}", f"The licence ({licence}) is not among those to be taken.", metadata)
    if not is_reusable:
        return Refusal("not_open_access", "The article is not in the open access subset of PMC.", metadata)
    return None


def choose_version(
    candidates: Sequence[ArticleMetadata], policy: Policy, *, have: int | None = None
) -> ArticleMetadata | Refusal:
    """Choose the version to harvest.

    A higher number is not a better version: an author manuscript may follow the published article. So: published before
    manuscript, with a PDF, with pictures, then the highest number.

    Args:
        candidates: Metadata of every version.
        have: The version an earlier run took; it stays while it may be taken, as everything below it has its id. None
            lets a better one take its place.
    """
    refusals = {metadata.version: refusal_of(metadata, policy) for metadata in candidates}
    usable = [metadata for metadata in candidates if refusals[metadata.version] is None]
    if not usable:
        newest = max(refusals, default=None)
        refusal = refusals[newest] if newest is not None else None
        return refusal or Refusal("no_version", "The bucket holds no version of the article.")
    best = max(
        usable, key=lambda m: (m.version == have, not m.is_manuscript, m.pdf is not None, bool(m.images), m.version)
    )
    if best.pdf is None:
        return Refusal("no_pdf", "The bucket holds no PDF of the article.", best)
    if best.xml is None:
        return Refusal("no_xml", "The bucket holds no XML of the article.", best)
    return best
