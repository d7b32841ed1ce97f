"""The files of a harvest: written beside their place, checked, moved in one step.

A file has its name only when it is whole. While it is under way it is `<name>.part`, and `<name>.part.etag` says of
which state of the object the part is, so that a later run can go on where this one stopped.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from filelock import FileLock, Timeout

from harvester.errors import DamagedFile, FetchError, MalformedArticle, UsageError
from harvester.names import is_article_id, is_image_name, is_plain_file_name
from harvester.records import Asset, AssetRef, AssetRole

_CHUNK = 1 << 20

_IMAGE_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)

_DISK_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this system or its limits allow",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission was denied",
    errno.EPERM: "permission was denied",
    errno.ENAMETOOLONG: "the name is too long for this disk",
    errno.EIO: "the disk reports an error",
}


class DiskError(FetchError):
    """The disk refused; whatever comes next will be refused as well until somebody makes room."""


@contextmanager
def _disk_errors(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        words = _DISK_WORDS.get(problem.errno or 0, (problem.strerror or type(problem).__name__).lower())
        raise DiskError(f"Could not {doing} {path}: {words}.") from problem


def kind_problem(role: AssetRole, name: str, head: bytes) -> str | None:
    """Judge by its first bytes whether a file is what its role says.

    Args:
        role: What it should be; a medium is judged only when its name ends like an image.
        name: Its file name.
        head: The first 1024 bytes, or all of a shorter file.

    Returns:
        None when it is, otherwise the reason code: not_a_pdf, not_xml, not_json or not_an_image.

    Source:
        ISO 32000-1 implementation notes: a PDF may have up to 1024 bytes before its %PDF- mark.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if role == "pdf":
        return None if b"%PDF-" in head[:1024] else "not_a_pdf"
    if role == "xml":
        is_xml = text.startswith(b"<") or head.startswith((b"\xff\xfe<\x00", b"\xfe\xff\x00<"))
        return None if is_xml and not looks_like_html(head) else "not_xml"
    if role == "json":
        return None if text.startswith((b"{", b"[")) else "not_json"
    if is_image_name(name):
        is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
        return None if is_webp or head.startswith(_IMAGE_MAGIC) else "not_an_image"
    return None


