"""The store keeps whole, right files and nothing else."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.errors import DamagedFile, FetchError, MalformedArticle, UsageError
from harvester.fetch.store import Store, kind_problem, looks_like_html
from harvester.names import is_article_id, is_plain_file_name, parse_article_version
from harvester.records import AssetRef

PDF = b"%PDF-1.4\n" + b"x" * 5000 + b"\n%%EOF\n"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def pdf_ref(data: bytes = PDF) -> AssetRef:
    return AssetRef("PMC1.1.pdf", "pdf", "https://example.org/PMC1.1/PMC1.1.pdf", md5(data), None)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "harvest")


def test_a_whole_file_gets_its_name_and_is_found_again(store: Store) -> None:
    with store.begin("PMC1.1", pdf_ref()) as part:
        part.mark('"abc"')
        part.write(PDF)
        asset = part.commit()

    assert asset.md5 == md5(PDF) and asset.sha256 == hashlib.sha256(PDF).hexdigest() and asset.n_bytes == len(PDF)
    assert names_in(store.article_folder("PMC1.1")) == {"PMC1.1.pdf"}
    assert store.find("PMC1.1", pdf_ref()) == asset


def test_a_file_that_changed_on_disk_is_not_found(store: Store) -> None:
    store.write_file("PMC1.1", pdf_ref(), PDF)
    path = store.article_folder("PMC1.1") / "PMC1.1.pdf"
    path.write_bytes(PDF.replace(b"x", b"y", 1))

    assert store.find("PMC1.1", pdf_ref()) is None


@pytest.mark.parametrize(
    ("data", "ref", "error"),
    [
        (b"%PDF-1.4 other", pdf_ref(), DamagedFile),
        (b"<!DOCTYPE html><title>Preparing to download</title>", AssetRef("a.pdf", "pdf", None), DamagedFile),
        (b"<html>", AssetRef("a.pdf", "pdf", None, md5(b"<html>")), MalformedArticle),
        (b"short", AssetRef("a.jpg", "media", None, md5(b"short"), 99), DamagedFile),
        (b"", AssetRef("a.xml", "xml", None, md5(b"")), MalformedArticle),
    ],
)
def test_what_is_not_as_announced_is_never_kept(store: Store, data: bytes, ref: AssetRef, error: type) -> None:
    with pytest.raises(error), store.begin("PMC1.1", ref) as part:
        part.write(data)
        part.commit()

    assert names_in(store.article_folder("PMC1.1")) == set()


def test_a_part_with_a_state_mark_is_gone_on_with_and_one_without_is_not(store: Store) -> None:
    with store.begin("PMC1.1", pdf_ref()) as part:
        part.mark('"state"')
        part.write(PDF[:1000])
    with store.begin("PMC1.1", pdf_ref()) as part:
        assert (part.size, part.etag) == (1000, '"state"')
        part.write(PDF[1000:])
        part.commit()
    with store.begin("PMC2.1", pdf_ref()) as part:
        part.write(PDF[:1000])

    assert store.find("PMC1.1", pdf_ref()) is not None
    assert names_in(store.article_folder("PMC2.1")) == set()


def test_a_part_of_another_announced_file_starts_anew(store: Store) -> None:
    with store.begin("PMC1.1", pdf_ref()) as part:
        part.mark('"state"')
        part.write(PDF[:1000])

    with store.begin("PMC1.1", pdf_ref(b"another")) as part:
        assert (part.size, part.etag) == (0, None)


def test_snapshots_are_named_by_their_bytes_and_written_once(store: Store) -> None:
    first = store.write_snapshot(b"png bytes")
    changed_at = (store.root / first[0]).stat().st_mtime_ns
    second = store.write_snapshot(b"png bytes")

    sha256 = hashlib.sha256(b"png bytes").hexdigest()
    assert first == second == (f"snapshots/{sha256[:2]}/{sha256}.png", sha256)
    assert (store.root / first[0]).stat().st_mtime_ns == changed_at


def test_own_files_are_copied_with_their_hashes(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "eigene Bilder 😀.png"
    source.write_bytes(b"pixels")

    from_path = store.add_file("local-1f2e3d4c", source.name, "media", source)
    from_bytes = store.add_file("local-1f2e3d4c", "b.png", "media", b"pixels")

    assert from_path.sha256 == from_bytes.sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert names_in(store.article_folder("local-1f2e3d4c")) == {source.name, "b.png"}


def test_a_file_larger_than_the_limit_of_the_process_is_one_sentence(store: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(FetchError, match=r"Could not write .*PMC1\.1\.pdf\.part: the file is larger"):
            store.write_file("PMC1.1", AssetRef("PMC1.1.pdf", "pdf", None), b"%PDF-" + bytes(100_000))
        with pytest.raises(FetchError, match="larger than"):
            store.write_snapshot(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not list(store.root.rglob("*.png"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(UsageError, match="permission was denied"):
        Store(tmp_path / "harvest").check_writable()


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "harvest").write_text("a file")

    with pytest.raises(UsageError, match=r"harvest: .*file"):
        Store(tmp_path / "harvest").check_writable()


def _try_to_lock(root: Path, answers) -> None:
    try:
        with Store(root).lock():
            answers.put("locked")
    except UsageError as problem:
        answers.put(str(problem))


def test_a_second_run_in_the_same_folder_is_refused(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    with store.lock():
        other = context.Process(target=_try_to_lock, args=(store.root, answers))
        other.start()
        answer = answers.get(timeout=30)
        other.join(30)

    assert "Another run is writing" in answer
    with store.lock():
        pass


@pytest.mark.parametrize(
    ("role", "name", "head", "problem"),
    [
        ("pdf", "a.pdf", b"\n\n%PDF-1.7", None),
        ("pdf", "a.pdf", b"x" * 1024 + b"%PDF-1.7", "not_a_pdf"),
        ("xml", "a.xml", b"\xef\xbb\xbf<?xml version='1.0'?>", None),
        ("xml", "a.xml", b"<html><body>", "not_xml"),
        ("json", "a.json", b"[Error]", None),
        ("json", "a.json", b"<Error>", "not_json"),
        ("media", "a.jpg", b"\xff\xd8\xff\xe0", None),
        ("media", "a.JPG", b"<html>", "not_an_image"),
        ("media", "a.webp", b"RIFF1234WEBP", None),
        ("media", "a.tif", b"II*\x00", None),
        ("media", "a.xlsx", b"PK", None),
    ],
)
def test_the_first_bytes_say_what_a_file_is(role, name: str, head: bytes, problem: str | None) -> None:
    assert kind_problem(role, name, head) == problem


def test_web_pages_are_recognised() -> None:
    assert looks_like_html(b"\xef\xbb\xbf \n<!DOCTYPE HTML>")
    assert not looks_like_html(b"<?xml version='1.0'?><article>")


@given(st.text(max_size=30))
def test_no_name_that_passes_can_leave_its_folder(name: str) -> None:
    if is_plain_file_name(name):
        folder = Path("/base/folder")
        assert (folder / name).parent == folder
        assert Path(os.path.normpath(folder / name)) == folder / name
        assert name.encode() and not any(ord(c) < 32 for c in name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "C:a",
        "C:\\a",
        "a\nb",
        "a\x00b",
        "a\u2028",
        "\ud800",
        "a.part",
        "x" * 250,
        "a ",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    assert not is_plain_file_name(name)


@pytest.mark.parametrize(
    "name", ["a b.jpg", 'it\'s "quoted".png', "figure 😀.jpg", "484_2021_2114_Fig1_HTML.jpg", "..a"]
)
def test_names_that_are_taken(name: str) -> None:
    assert is_plain_file_name(name)


@given(st.integers(1, 10**11), st.integers(1, 999))
def test_ids_are_read_back_as_they_were_made(number: int, version: int) -> None:
    assert parse_article_version(f"PMC{number}.{version}") == (f"PMC{number}", version)
    assert is_article_id(f"PMC{number}.{version}")


@given(st.text(max_size=20))
def test_no_text_but_an_id_names_a_folder(text: str) -> None:
    if is_article_id(text):
        assert text.replace(".", "").replace("-", "").isalnum() and text.isascii() and ".." not in text
