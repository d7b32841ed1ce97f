"""Takes your own files into a harvest: PDFs, folders of article folders, images. Opens no socket."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harvester.catalog import Catalog
from harvester.documents.jats import parse_jats
from harvester.documents.office import SUFFIXES as OFFICE_SUFFIXES
from harvester.documents.office import office_pictures
from harvester.errors import MalformedArticle, UsageError
from harvester.fetch.store import Store
from harvester.pipeline.labels import Label
from harvester.progress import Progress, say
from harvester.records import Article, ArticleText, Asset, AssetRole, Skip

OWN_IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".btf", ".bmp", ".webp", ".gif", ".jp2", ".heic", ".heif"}
)
"""Pictures people have; what publishers send (`harvester.names`) is fewer kinds."""
XML_SUFFIXES = (".xml", ".nxml")


@dataclass(frozen=True, slots=True)
class LocalArticle:
    """Files on disk that make one article.

    Attributes:
        path: What the user knows it by: the PDF, the image or the article folder.
        root: The PATH of the command line it was found under; groups are read from the path relative to it.
    """

    path: Path
    root: Path
    pdf: Path | None = None
    xml: Path | None = None
    image: Path | None = None
    media: tuple[Path, ...] = ()
    shown_in: str = ""
    """Name of the document the image was taken out of; its pictures stay on one side of a split."""
    words: str = ""
    """The text beside it there."""

    @property
    def relative_name(self) -> str:
        """Return the path below the folder that was named on the command line, with forward slashes."""
        if self.shown_in:
            return f"{self.shown_in}/{self.path.name}"
        return self.path.name if self.path == self.root else self.path.relative_to(self.root).as_posix()

    def files(self) -> Iterator[tuple[AssetRole, Path]]:
        """Yield every file with its role: what makes the article first, then its media by name."""
        if self.pdf:
            yield "pdf", self.pdf
        if self.xml:
            yield "xml", self.xml
        if self.image:
            yield "media", self.image
        for path in self.media:
            yield "media", path


@dataclass(slots=True)
class AddOutcome:
    """What `add` took in and what it did not."""

    n_added: int = 0
    n_known: int = 0
    skips: list[Skip] = field(default_factory=list)
    label_skips: list[Skip] = field(default_factory=list)
    """Labels that fit no picture, or several."""


def find_articles(paths: Sequence[Path], unpack_into: Path | None = None) -> tuple[list[LocalArticle], int]:
    """Return the articles under the given paths in a stable order, and how many files were of no known kind.

    Args:
        paths: Files and folders.
        unpack_into: An empty folder for the pictures inside Word and PowerPoint files; without it these are files of
            no known kind. One that can't be read is said and counted among those.

    Raises:
        UsageError: when a path does not exist or nothing usable lies there.
    """
    found: list[LocalArticle] = []
    n_ignored = 0
    for path in paths:
        if not path.exists():
            raise UsageError(f"{str(path)!r} does not exist.")
        if path.is_dir():
            articles, ignored = _in_folder(path, path, unpack_into)
        else:
            articles = _of_file(path, path, unpack_into)
            ignored = not articles
        found.extend(articles)
        n_ignored += ignored
    if not found:
        names = ", ".join(repr(str(path)) for path in paths)
        raise UsageError(f"No PDF and no image was found in {names}; give PDFs, images, or folders that hold them.")
    return found, n_ignored


def _of_file(path: Path, root: Path, unpack_into: Path | None) -> list[LocalArticle]:
    if unpack_into is not None and path.suffix.lower() in OFFICE_SUFFIXES:
        return _unpack(path, root, unpack_into)
    single = _single(path, root)
    return [single] if single else []


def _unpack(path: Path, root: Path, into: Path) -> list[LocalArticle]:
    """Write a document's pictures out, numbered, and return them."""
    shown_in = path.name if path == root else path.relative_to(root).as_posix()
    folder = into / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    found = []
    try:
        for picture in office_pictures(path):
            file = folder / f"picture{picture.number}{picture.suffix}"
            file.write_bytes(picture.data)
            found.append(LocalArticle(file, root, image=file, shown_in=shown_in, words=picture.words))
    except (MalformedArticle, OSError) as error:
        say(f"{shown_in!r} can't be read to its end: {error}")
    return found


