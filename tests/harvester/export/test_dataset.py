"""Whole exports: what lies on disk, that it can be read back, and that nothing is lost when something fails."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from sqlalchemy import create_engine, text

from harvester.catalog import Catalog
from harvester.errors import UsageError
from harvester.export.columns import COLUMNS, image_stem
from harvester.export.dataset import export_dataset
from harvester.export.request import ExportRequest
from harvester.export.splits import split_of
from harvester.records import Article
from tests.harvester.small_harvest import (
    add_article,
    make_article,
    make_estimate,
    make_result,
    open_blank,
    save_model,
    store_png,
    write_pdf,
)


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        catalog.finish_run(catalog.start_run("run", {}), 0)
        yield catalog


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "data sets" / "liver"


def fill(catalog: Catalog, n: int = 20) -> None:
    for number in range(1, n + 1):
        add_article(catalog, number, mpp_um=0.2 + number / 20)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change(catalog: Catalog, statement: str) -> None:
    engine = create_engine(f"sqlite:///{catalog.root / 'catalog.db'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


class TestWhatIsWritten:
    def test_an_imagefolder_reads_back_row_by_row(self, catalog, dest):
        fill(catalog)

        summary = export_dataset(catalog, dest, ExportRequest("imagefolder"))

        by_id = {row["snapshot_id"]: row for row in catalog.snapshots()}
        seen = set()
        for split in ("train", "val", "test"):
            for row in read_jsonl(dest / split / "metadata.jsonl"):
                original = by_id[row["snapshot_id"]]
                picture = dest / split / row["file_name"]
                assert (
                    hashlib.sha256(picture.read_bytes()).hexdigest() == row["image_sha256"] == original["image_sha256"]
                )
                assert row["split"] == split == split_of(original["pmcid"])
                assert row["mpp_um"] == original["mpp_um"]
                assert (row["licence_code"], row["citation"]) == (original["licence_code"], original["citation"])
                seen.add(row["snapshot_id"])
        assert seen == set(by_id)
        assert (summary.n_seen, summary.tally.n_images, summary.tally.left_out.total()) == (40, 40, 0)
        assert summary.tally.by_split.total() == 40

    @pytest.mark.slow
    def test_torchvision_opens_a_split(self, catalog, dest):
        from torchvision.datasets import ImageFolder

        fill(catalog)
        export_dataset(catalog, dest, ExportRequest("imagefolder"))

        train = ImageFolder(str(dest / "train"))

        assert train.classes == ["he"]
        assert len(train) == len(read_jsonl(dest / "train" / "metadata.jsonl"))
        assert train[0][0].size == (24, 24)

    def test_every_column_of_every_line_has_one_type(self, catalog, dest):
        fill(catalog)
        export_dataset(catalog, dest, ExportRequest("imagefolder"))

        types = {"text": {str}, "number": {float}, "whole": {int}, "yes_no": {bool}}
        for path in dest.rglob("metadata.jsonl"):
            for row in read_jsonl(path):
                assert list(row) == list(COLUMNS)
                for name, value in row.items():
                    assert value is None or type(value) in types[COLUMNS[name][0]], name
                    assert value is not None or COLUMNS[name][0] != "text", name

    def test_a_column_that_one_split_knows_nothing_of_is_left_to_the_table(self, catalog, dest):
        # Hugging Face datasets refuses splits whose columns differ in type, and all null is a type of its own
        fill(catalog)
        panel = next(row["panel_id"] for row in catalog.snapshots() if split_of(row["pmcid"]) == "train")
        change(
            catalog,
            f"INSERT INTO evidence (evidence_id, panel_id, kind, stated_x) VALUES ('e', '{panel}', 'caption', 400)",
        )

        summary = export_dataset(catalog, dest, ExportRequest("imagefolder"))

        assert summary.dropped_columns == ("stated_x",)
        assert all("stated_x" not in row for path in dest.rglob("metadata.jsonl") for row in read_jsonl(path))
        assert [row["stated_x"] for row in read_csv(dest / "snapshots.csv")].count("400.0") == 1
        assert "Only in `snapshots.csv`" in (dest / "README.md").read_text()
        assert not list(dest.rglob("*.tmp"))

    def test_a_csv_export_has_a_row_and_an_image_for_each_snapshot(self, catalog, dest):
        fill(catalog, 3)

        export_dataset(catalog, dest, ExportRequest("csv"))

        rows = read_csv(dest / "snapshots.csv")
        assert [row["snapshot_id"] for row in rows] == [row["snapshot_id"] for row in catalog.snapshots()]
        assert {row["file_name"] for row in rows} == {f"images/{p.name}" for p in (dest / "images").iterdir()}
        assert float(rows[0]["mpp_um"]) == 0.25
        assert rows[0]["image_abstained"] == "false"

    @pytest.mark.parametrize("format_name", ["csv", "imagefolder"])
    def test_every_image_is_credited(self, catalog, dest, format_name):
        fill(catalog, 3)

        export_dataset(catalog, dest, ExportRequest(format_name))

        credits = read_csv(dest / "ATTRIBUTION.csv")
        assert {row["file_name"] for row in credits} == {p.relative_to(dest).as_posix() for p in dest.rglob("*.png")}
        for row in credits:
            assert row["licence_name"] == "Creative Commons Attribution"
            assert row["licence_url"] == "https://creativecommons.org/licenses/by/4.0/"
            assert row["citation"].startswith("Doe J et al.")
            assert row["article_url"].startswith("https://pmc.ncbi.nlm.nih.gov/articles/PMC")
            assert "cropped" in row["changes"]

    def test_the_card_tells_counts_losses_models_and_thanks(self, catalog, dest):
        fill(catalog)
        add_article(catalog, 30, abstained=True)
        add_article(catalog, 31, n=1, licence_code="CC BY-ND")

        export_dataset(catalog, dest, ExportRequest("imagefolder"))

        card = (dest / "README.md").read_text()
        day = catalog.rows("SELECT started_at FROM run")[0]["started_at"][:10]
        assert "| CC BY | Creative Commons Attribution | 40 |" in card
        assert "43 snapshots in the harvest, 3 left out under the licence policy `remix`" in card
        assert "| abstained | the model would not say" in card
        assert "| licence_not_in_policy | the licence is not in the policy of this export | 1 |" in card
        assert "| measured_on | 2026-01-01 |" in card
        assert "Test side:\n\n| name | pictures | median_log2 |\n| --- | --- | --- |\n| all | 1234 | 0.21 |" in card
        assert f"was accessed on {day} from https://registry.opendata.aws/ncbi-pmc." in card
        assert "not endorsed by it" in card

    def test_files_of_your_own_thank_nobody(self, catalog, dest):
        catalog.save_article(
            Article("local-0000000a", "local", title="slide 1", licence_code="own", group="case 1"),
            [write_pdf(catalog.root, "local-0000000a")],
        )
        save_model(catalog)
        picture = store_png(catalog.root, png_with())
        catalog.save_result(make_result("local-0000000a", [picture]), [make_estimate("local-0000000a/f1/a/s1")])

        export_dataset(catalog, dest, ExportRequest("csv"))

        [row] = read_csv(dest / "snapshots.csv")
        assert (row["licence_code"], row["pmcid"], row["split"]) == ("own", "", split_of("case 1"))
        assert "NLM" not in (dest / "README.md").read_text()

    def test_the_same_catalog_gives_the_same_bytes(self, catalog, dest, tmp_path):
        fill(catalog)

        export_dataset(catalog, dest, ExportRequest("imagefolder"))
        export_dataset(catalog, tmp_path / "other", ExportRequest("imagefolder"))

        assert bytes_of(dest) == bytes_of(tmp_path / "other")

    @pytest.mark.parametrize(
        "caption",
        [
            "=cmd|'/c calc'!A1",
            "+1+1",
            "-2+3",
            "@SUM(A1)",
            "\t=1",
            "  =1+1",
            '\r\n=HYPERLINK("http://example.org")',
            "＝1",
        ],
    )
    def test_a_caption_that_is_a_formula_is_only_text_to_a_spreadsheet(self, catalog, dest, caption):
        add_article(catalog, 1, n=1, caption=caption, citation=caption)

        export_dataset(catalog, dest, ExportRequest("csv"))

        [row], [credit] = read_csv(dest / "snapshots.csv"), read_csv(dest / "ATTRIBUTION.csv")
        assert row["caption"] == credit["citation"] == f"'{caption}"

    @pytest.mark.parametrize("caption", ['He said "x, y"', "two\nlines", "semi;colon", "🔬 µm ×400", "it's = fine"])
    def test_any_other_caption_comes_back_as_it_is(self, catalog, dest, caption):
        add_article(catalog, 1, n=1, caption=caption)

        export_dataset(catalog, dest, ExportRequest("csv"))

        assert [row["caption"] for row in read_csv(dest / "snapshots.csv")] == [caption]


def png_with(**chunks: bytes) -> bytes:
    """A small PNG with extra chunks, such as eXIf=..."""
    info = PngImagePlugin.PngInfo()
    for name, data in chunks.items():
        info.add(name.encode(), data)
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 24, 3), 120, np.uint8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


class TestPictures:
    def export_one(self, catalog: Catalog, dest: Path, png: bytes) -> bytes:
        add_article(catalog, 1, n=1)
        catalog.save_result(make_result("PMC1.1", [store_png(catalog.root, png)]), [make_estimate("PMC1.1/f1/a/s1")])
        export_dataset(catalog, dest, ExportRequest("csv"))
        return (dest / "images" / "PMC1.1_f1_a_s1.png").read_bytes()

    def test_metadata_of_an_image_never_leaves(self, catalog, dest):
        png = png_with(eXIf=b"II*\0GPS", tEXt=b"Author\0Jane Doe", tIME=b"\x07\xe4\x01\x01\0\0\0", prVt=b"secret")
        assert b"Jane Doe" in png

        exported = self.export_one(catalog, dest, png)

        assert exported == png_with()
        [row] = read_csv(dest / "snapshots.csv")
        assert row["image_sha256"] == hashlib.sha256(exported).hexdigest()

    def test_a_plain_image_leaves_byte_by_byte(self, catalog, dest):
        assert self.export_one(catalog, dest, png_with()) == png_with()

    def test_bytes_behind_the_picture_stay_behind(self, catalog, dest):
        assert self.export_one(catalog, dest, png_with() + b"PK\x03\x04 a hidden archive") == png_with()

    @pytest.mark.parametrize("png", [b"", b"GIF89a", png_with()[:-20]])
    def test_an_image_that_is_no_whole_png_is_left_out(self, catalog, dest, png):
        add_article(catalog, 2)

        with pytest.raises(FileNotFoundError):
            self.export_one(catalog, dest, png)

        assert json.loads((dest / "export.json").read_text())["left_out"] == {"image_damaged": 1}

    def test_missing_and_damaged_images_are_counted(self, catalog, dest):
        add_article(catalog, 1, n=3)
        rows = list(catalog.snapshots())
        (catalog.root / rows[0]["image_path"]).unlink()
        (catalog.root / rows[1]["image_path"]).write_bytes(png_with())

        summary = export_dataset(catalog, dest, ExportRequest("csv"))

        assert dict(summary.tally.left_out) == {"image_missing": 1, "image_damaged": 1}
        assert summary.tally.n_images == 1

    def test_a_row_that_points_outside_the_harvest_takes_nothing_along(self, catalog, dest):
        add_article(catalog, 1, n=2)
        outside = catalog.root.parent / "outside.png"
        outside.write_bytes(png_with())
        sha256 = hashlib.sha256(png_with()).hexdigest()
        change(
            catalog,
            f"UPDATE snapshot SET image_path = '../outside.png', image_sha256 = '{sha256}'"
            " WHERE snapshot_id = 'PMC1.1/f1/a/s1'",
        )

        summary = export_dataset(catalog, dest, ExportRequest("csv"))

        assert dict(summary.tally.left_out) == {"image_damaged": 1}

    def test_the_same_pixels_leave_once(self, catalog, dest):
        picture = store_png(catalog.root, png_with())
        for number in (1, 2):
            add_article(catalog, number, n=1)
            result = make_result(f"PMC{number}.1", [picture])
            catalog.save_result(result, [make_estimate(result.snapshots[0].snapshot_id)])

        summary = export_dataset(catalog, dest, ExportRequest("imagefolder"))

        assert (summary.tally.n_images, dict(summary.tally.left_out)) == (1, {"duplicate_across": 1})

    @pytest.mark.parametrize("snapshot_id", ["../../evil", "a/b c", "x" * 300, "a/.hidden", "CON/\n"])
    def test_an_odd_id_gets_a_safe_file_name(self, snapshot_id):
        expected = hashlib.sha256(snapshot_id.encode()).hexdigest()

        assert image_stem({"snapshot_id": snapshot_id, "tile": ""}) == expected


class TestWhereItGoes:
    def test_a_dry_run_counts_and_writes_nothing(self, catalog, dest):
        fill(catalog, 3)
        add_article(catalog, 9, abstained=True)

        summary = export_dataset(catalog, dest, ExportRequest("csv", dry_run=True))

        assert (summary.tally.n_images, dict(summary.tally.left_out)) == (6, {"abstained": 2})
        assert not dest.parent.exists()
        lines = summary.text().splitlines()
        assert lines[0].split() == ["snapshots", "in", "the", "catalog", "8"]
        assert lines[1].split()[:6] == ["left", "out:", "abstained", "-2", "6", "left;"]
        assert any(line.startswith("snapshots would be exported") for line in lines)

    def test_every_snapshot_ticks(self, catalog, dest):
        fill(catalog, 2)
        ticks: list[None] = []

        export_dataset(catalog, dest, ExportRequest("csv"), tick=lambda: ticks.append(None))

        assert len(ticks) == 4

    @pytest.mark.parametrize("what", ["folder", "file", "export of another harvest"])
    def test_what_is_not_ours_is_never_replaced(self, catalog, dest, what, tmp_path):
        fill(catalog, 2)
        dest.parent.mkdir()
        if what == "file":
            dest.write_text("precious")
        else:
            dest.mkdir()
            (dest / "thesis.txt").write_text("precious")
        if what == "export of another harvest":
            (dest / "export.json").write_text('{"harvest": "another"}')

        with pytest.raises(UsageError, match=r"is no folder|is not empty and no earlier export of this harvest"):
            export_dataset(catalog, dest, ExportRequest("csv"))

        kept = dest if what == "file" else dest / "thesis.txt"
        assert kept.read_text() == "precious"
        assert list(dest.parent.iterdir()) == [dest]

    def test_an_empty_folder_and_an_earlier_export_are_replaced(self, catalog, dest):
        fill(catalog, 2)
        dest.mkdir(parents=True)
        export_dataset(catalog, dest, ExportRequest("csv"))
        first = bytes_of(dest)

        export_dataset(catalog, dest, ExportRequest("imagefolder"))
        assert not (dest / "images").exists()
        export_dataset(catalog, dest, ExportRequest("csv"))

        assert bytes_of(dest) == first
        assert list(dest.parent.iterdir()) == [dest]

    def test_an_export_that_fails_leaves_the_earlier_one(self, catalog, dest, monkeypatch):
        fill(catalog, 3)
        export_dataset(catalog, dest, ExportRequest("csv"))
        before = bytes_of(dest)

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("harvester.export.dataset.write_about", fail)
        with pytest.raises(OSError, match="No space left"):
            export_dataset(catalog, dest, ExportRequest("csv"))

        assert bytes_of(dest) == before
        assert {path.name for path in dest.parent.iterdir()} == {dest.name, f".{dest.name}.unfinished"}
        monkeypatch.undo()
        export_dataset(catalog, dest, ExportRequest("csv"))
        assert bytes_of(dest) == before
        assert list(dest.parent.iterdir()) == [dest]

    def test_an_export_that_cannot_take_its_place_puts_the_earlier_one_back(self, catalog, dest, monkeypatch):
        fill(catalog, 2)
        export_dataset(catalog, dest, ExportRequest("csv"))
        before = bytes_of(dest)
        rename = Path.rename

        def refuse(self: Path, target: Path) -> Path:
            if self.name.endswith(".unfinished"):
                raise OSError(13, "Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(OSError, match="Permission denied"):
            export_dataset(catalog, dest, ExportRequest("csv"))

        assert bytes_of(dest) == before
        assert {path.name for path in dest.parent.iterdir()} == {dest.name, f".{dest.name}.unfinished"}
        monkeypatch.undo()
        export_dataset(catalog, dest, ExportRequest("csv"))
        assert bytes_of(dest) == before
        assert list(dest.parent.iterdir()) == [dest]

    def test_what_a_killed_export_left_is_swept(self, catalog, dest):
        fill(catalog, 2)
        stale = dest.parent / f".{dest.name}.unfinished"
        stale.mkdir(parents=True)
        (stale / "UNFINISHED").touch()
        (stale / "half.png").write_bytes(b"\x89PNG")

        export_dataset(catalog, dest, ExportRequest("csv"))

        assert list(dest.parent.iterdir()) == [dest]
        assert not (dest / "UNFINISHED").exists()
        assert not (dest / "half.png").exists()

    def test_a_folder_of_yours_with_that_name_is_not_swept(self, catalog, dest):
        fill(catalog, 2)
        yours = dest.parent / f".{dest.name}.unfinished"
        yours.mkdir(parents=True)
        (yours / "thesis.txt").write_text("precious")

        with pytest.raises(UsageError, match="is in the way"):
            export_dataset(catalog, dest, ExportRequest("csv"))

        assert (yours / "thesis.txt").exists()

    def test_nothing_to_export_is_one_sentence_with_the_main_reason(self, catalog, dest):
        with pytest.raises(UsageError, match="holds no snapshot yet"):
            export_dataset(catalog, dest, ExportRequest("csv"))
        add_article(catalog, 1, licence_code=None)

        with pytest.raises(UsageError, match=r"None of 2 snapshots is left to export; 2 because no licence is stated"):
            export_dataset(catalog, dest, ExportRequest("csv"))

        assert not dest.parent.exists()

    def test_retracted_articles_and_figures_with_permission_notes_stay_behind(self, catalog, dest):
        add_article(catalog, 1)
        add_article(catalog, 2, rights="Reprinted from Roe 1999 with permission.")
        catalog.save_article(make_article(1, is_retracted=True), catalog.article_assets("PMC1.1"))
        add_article(catalog, 3)

        summary = export_dataset(catalog, dest, ExportRequest("csv"))

        assert dict(summary.tally.left_out) == {"retracted": 2, "rights": 2}
        assert summary.tally.n_images == 2
