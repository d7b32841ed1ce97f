"""An export that is interrupted goes on where it was and gives the bytes of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from harvester.errors import FetchError, UsageError
from harvester.export import dataset
from harvester.export.dataset import export_dataset
from harvester.export.formats.writer import Writer
from harvester.export.request import ExportRequest
from harvester.export.selection import select_rows
from tests.harvester.export.test_formats import read_figures
from tests.harvester.small_harvest import add_article, open_blank


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        for number in range(1, 11):
            add_article(catalog, number, n=2)
        yield catalog


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Killed(BaseException):
    """As Ctrl-C or a kill would end it."""


@pytest.mark.parametrize("name", ["imagefolder", "parquet", "webdataset", "coco", "csv", "qupath"])
def test_an_interrupted_export_gives_the_bytes_of_an_undisturbed_one(catalog, tmp_path, monkeypatch, name):
    monkeypatch.setattr(dataset, "BLOCK_IMAGES", 2)
    request = ExportRequest(name)
    export_dataset(catalog, tmp_path / "whole", request, read_figures=read_figures)
    listed = Writer._list
    calls: list[int] = []

    def listed_until_killed(self, *args):
        calls.append(1)
        if len(calls) == 7:
            raise Killed
        listed(self, *args)

    monkeypatch.setattr(Writer, "_list", listed_until_killed)
    with pytest.raises(Killed):
        export_dataset(catalog, tmp_path / "set", request, read_figures=read_figures)
    assert not (tmp_path / "set").exists()
    n_before = len(calls)
    export_dataset(catalog, tmp_path / "set", request, read_figures=read_figures)

    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "whole")
    n_all = 10 if name == "coco" else 20
    assert len(calls) - n_before < n_all, "what was done is not done again"
    assert {path.name for path in tmp_path.iterdir()} == {"harvest", "whole", "set"}


def test_another_request_does_not_go_on_with_what_is_there(catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "BLOCK_IMAGES", 2)
    export_dataset(catalog, tmp_path / "whole", ExportRequest("csv"))
    with monkeypatch.context() as patched:
        patched.setattr("harvester.export.dataset.write_about", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            export_dataset(catalog, tmp_path / "set", ExportRequest("imagefolder"))

    export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))

    assert bytes_of(tmp_path / "set") == bytes_of(tmp_path / "whole")


def test_a_catalog_that_changes_under_way_gives_no_set(catalog, tmp_path, monkeypatch):
    def select_then_change(*args):
        selection = select_rows(*args)
        add_article(catalog, 99, n=1)
        return selection

    with monkeypatch.context() as patched:
        patched.setattr(dataset, "select_rows", select_then_change)
        with pytest.raises(FetchError, match="changed while it was exported"):
            export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))
    assert not (tmp_path / "set").exists()

    summary = export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))

    assert summary.tally.n_images == 21


def test_two_exports_to_one_place_do_not_meet(catalog, tmp_path):
    folder = tmp_path / ".set.unfinished"
    folder.mkdir()
    (folder / "UNFINISHED").touch()

    with FileLock(folder / "UNFINISHED.lock"), pytest.raises(UsageError, match="Another export is writing"):
        export_dataset(catalog, tmp_path / "set", ExportRequest("csv"))
