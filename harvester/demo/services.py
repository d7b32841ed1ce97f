"""The answers of the three services, as the real ones give them; no socket here.

E-utilities (ESearch, ESummary for db=pmc), the bucket of the PMC Cloud Service, Europe PMC search. Shapes follow
recorded answers: numbers are strings in ESearch, ids are digits, keys are absent where the real record has none.
"""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import quote
from xml.sax.saxutils import escape

from harvester.demo.query import QueryError, parse_day, translate_entrez, translate_europepmc
from harvester.demo.served import BUCKET_NAME, Blob, ServedArticle

XML_TYPE, JSON_TYPE = "text/xml; charset=UTF-8", "application/json; charset=UTF-8"
_LAST_MODIFIED_S = 1_770_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Limits of the services; smaller ones make paging and slicing testable with few articles.

    Attributes:
        search_ceiling: ESearch returns at most so many ids of one query.
        list_page_keys: Most keys on a page of a bucket listing.
        requires_identity: Refuse E-utilities requests without `tool` and `email`.
        api_key: The only key that is accepted; None accepts every key.
        enforces_rate: Answer 429 above the rate of E-utilities; it is recorded in any case.
        has_multipart_etags: ETags are no md5, as for objects uploaded in parts.
    """

    search_ceiling: int = 9999
    list_page_keys: int = 1000
    requires_identity: bool = False
    api_key: str | None = None
    enforces_rate: bool = True
    has_multipart_etags: bool = False


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, ensure_ascii=False).encode(), {"Content-Type": JSON_TYPE})


def _xml(text: str, status: int = 200) -> Answer:
    return Answer(status, text.encode(), {"Content-Type": XML_TYPE})


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    return int(text) if text.isdigit() else default


class Eutils:
    """ESearch and ESummary of db=pmc over a fixed list of articles."""

    def __init__(self, articles: Sequence[ServedArticle], limits: ServiceLimits) -> None:
        newest: dict[int, ServedArticle] = {}
        for article in articles:
            if article.number not in newest or article.version > newest[article.number].version:
                newest[article.number] = article
        self._articles = sorted(newest.values(), key=lambda a: (a.released, a.number), reverse=True)
        self._limits = limits
        self._history: dict[str, list[str]] = {}

    def answer(self, tool: str, params: Mapping[str, str]) -> Answer:
        """Answer a request for esearch.fcgi or esummary.fcgi."""
        if self._limits.api_key and params.get("api_key", self._limits.api_key) != self._limits.api_key:
            return _json({"error": "API key invalid", "api-key": params["api_key"], "type": "api"}, 400)
        if self._limits.requires_identity and not (params.get("tool") and params.get("email")):
            return _json({"error": "tool and email are required"}, 400)
        if tool == "esearch.fcgi":
            return self._search(params)
        if tool == "esummary.fcgi":
            return self._summary(params)
        return Answer(404, b"<html><head><title>404 Not Found</title></head></html>", {"Content-Type": "text/html"})

    def _search(self, params: Mapping[str, str]) -> Answer:
        as_json = "json" in (params.get("retmode"), params.get("format"))
        if params.get("db") != "pmc":
            return search_error("Invalid db name specified: " + params.get("db", ""), as_json=as_json)
        start = _number(params, "retstart", 0)
        if start > self._limits.search_ceiling - 1:
            most = self._limits.search_ceiling
            message = (
                f"Search Backend failed: Exception:\n'retstart' cannot be larger than {most - 1}. "
                f"For PMC, ESearch can only retrieve the first {most:,} records matching the query."
            )
            return search_error(message, as_json=as_json)
        try:
            found = translate_entrez(params.get("term", ""), self._articles)
        except QueryError as error:
            return search_error(str(error), as_json=as_json)
        first, last = parse_day(params.get("mindate", "")), parse_day(params.get("maxdate", ""), last=True)
        hits = [
            str(article.number)
            for article in self._articles
            if found.matches(article) and (first is None or last is None or first <= article.released <= last)
        ]
        size = min(_number(params, "retmax", 20), self._limits.search_ceiling)
        page = hits[: self._limits.search_ceiling][start : start + size]
        if params.get("rettype") == "count":
            page = []
        token = ""
        if params.get("usehistory") == "y":
            token = f"MCID_{hashlib.sha256(found.text.encode()).hexdigest()[:24]}"
            self._history[token] = hits
        missed = found.phrases_not_found or found.fields_not_found
        if as_json:
            result: dict[str, object] = {"count": str(len(hits)), "retmax": str(len(page)), "retstart": str(start)}
            if token:
                result |= {"querykey": "1", "webenv": token}
            result |= {"idlist": page, "translationset": [{"from": a, "to": b} for a, b in found.expansions]}
            result["querytranslation"] = found.text
            if missed:
                result["errorlist"] = {
                    "phrasesnotfound": found.phrases_not_found,
                    "fieldsnotfound": found.fields_not_found,
                }
            if missed and not hits:
                result["warninglist"] = {
                    "phrasesignored": [],
                    "quotedphrasesnotfound": [],
                    "outputmessages": ["No items found."],
                }
            return _json({"header": {"type": "esearch", "version": "0.3"}, "esearchresult": result})
        ids = "".join(f"\n<Id>{number}</Id>" for number in page)
        expansions = "".join(
            f"<Translation><From>{escape(a)}</From><To>{escape(b)}</To></Translation>" for a, b in found.expansions
        )
        errors = "".join(f"<PhraseNotFound>{escape(p)}</PhraseNotFound>" for p in found.phrases_not_found)
        errors += "".join(f"<FieldNotFound>{escape(f)}</FieldNotFound>" for f in found.fields_not_found)
        return _xml(
            '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE eSearchResult PUBLIC '
            '"-//NLM//DTD esearch 20060628//EN" "https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n'
            f"<eSearchResult><Count>{len(hits)}</Count><RetMax>{len(page)}</RetMax><RetStart>{start}</RetStart>"
            + (f"<QueryKey>1</QueryKey><WebEnv>{token}</WebEnv>" if token else "")
            + (f"<IdList>{ids}\n</IdList>" if ids else "<IdList/>")
            + (f"<TranslationSet>{expansions}</TranslationSet>" if expansions else "<TranslationSet/>")
            + f"<QueryTranslation>{escape(found.text)}</QueryTranslation>"
            + (f"<ErrorList>{errors}</ErrorList>" if errors else "")
            + ("" if hits else "<WarningList><OutputMessage>No items found.</OutputMessage></WarningList>")
            + "</eSearchResult>\n"
        )

    def _summary(self, params: Mapping[str, str]) -> Answer:
        if params.get("WebEnv"):
            if params["WebEnv"] not in self._history:
                return search_error("WebEnv not found", as_json=False)
            start = _number(params, "retstart", 0)
            ids = self._history[params["WebEnv"]][start : start + min(_number(params, "retmax", 20), 500)]
        else:
            ids = [number.strip() for number in params.get("id", "").split(",") if number.strip()]
        by_number = {str(article.number): article for article in self._articles}
        result: dict[str, object] = {"uids": ids}
        for uid in ids:
            article = by_number.get(uid)
            if article is None:
                result[uid] = {"uid": uid, "error": "cannot get document summary"}
                continue
            names = {"pmid": article.pmid, "pmcid": article.pmcid, "doi": article.doi}
            result[uid] = {
                "uid": uid,
                "pubdate": f"{article.released:%Y %b %d}",
                "epubdate": f"{article.released:%Y %b %d}",
                "printpubdate": "",
                "source": article.journal,
                "authors": [],
                "title": f"{article.title}.",
                "volume": "",
                "issue": "",
                "pages": "",
                "articleids": [{"idtype": kind, "value": str(value)} for kind, value in names.items() if value],
                "fulljournalname": article.journal,
                "sortdate": f"{article.released:%Y/%m/%d} 00:00",
                "pmclivedate": f"{article.released:%Y/%m/%d}",
            }
        return _json({"header": {"type": "esummary", "version": "0.3"}, "result": result})


def search_error(message: str, *, as_json: bool) -> Answer:
    """An ESearch failure: 200 with ERROR. A line break in the message stays raw, which strict JSON readers refuse."""
    if as_json:
        text = message.replace("\\", "\\\\").replace('"', '\\"')
        body = f'{{"header":{{"type":"esearch","version":"0.3"}},"esearchresult":{{"ERROR":"{text}"}}}}'
        return Answer(200, body.encode(), {"Content-Type": JSON_TYPE})
    body = f"<eSearchResult><ERROR>{escape(message)}</ERROR></eSearchResult>"
    return _xml(f'<?xml version="1.0" encoding="UTF-8" ?>\n{body}\n')


class Bucket:
    """Objects and listings of the bucket."""

    def __init__(self, articles: Sequence[ServedArticle], limits: ServiceLimits) -> None:
        self._objects: dict[str, Blob] = {key: blob for article in articles for key, blob in article.objects()}
        self._keys = sorted(self._objects)
        self._limits = limits

    def answer(self, key: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Answer GET of a key, or of the root with list-type=2; `headers` have lower-case names."""
        if not key:
            if params.get("list-type") != "2":
                return s3_error(403, "AccessDenied", "Access Denied")
            return self._list(params)
        blob = self._objects.get(key)
        if blob is None:
            return s3_error(404, "NoSuchKey", "The specified key does not exist.", f"<Key>{escape(key)}</Key>")
        etag = self._etag(blob)
        base = {
            "ETag": etag,
            "Last-Modified": formatdate(_LAST_MODIFIED_S, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": "binary/octet-stream",
            "Server": "AmazonS3",
        }
        if key.endswith(".xml"):
            base["Content-Type"] = "application/xml"
        if headers.get("if-match", etag) not in (etag, "*"):
            return s3_error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if headers.get("if-none-match") in (etag, "*"):
            return Answer(304, b"", base)
        wanted = headers.get("range", "")
        if not wanted.startswith("bytes=") or "," in wanted:
            return Answer(200, blob.body, base)
        if headers.get("if-range", etag) not in (etag, base["Last-Modified"]):
            return Answer(200, blob.body, base)
        size = len(blob.body)
        first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
        if not (first_text + last_text).isdigit():
            return Answer(200, blob.body, base)
        first = int(first_text) if first_text else max(0, size - int(last_text))
        last = min(int(last_text), size - 1) if first_text and last_text else size - 1
        if first >= size or last < first:
            refusal = s3_error(416, "InvalidRange", "The requested range is not satisfiable")
            return Answer(416, refusal.body, {**refusal.headers, "Content-Range": f"bytes */{size}"})
        base["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Answer(206, blob.body[first : last + 1], base)

    def _etag(self, blob: Blob) -> str:
        return f'"{blob.md5[::-1]}-2"' if self._limits.has_multipart_etags else f'"{blob.md5}"'

    def _list(self, params: Mapping[str, str]) -> Answer:
        prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
        most = min(_number(params, "max-keys", 1000), self._limits.list_page_keys)
        after = params.get("start-after", "")
        if params.get("continuation-token"):
            try:
                after = base64.urlsafe_b64decode(params["continuation-token"]).decode()
            except ValueError:
                return s3_error(400, "InvalidArgument", "The continuation token provided is incorrect")
        encode = quote if params.get("encoding-type") == "url" else str
        contents: list[str] = []
        folders: list[str] = []
        last, is_truncated = "", False
        for i in range(bisect_left(self._keys, prefix), len(self._keys)):
            key = self._keys[i]
            if not key.startswith(prefix):
                break
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            folder = key[: cut + len(delimiter)] if cut >= 0 else ""
            if (folder or key) <= after or (folder and folder in folders[-1:]):
                continue
            if len(contents) + len(folders) >= most:
                is_truncated = True
                break
            last = folder or key
            if folder:
                folders.append(folder)
            else:
                blob = self._objects[key]
                contents.append(
                    f"<Contents><Key>{escape(encode(key))}</Key><LastModified>2026-02-02T02:40:00.000Z</LastModified>"
                    f"<ETag>{escape(self._etag(blob), {chr(34): '&quot;'})}</ETag><Size>{len(blob.body)}</Size>"
                    "<StorageClass>INTELLIGENT_TIERING</StorageClass></Contents>"
                )
        token = base64.urlsafe_b64encode(last.encode()).decode()
        return _xml(
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET_NAME}</Name><Prefix>{escape(encode(prefix))}</Prefix>"
            + (f"<NextContinuationToken>{token}</NextContinuationToken>" if is_truncated else "")
            + f"<KeyCount>{len(contents) + len(folders)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            + (f"<Delimiter>{escape(delimiter)}</Delimiter>" if delimiter else "")
            + f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
            + "".join(contents)
            + "".join(f"<CommonPrefixes><Prefix>{escape(encode(f))}</Prefix></CommonPrefixes>" for f in folders)
            + "</ListBucketResult>"
        )


def s3_error(status: int, code: str, message: str, more: str = "") -> Answer:
    """An error as the bucket words it, in XML."""
    return Answer(
        status,
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}'
        "<RequestId>0000000000000000</RequestId><HostId>stand-in</HostId></Error>".encode(),
        {"Content-Type": "application/xml", "Server": "AmazonS3"},
    )


