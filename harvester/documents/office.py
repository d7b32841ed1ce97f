"""Pictures inside Word and PowerPoint files, as they were put in, with the words beside them.

The containers are ZIP archives of XML parts and media (ECMA-376, Office Open XML). A picture is named by a relationship
of the part that shows it; nothing of the archive is ever written under a name of its own choosing.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from harvester.errors import MalformedArticle

SUFFIXES = frozenset({".docx", ".pptx"})
MAX_PARTS = 20_000
MAX_XML_BYTES = 50_000_000
MAX_PICTURE_BYTES = 300_000_000
MAX_TOTAL_BYTES = 4_000_000_000
MAX_WORDS = 500
"""Characters of text kept with a picture."""

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TYPES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})


@dataclass(frozen=True, slots=True)
class OfficePicture:
    """One picture of a document.

    Attributes:
        number: From 1, in the order they are shown; a picture shown twice counts once.
        suffix: Its kind by name, lower case, with the dot.
        data: The file as it was put in.
        words: The text beside it, at most 500 characters: of a slide all of it, of a page the picture's own paragraph
            or the next one that says something. Empty where there is none.
    """

    number: int
    suffix: str
    data: bytes
    words: str


def office_pictures(path: Path) -> Iterator[OfficePicture]:
    """Yield the pictures of a .docx or .pptx file; drawings, charts and other embedded kinds are left.

    Raises:
        MalformedArticle: when the file is no such document, is encrypted, or is larger inside than anything real.
        OSError: when it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_PARTS:
                raise MalformedArticle(f"{path.name!r} has more parts than a document has.", "office_too_large")
            yield from _pictures(archive)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, etree.XMLSyntaxError) as error:
        raise MalformedArticle(
            f"{path.name!r} is no Word or PowerPoint file that can be read: {error}.", "office_unreadable"
        ) from error


def _pictures(archive: zipfile.ZipFile) -> Iterator[OfficePicture]:
    names = set(archive.namelist())
    slides = sorted((n for n in names if n.startswith("ppt/slides/slide") and n.endswith(".xml")), key=_slide_number)
    parts = ["word/document.xml"] if "word/document.xml" in names else slides
    if not parts:
        raise KeyError("it has neither a page nor a slide")
    seen: set[str] = set()
    total = 0
    for part in parts:
        root = _xml(archive, part)
        targets = _targets(archive, part, names)
        for key, words in _shown(root, is_page=part.startswith("word/")):
            target = targets.get(key)
            suffix = posixpath.splitext(target or "")[1].lower()
            if target is None or target in seen or suffix not in _TYPES:
                continue
            seen.add(target)
            data = _read(archive, target, MAX_PICTURE_BYTES)
            total += len(data)
            if total > MAX_TOTAL_BYTES:
                raise MalformedArticle("a document holds more than 4 GB of pictures.", "office_too_large")
            yield OfficePicture(len(seen), suffix, data, words[:MAX_WORDS])


def _shown(root: etree._Element, *, is_page: bool) -> Iterator[tuple[str, str]]:
    """Yield the relationship of each picture with its words."""
    if not is_page:
        words = _words(root, f"{_A}p", f"{_A}t")
        for blip in root.iter(f"{_A}blip"):
            yield blip.get(f"{_R}embed", ""), " ".join(words)
        return
    paragraphs = list(root.iter(f"{_W}p"))
    texts = ["".join(t.text or "" for t in p.iter(f"{_W}t")).strip() for p in paragraphs]
    for i, paragraph in enumerate(paragraphs):
        beside = texts[i] or next((text for text in texts[i + 1 : i + 4] if text), "")
        for blip in paragraph.iter(f"{_A}blip"):
            yield blip.get(f"{_R}embed", ""), " ".join(beside.split())


def _words(root: etree._Element, paragraph: str, run: str) -> list[str]:
    found = (" ".join("".join(t.text or "" for t in p.iter(run)).split()) for p in root.iter(paragraph))
    return [text for text in found if text]


def _targets(archive: zipfile.ZipFile, part: str, names: set[str]) -> dict[str, str]:
    """The parts that a part's relationships name, where the archive holds them."""
    folder, name = posixpath.split(part)
    path = f"{folder}/_rels/{name}.rels"
    if path not in names:
        return {}
    found = {}
    for relation in _xml(archive, path):
        if isinstance(relation.tag, str) and relation.get("TargetMode") != "External":
            target = relation.get("Target", "")
            whole = target.lstrip("/") if target.startswith("/") else posixpath.normpath(f"{folder}/{target}")
            if whole in names:
                found[relation.get("Id", "")] = whole
    return found


def _xml(archive: zipfile.ZipFile, name: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(_read(archive, name, MAX_XML_BYTES), parser)


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    # what the directory says of a size need not be true
    with archive.open(name) as part:
        data = part.read(most + 1)
    if len(data) > most:
        raise MalformedArticle(f"a part of the document is larger than {most // 1_000_000} MB.", "office_too_large")
    return data


def _slide_number(name: str) -> tuple[int, str]:
    digits = "".join(c for c in posixpath.basename(name) if c.isdigit())
    return int(digits[:9] or "0"), name