def looks_like_html(head: bytes) -> bool:
    """Return whether a body begins like a web page: what a portal, a proxy or a challenge sends instead of a file."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:256].lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<title"))


class PartFile:
    """A file under way. What is written stays on disk when the run dies; `commit` makes it whole or removes it."""

    def __init__(self, folder: Path, ref: AssetRef) -> None:
        self._ref = ref
        self._final = folder / ref.name
        self._path = folder / f"{ref.name}.part"
        self._etag_path = folder / f"{ref.name}.part.etag"
        self.size = 0
        self.etag: str | None = None
        with _disk_errors("write", self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._take_up()
            self._file: IO[bytes] | None = self._path.open("ab")

    def _take_up(self) -> None:
        """Go on with what an earlier run left, if it belongs to the same announced file."""
        try:
            promise, etag = self._etag_path.read_text("utf-8").split("\n")[:2]
            if promise == (self._ref.md5 or "") and etag:
                self.size = self._path.stat().st_size
                self.etag = etag
                return
        except (OSError, ValueError):
            pass
        self._etag_path.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close and keep the part for later; a part without a state mark can't be gone on with and is removed."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):
            file.close()
        if self.etag is None or self.size == 0:
            self._remove()

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            DiskError: when the disk does not take them; the part keeps what it took.
        """
        assert self._file is not None
        with _disk_errors("write", self._path):
            self._file.write(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Throw the bytes away and begin at zero."""
        assert self._file is not None
        with _disk_errors("write", self._path):
            self._file.seek(0)
            self._file.truncate()
            self._file.flush()
            self._etag_path.unlink(missing_ok=True)
        self.size, self.etag = 0, None

    def mark(self, etag: str | None) -> None:
        """Remember the server's name for the state of the object these bytes are of."""
        if not etag or etag.startswith("W/") or "\n" in etag or etag == self.etag:
            return
        with _disk_errors("write", self._etag_path):
            self._etag_path.write_text(f"{self._ref.md5 or ''}\n{etag}\n", "utf-8")
        self.etag = etag

    def commit(self) -> Asset:
        """Check length, md5 and kind, make it durable and give it its name.

        Returns:
            The whole file as the store has it.

        Raises:
            DamagedFile: bytes other than announced; nothing is kept.
            MalformedArticle: the announced bytes, but not what the name says (a web page called .pdf); nothing is kept.
            DiskError: the disk refused.
        """
        assert self._file is not None
        ref = self._ref
        with _disk_errors("write", self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None
            asset, head = _hash_file(self._path, ref)
        if ref.n_bytes is not None and asset.n_bytes != ref.n_bytes:
            self._remove()
            raise DamagedFile(f"{ref.name} has {asset.n_bytes} bytes where {ref.n_bytes} were announced.")
        if ref.md5 is not None and asset.md5 != ref.md5:
            self._remove()
            raise DamagedFile(f"{ref.name} does not have the announced md5.")
        problem = kind_problem(ref.role, ref.name, head)
        if problem is not None:
            self._remove()
            if ref.md5 is None:
                raise DamagedFile(f"{ref.name} is not what its name says ({problem}).")
            raise MalformedArticle(f"{ref.name} is not what its name says.", problem)
        with _disk_errors("write", self._final):
            self._path.replace(self._final)
            self._etag_path.unlink(missing_ok=True)
            _sync_folder(self._final.parent)
        return asset

    def discard(self) -> None:
        """Remove the part."""
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._etag_path.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)


class Store:
    """The folder of one harvest.

    Args:
        root: The folder that `--out` names; made on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def article_folder(self, article_id: str) -> Path:
        """Return the folder of an article; it need not exist.

        Raises:
            ValueError: when the id is none, and so no name for a folder.
        """
        if not is_article_id(article_id):
            raise ValueError(f"{article_id!r} is no article id")
        return self.root / "articles" / article_id

    def check_writable(self) -> None:
        """Make the folder and write to it once.

        Raises:
            UsageError: when that fails, with the folder and the reason.
        """
        probe = self.root / f".write-{secrets.token_hex(4)}"
        message = ""
        try:
            with _disk_errors("write to", self.root):
                if self.root.exists() and not self.root.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
                self.root.mkdir(parents=True, exist_ok=True)
                probe.write_bytes(b"\n")
                probe.unlink()
        except DiskError as problem:
            message = str(problem)
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        if message:
            raise UsageError(message)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writing run.

        Raises:
            UsageError: when another run holds it, or it can't be written to.
        """
        self.check_writable()
        lock = FileLock(self.root / ".lock", timeout=0)
        message = ""
        try:
            lock.acquire()
        except Timeout:
            message = f"Another run is writing to {self.root}; wait for it to end or choose another folder."
        except OSError as problem:
            message = f"Could not lock {self.root}: {(problem.strerror or 'the system refused').lower()}."
        if message:
            raise UsageError(message)
        try:
            yield
        finally:
            lock.release()

    def find(self, article_id: str, ref: AssetRef) -> Asset | None:
        """Return the file when it lies here whole: announced md5 and length, right kind. None otherwise."""
        path = self.article_folder(article_id) / ref.name
        if not is_plain_file_name(ref.name):
            return None
        try:
            asset, head = _hash_file(path, ref)
        except OSError:
            return None
        same = (ref.md5 is None or asset.md5 == ref.md5) and (ref.n_bytes is None or asset.n_bytes == ref.n_bytes)
        return asset if same and kind_problem(ref.role, ref.name, head) is None else None

    def begin(self, article_id: str, ref: AssetRef) -> PartFile:
        """Open the part of a file, with what an earlier run left of it.

        Raises:
            ValueError: when the name is not a plain one.
            DiskError: when the disk refuses.
        """
        if not is_plain_file_name(ref.name):
            raise ValueError(f"{ref.name!r} is no plain file name")
        return PartFile(self.article_folder(article_id), ref)

    def write_file(self, article_id: str, ref: AssetRef, data: bytes) -> Asset:
        """Write bytes already in hand; the file is left alone when it holds them already.

        Raises:
            DamagedFile, MalformedArticle, DiskError: as `PartFile.commit`.
        """
        exact = AssetRef(ref.name, ref.role, ref.url, ref.md5 or hashlib.md5(data, usedforsecurity=False).hexdigest())
        found = self.find(article_id, exact)
        if found is not None:
            return found
        with self.begin(article_id, exact) as part:
            part.restart()
            part.write(data)
            return part.commit()

    def add_file(self, article_id: str, name: str, role: AssetRole, content: bytes | Path) -> Asset:
        """Take in a file of your own; a path is copied in pieces, whatever its size. Its kind is not judged here.

        Raises:
            ValueError: when the name is not a plain one.
            DiskError: when it can't be read or written.
        """
        if not is_plain_file_name(name):
            raise ValueError(f"{name!r} is no plain file name")
        folder = self.article_folder(article_id)
        final, part = folder / name, folder / f"{name}.part"
        with _disk_errors("write", final):
            folder.mkdir(parents=True, exist_ok=True)
        source = content if isinstance(content, Path) else final
        with _disk_errors("copy" if isinstance(content, Path) else "write", source):
            try:
                with part.open("wb") as target:
                    if isinstance(content, Path):
                        with content.open("rb") as opened:
                            while chunk := opened.read(_CHUNK):
                                target.write(chunk)
                    else:
                        target.write(content)
                    target.flush()
                    os.fsync(target.fileno())
                asset, _ = _hash_file(part, AssetRef(name, role, None))
                part.replace(final)
                _sync_folder(folder)
            except OSError:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
        return asset

    def write_snapshot(self, png: bytes) -> tuple[str, str]:
        """Keep a snapshot under the SHA-256 of its bytes.

        Returns:
            Path relative to the root ("snapshots/ab/abcdef....png") and the hash. Same bytes, same place, written once.

        Raises:
            DiskError: when the disk refuses.
        """
        sha256 = hashlib.sha256(png).hexdigest()
        relative = f"snapshots/{sha256[:2]}/{sha256}.png"
        path = self.root / relative
        with _disk_errors("write", path):
            if path.is_file() and path.stat().st_size == len(png):
                return relative, sha256
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            try:
                with part.open("wb") as target:
                    target.write(png)
                    target.flush()
                    os.fsync(target.fileno())
                part.replace(path)
                _sync_folder(path.parent)
            except OSError:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                raise
        return relative, sha256


def _hash_file(path: Path, ref: AssetRef) -> tuple[Asset, bytes]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    n_bytes, head = 0, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            head = head or chunk[:1024]
            n_bytes += len(chunk)
            md5.update(chunk)
            sha256.update(chunk)
    return Asset(ref.name, ref.role, n_bytes, md5.hexdigest(), sha256.hexdigest(), ref.url), head


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; systems that can't open a folder do it by themselves."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