class EuropePmc:
    """Search of Europe PMC with cursor paging; result types idlist, lite and core."""

    def __init__(self, articles: Sequence[ServedArticle]) -> None:
        unique = {article.number: article for article in sorted(articles, key=lambda a: a.version)}
        self._articles = sorted(unique.values(), key=lambda a: (a.released, a.number), reverse=True)

    def answer(self, path: str, params: Mapping[str, str]) -> Answer:
        """Answer search, searchPOST or {PMCID}/fullTextXML."""
        if path.endswith("/fullTextXML"):
            for article in self._articles:
                if path == f"{article.pmcid}/fullTextXML" and article.is_open_access:
                    return Answer(200, article.xml.body, {"Content-Type": "application/xml"})
            where = f"/europepmc/webservices/rest/{path}"
            return _json({"status": 500, "error": "Internal Server Error", "path": where}, 500)
        if path not in ("search", "searchPOST"):
            return _json({"status": 404, "error": "Not Found"}, 404)
        size_text = params.get("pageSize", "25")
        if not size_text.isdigit() or not 1 <= int(size_text) <= 1000:
            return _json({"errCode": 404, "errMsg": "Invalid page size provided. Valid size is between 1 and 1000"})
        size, mark = int(size_text), params.get("cursorMark", "*")
        if params.get("sort"):
            return _json({"version": "6.9"})
        try:
            start = 0 if mark == "*" else int(base64.b64decode(mark, validate=True))
            matches = translate_europepmc(params.get("query", ""))
        except QueryError as error:
            return _json({"errCode": 404, "errMsg": str(error)})
        except ValueError:
            return _json({"errCode": 404, "errMsg": "Invalid cursorMark provided"})
        hits = [article for article in self._articles if matches(article)]
        page = hits[start : start + size]
        kind = params.get("resultType", "lite")
        reply: dict[str, object] = {"version": "6.9", "hitCount": len(hits)}
        reply["nextCursorMark"] = base64.b64encode(str(start + len(page)).encode()).decode() if page else mark
        reply["request"] = {
            "queryString": params.get("query", ""),
            "resultType": kind,
            "cursorMark": mark,
            "pageSize": size,
            "sort": "",
            "synonym": False,
        }
        reply["resultList"] = {"result": [_epmc_record(article, kind) for article in page]}
        return _json(reply)


