import io
import os
from pathlib import Path

from hagnifinder.inputs import Missing, expand, read_names


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_a_folder_gives_its_pictures_then_those_below_sorted(tmp_path: Path) -> None:
    made(tmp_path, "b.png", "a.JPG", "notes.txt", "below/c.tif", "below/deeper/d.png")

    assert [os.path.relpath(p, tmp_path) for p in expand([str(tmp_path)])] == [
        "a.JPG",
        "b.png",
        "below/c.tif",
        "below/deeper/d.png",
    ]


def test_a_quoted_pattern_is_read_here_and_a_file_of_that_very_name_wins(tmp_path: Path) -> None:
    made(tmp_path, "a1.png", "a2.png", "x[1].png", "deep/er/a3.png")

    assert [Path(str(p)).name for p in expand([f"{tmp_path}/a*.png"])] == ["a1.png", "a2.png"]
    assert [Path(str(p)).name for p in expand([f"{tmp_path}/**/a3.png"])] == ["a3.png"]
    assert list(expand([f"{tmp_path}/x[1].png"])) == [f"{tmp_path}/x[1].png"]


def test_what_gives_no_file_says_so_in_a_sentence_and_the_rest_goes_on(tmp_path: Path) -> None:
    made(tmp_path, "a.png")
    (tmp_path / "empty").mkdir()

    found = list(expand([f"{tmp_path}/no.png", f"{tmp_path}/z*", "a\0b", f"{tmp_path}/empty", f"{tmp_path}/a.png"]))

    assert [f.sentence for f in found if isinstance(f, Missing)] == [
        f"{tmp_path}/no.png does not exist.",
        f"{tmp_path}/z* matches no file.",
        "'a\\x00b' is no file's name.",
        f"There is no picture in {tmp_path}/empty.",
    ]
    assert found[-1] == f"{tmp_path}/a.png"


def test_a_loop_of_links_is_not_walked(tmp_path: Path) -> None:
    made(tmp_path, "a.png")
    (tmp_path / "again").symlink_to(tmp_path)

    assert list(expand([str(tmp_path)])) == [f"{tmp_path}/a.png"]


def test_names_are_read_as_they_arrive_whatever_their_bytes() -> None:
    lines = io.BytesIO("a b.png\r\n\nµ.png\n".encode() + b"\xff.png")
    names = read_names(lines)

    assert next(names) == "a b.png"
    assert lines.tell() == len(b"a b.png\r\n")
    assert [os.fsencode(n) for n in names] == ["µ.png".encode(), b"\xff.png"]