def _single(path: Path, root: Path) -> LocalArticle | None:
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        xml = next((p for end in XML_SUFFIXES if (p := path.with_suffix(end)).is_file()), None)
        return LocalArticle(path, root, pdf=path, xml=xml)
    if suffix in OWN_IMAGE_SUFFIXES:
        return LocalArticle(path, root, image=path)
    return None


def _in_folder(folder: Path, root: Path, unpack_into: Path | None) -> tuple[list[LocalArticle], int]:
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    files = [p for p in entries if p.is_file()]
    article = _as_article_folder(folder, root, files)
    if article is not None:
        return [article], 0
    found: list[LocalArticle] = []
    n_ignored = 0
    pdf_stems = {p.stem for p in files if p.suffix.lower() == ".pdf"}
    for path in files:
        articles = _of_file(path, root, unpack_into)
        found.extend(articles)
        if not articles and not (path.suffix.lower() in XML_SUFFIXES and path.stem in pdf_stems):
            n_ignored += 1
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            articles, ignored = _in_folder(path, root, unpack_into)
            found.extend(articles)
            n_ignored += ignored
    return found, n_ignored


def _as_article_folder(folder: Path, root: Path, files: list[Path]) -> LocalArticle | None:
    """Return the article when the folder is laid out as one: fulltext.pdf, or a PDF named like the folder."""
    names = {p.name.lower(): p for p in files}
    for stem in ("fulltext", folder.name.lower()):
        pdf = names.get(f"{stem}.pdf")
        xml = next((names[f"{stem}{end}"] for end in XML_SUFFIXES if f"{stem}{end}" in names), None)
        if pdf is not None:
            media = tuple(p for p in files if p.suffix.lower() in OWN_IMAGE_SUFFIXES)
            return LocalArticle(folder, root, pdf=pdf, xml=xml, media=media)
    return None


def compile_group(expression: str | None) -> re.Pattern[str] | None:
    """Return the compiled --group-by expression.

    Raises:
        UsageError: when it is malformed.
    """
    try:
        return re.compile(expression) if expression else None
    except re.error as error:
        raise UsageError(f"--group-by {expression!r} is no regular expression: {error}.") from error


def add(
    articles: Sequence[LocalArticle],
    catalog: Catalog,
    store: Store,
    *,
    licence_code: str | None = None,
    pattern: re.Pattern[str] | None = None,
    labels: Mapping[str, Label] | None = None,
) -> AddOutcome:
    """Copy files into the harvest and note them in the catalog; what is already there is left as it is.

    Args:
        articles: As `find_articles` found them.
        licence_code: A licence code or "own"; None takes what an article's XML states.
        pattern: Searched in the relative path; its first group (or the whole match) names the group that stays
            together on one side of a split.
        labels: What is known of pictures, by path below the folder or by a file name that occurs once; a case named
            there goes before the pattern. A label that fits no picture, or several, is a Skip.

    Raises:
        FetchError: when the disk refuses.
    """
    outcome = AddOutcome()
    labelled, unused = _match_labels(articles, labels or {})
    for skip in unused:
        say(skip.detail)
    outcome.label_skips.extend(unused)
    with Progress("files", total=len(articles)) as progress:
        for local in articles:
            _add_one(local, catalog, store, licence_code, pattern, labelled.get(local.path), outcome)
            progress.advance()
    return outcome


def _match_labels(
    articles: Sequence[LocalArticle], labels: Mapping[str, Label]
) -> tuple[dict[Path, Label], list[Skip]]:
    pictures = [item for item in articles if item.image]
    names = Counter(item.path.name for item in pictures)
    found: dict[Path, Label] = {}
    used: set[str] = set()
    for item in pictures:
        keys = [item.relative_name, *([item.path.name] if names[item.path.name] == 1 else [])]
        key = next((key for key in keys if key in labels), None)
        if key is not None:
            found[item.path] = labels[key]
            used.add(key)
    skips = []
    for key in labels:
        if key not in used:
            why = "several pictures; name it with its folder" if names[key] > 1 else "no picture that was added"
            skips.append(Skip(key, "labels", "add", "unused_label", f"The label of {key!r} fits {why}."))
    return found, skips