def _epmc_record(article: ServedArticle, kind: str) -> dict[str, object]:
    yes: dict[bool, str] = {True: "Y", False: "N"}
    record: dict[str, object] = {
        "id": str(article.pmid or article.pmcid),
        "source": "MED" if article.pmid else "PMC",
        "pmid": str(article.pmid) if article.pmid else None,
        "pmcid": article.pmcid,
        "doi": article.doi,
    }
    if kind != "idlist":
        record |= {
            "title": article.title,
            "journalTitle": article.journal,
            "pubYear": str(article.released.year),
            "isOpenAccess": yes[article.is_open_access],
            "inEPMC": "Y",
            "inPMC": "Y",
            "hasPDF": yes[article.pdf is not None],
            "hasSuppl": yes[bool(article.media)],
            "firstPublicationDate": article.released.isoformat(),
        }
    if kind == "core":
        record |= {"license": (article.licence_code or "").lower() or None, "firstIndexDate": f"{article.released}"}
        record["fullTextUrlList"] = {
            "fullTextUrl": [
                {
                    "availability": "Open access",
                    "availabilityCode": "OA",
                    "documentStyle": "html",
                    "site": "Europe_PMC",
                    "url": f"https://europepmc.org/articles/{article.pmcid}",
                }
            ]
        }
    return {name: value for name, value in record.items() if value is not None}