def _add_one(
    local: LocalArticle,
    catalog: Catalog,
    store: Store,
    licence_code: str | None,
    pattern: re.Pattern[str] | None,
    label: Label | None,
    outcome: AddOutcome,
) -> None:
    try:
        article_id = _article_id(local)
        reason = _why_not(local)
    except OSError as error:
        article_id, reason = "local-unreadable", ("unreadable", f"{local.relative_name!r} can't be read: {error}.")
    if reason is not None:
        skip = Skip(local.relative_name, article_id, "add", *reason)
        outcome.skips.append(skip)
        catalog.save_skips([skip])
        say(skip.detail)
        return
    known = catalog.has_article(article_id)
    outcome.n_known += known
    outcome.n_added += not known
    text, skips = _text_of(local, article_id)
    article = _article(local, article_id, text, licence_code, pattern)
    assets = [_copy(store, article_id, role, path, local) for role, path in local.files()]
    if local.shown_in:
        article = replace(article, group=article.group or local.shown_in)
        label = label or Label(local.relative_name)
        label = label if label.caption else replace(label, diagnosis=local.words or None)
    if label is not None:
        article = replace(article, group=label.case or article.group)
        assets.append(store.add_file(article_id, f"{article_id}.json", "json", label.to_json()))
    elif known:
        # adding a picture again without its label takes nothing away
        assets.extend(asset for asset in catalog.article_assets(article_id) if asset.role == "json")
    catalog.save_article(article, assets, skips)


def _article_id(local: LocalArticle) -> str:
    """Name the article by its content: the SHA-256 of the hashes of its files, 8 digits of it."""
    digest = hashlib.sha256()
    for role, path in local.files():
        with path.open("rb") as file:
            digest.update(role.encode() + hashlib.file_digest(file, "sha256").digest())
    return f"local-{digest.hexdigest()[:8]}"


def _why_not(local: LocalArticle) -> tuple[str, str] | None:
    path = local.pdf or local.image
    assert path is not None
    name = local.relative_name
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "empty", f"{name!r} is empty."
    if local.pdf and b"%PDF-" not in head:
        kind = "an HTML page" if b"<html" in head.lower() or b"<!doctype html" in head.lower() else "no PDF"
        return "not_a_pdf", f"{name!r} is named like a PDF but is {kind}; get the file again."
    return None


def _text_of(local: LocalArticle, article_id: str) -> tuple[ArticleText | None, list[Skip]]:
    if local.xml is None:
        return None, []
    try:
        return parse_jats(local.xml.read_bytes()), []
    except MalformedArticle as error:
        # annotate says so again; the PDF alone still gives figures
        return None, [Skip(f"{article_id}/{local.xml.name}", article_id, "add", error.reason, str(error))]


def _article(
    local: LocalArticle,
    article_id: str,
    text: ArticleText | None,
    licence_code: str | None,
    pattern: re.Pattern[str] | None,
) -> Article:
    match = pattern.search(local.relative_name) if pattern else None
    group = (match[1] if match.groups() else match[0]) if match else None
    article = Article(article_id, "local", title=local.relative_name, licence_code=licence_code, group=group)
    if text is None:
        return article
    return replace(
        article,
        pmcid=text.pmcid,
        pmid=text.pmid,
        doi=text.doi,
        title=text.title or article.title,
        journal=text.journal,
        year=text.year,
        licence_code=licence_code or text.licence_code,
        licence_url=text.licence_url,
        copyright_line=text.copyright_line,
        citation=text.citation,
        keywords=text.keywords,
        mesh_terms=text.mesh_terms,
    )


def _copy(store: Store, article_id: str, role: AssetRole, path: Path, local: LocalArticle) -> Asset:
    # names from outside stay outside, but for media, which the XML refers to by name
    name = path.name if path in local.media else f"{article_id}{path.suffix.lower()}"
    return store.add_file(article_id, name, role, path)
