import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hagnifinder.builders.cut import Settings
from hagnifinder.builders.quality import HistoQc, own_map
from hagnifinder.builders.run import build
from hagnifinder.builders.sources import find_sources
from hagnifinder.cli import main
from hagnifinder.data.patches import read_manifest, read_patch
from hagnifinder.errors import DataError
from hagnifinder.wholeslide.reader import Picture
from tests.hagnifinder.drawn_slides import draw_slide, write_slide

LITTLE = Settings("hagni40", tiles_per_slide=1)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good slide at 10x, one with a wrong objective, one without a scale, one of glass, one that is none."""
    folder = tmp_path_factory.mktemp("slides")
    tissue = draw_slide(1500, 1250, mpp_um=1.0)
    write_slide(folder / "good" / "TCGA-AA-0001-01Z-00-DX1.svs", tissue, mpp_um=1.01, objective_x=10)
    write_slide(folder / "TCGA-BB-0002-01Z-00-DX1.svs", tissue, mpp_um=0.2325, objective_x=20)
    write_slide(folder / "unsaid.svs", tissue, mpp_um=None)
    write_slide(folder / "glass.svs", np.full((700, 700, 3), 242, np.uint8), mpp_um=1.0, objective_x=10)
    (folder / "words.svs").write_text("not a slide")
    return folder


@pytest.fixture(scope="module")
def built(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    build(find_sources(slides, out, None), Settings("hagni40", 2), out)
    return out


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "parts" not in p.parts
    }


def test_a_slide_becomes_patches_of_every_level_it_supports(built: Path) -> None:
    patches = read_manifest(built)

    assert {p.patient for p in patches} == {"TCGA-AA-0001"}
    # 1,500 x 1,250 px at 10x hold tiles of 640 and 1,120 px, none of 2,240.
    assert {p.level_x for p in patches} == {float(m) for m in range(2, 11)}
    for patch in patches:
        assert read_patch(built, patch).shape == (patch.patch_px, patch.patch_px, 3)
        assert patch.mpp_um == pytest.approx(10.1 / patch.level_x, rel=0.01)
        assert hashlib.sha256((built / patch.path).read_bytes()).hexdigest() == patch.sha256
        assert patch.tissue >= 0.6
        assert patch.x_px + patch.source_px <= 1500 and patch.y_px + patch.source_px <= 1250
    assert {p.filter for p in patches if p.level_x == 10} == {"none"}


def test_a_patch_shows_the_place_the_manifest_names(built: Path, slides: Path) -> None:
    patch = next(p for p in read_manifest(built) if p.level_x == 5)
    pixels = draw_slide(1500, 1250, mpp_um=1.0)

    part = pixels[patch.y_px : patch.y_px + patch.source_px, patch.x_px : patch.x_px + patch.source_px]
    shown = read_patch(built, patch).astype(float)
    expected = np.asarray(Image.fromarray(part).resize((patch.patch_px, patch.patch_px), Image.Resampling.BOX), float)

    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.97


def test_slides_that_cannot_be_used_are_named_with_their_reason(built: Path) -> None:
    with (built / "quarantine.csv").open(newline="") as lines:
        reasons = {row["slide_id"]: row["reason"] for row in csv.DictReader(lines)}

    assert "objective says 20x" in reasons["TCGA-BB-0002-01Z-00-DX1"]
    assert "how large its pixels are" in reasons["unsaid"]
    assert reasons["glass"] == "it shows no tissue"
    assert "cannot be read as a slide" in reasons["words"]
    assert len(reasons) == 4


def test_refused_patches_are_listed_and_some_are_kept_to_be_looked_at(built: Path) -> None:
    refused = [p for p in read_manifest(built, with_refused=True) if not p.is_kept]

    assert all(p.tissue < 0.6 and p.refused == "background" for p in refused)
    assert all(p.path.startswith("refused/") for p in refused if p.path)


def test_a_second_run_cuts_nothing_and_an_interrupted_one_ends_the_same(
    slides: Path, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    shutil.copytree(built, out)
    before = contents(out)

    again = build(find_sources(slides, out, None), Settings("hagni40", 2), out)
    assert again.new_slides == 0
    assert contents(out) == before

    # Killed in the middle of a slide: its part was not written, half of its patches were.
    (out / "parts" / "TCGA-AA-0001-01Z-00-DX1.json").unlink()
    (out / "manifest.csv").unlink()
    for path in sorted((out / "patches").rglob("*.png"))[::2]:
        path.unlink()
    resumed = build(find_sources(slides, out, None), Settings("hagni40", 2), out)
    assert resumed.new_slides == 1
    assert contents(out) == before


def test_patches_that_were_deleted_are_made_again(slides: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "holes"
    shutil.copytree(built, out)
    (out / read_manifest(out)[0].path).unlink()

    assert build(find_sources(slides, out, None), Settings("hagni40", 2), out).new_slides == 1
    assert contents(out) == contents(built)


@pytest.mark.slow
def test_two_workers_make_the_same_bytes_as_one(slides: Path, built: Path, tmp_path: Path) -> None:
    build(find_sources(slides, tmp_path, None), Settings("hagni40", 2), tmp_path, workers=2)

    assert contents(tmp_path) == contents(built)


def test_another_setting_needs_another_folder(slides: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    shutil.copytree(built, out)

    with pytest.raises(DataError, match="other settings"):
        build(find_sources(slides, out, None), Settings("kimia5mag", 2), out)


def write_histoqc(folder: Path, name: str, mask: np.ndarray) -> None:
    (folder / name).mkdir(parents=True)
    Image.fromarray(mask).save(folder / name / f"{name}_mask_use.png")
    lines = [
        "#start_time:\t2026-01-01 10:00:00",
        "#dataset:filename\tlevels\tpixels_to_use\twarnings",
        f"{name}\t3\t1000\t|few pixels",
    ]
    (folder / "results.tsv").write_text("\n".join(lines) + "\n")


def test_histoqc_s_mask_decides_when_it_is_given(slides: Path, tmp_path: Path) -> None:
    name = "TCGA-AA-0001-01Z-00-DX1.svs"
    mask = np.zeros((125, 150), np.uint8)
    mask[:, :70] = 255  # the second tile of 640 px is refused: HistoQC saw a pen there
    write_histoqc(tmp_path / "qc", name, mask)

    out = tmp_path / "out"
    summary = build(find_sources(slides, out, None), Settings("kimia5mag", 0), out, histoqc=tmp_path / "qc")

    assert {p.tile for p in read_manifest(out)} == {"t2560-0-0"}
    assert summary.quarantined["glass"] == "HistoQC did not finish it: results.tsv has no row of it"
    assert HistoQc(tmp_path / "qc").map_of(name, 1500, 1250).warnings == "few pixels"
    with pytest.raises(DataError, match="other proportions"):
        HistoQc(tmp_path / "qc").map_of(name, 1500, 400)
    with pytest.raises(DataError, match="needs the output folder"):
        HistoQc(tmp_path)


def test_our_mask_is_where_the_tissue_is(tmp_path: Path) -> None:
    Image.fromarray(draw_slide(800, 600, mpp_um=1.0, glass=0.5)).save(tmp_path / "a.png")

    tissue = own_map(Picture(tmp_path / "a.png"), 1.0)

    assert tissue.share(0, 0, 300) > 0.95
    assert tissue.share(500, 0, 300) < 0.05
    assert tissue.share(250, 100, 300) == pytest.approx(0.5, abs=0.05)


def test_a_collection_with_a_catalog_is_built_with_its_patients(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    Image.fromarray(draw_slide(600, 500, mpp_um=0.5, glass=0)).save(folder / "a.png")
    columns = "path,dataset,organ,mpp_um,scale_quality,stain,kind,slide_id"
    (folder / "catalog.csv").write_text(
        f"{columns}\na.png,Drawn,lung (carcinoma),0.5,A,H&E,he,p1/s1\na.png,Drawn,lung,0.5,C,H&E,he,p2\n"
    )
    out = tmp_path / "out"

    (source,) = find_sources(folder, out, None)
    build([source], Settings("hagni40", small_fields=True), out)

    patches = read_manifest(out)
    assert (source.patient, source.organ, source.dataset) == ("Drawn/p1", "lung", "Drawn")
    assert {p.level_x for p in patches} == {float(m) for m in range(9, 21)}


def test_a_wrong_statement_beside_the_file_is_refused(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "slides.csv").write_text(
        "file,patient,organ,mpp_um\nTCGA-AA-0001-01Z-00-DX1.svs,me,skin,0.5\nunsaid.svs,you,skin,1.0\n"
    )

    sources = find_sources(slides, tmp_path, None)
    summary = build(sources, LITTLE, tmp_path)

    assert "the person says 0.5" in summary.quarantined["TCGA-AA-0001-01Z-00-DX1"]
    assert {(p.patient, p.organ) for p in read_manifest(tmp_path)} == {("you", "skin")}


def test_the_command_says_what_it_made_and_leaves_others_unharmed(slides: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["build", "kimia5mag", str(slides), "--out", str(tmp_path / "out"), "--mpp", "1.0", "--workers", "1"]
    )

    assert done.exit_code == 0, done.output
    assert "slides of 2 patients" in done.output
    assert "3 slides could not be used" in done.output
    (tmp_path / "empty").mkdir()
    none = CliRunner().invoke(main, ["build", "hagni40", str(tmp_path / "empty"), "--out", str(tmp_path / "o")])
    assert none.exit_code == 2
    assert "holds no slide" in none.output


def test_an_unfinished_download_is_left_for_later(slides: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    shutil.copy(slides / "good" / "TCGA-AA-0001-01Z-00-DX1.svs", folder)
    (folder / "TCGA-CC-0003-01Z-00-DX1.svs.partial").write_bytes(b"half")

    done = CliRunner().invoke(main, ["build", "hagni40", str(folder), "--out", str(tmp_path / "out")])

    assert done.exit_code == 1
    assert "unfinished download" in done.output
    assert len(read_manifest(tmp_path / "out")) > 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    # 23 MB and 215 MB of pixels; as many tiles are cut from both.
    def peak_mb(width_px: int, height_px: int, name: str) -> float:
        row = draw_slide(width_px, 640, mpp_um=1.0)
        pixels = np.tile(row, (height_px // 640, 1, 1))
        path = write_slide(tmp_path / name / "a.svs", pixels, mpp_um=1.0, objective_x=10)
        del row, pixels
        out = tmp_path / name / "out"
        code = (
            "from pathlib import Path;"
            "from hagnifinder.builders.run import build; from hagnifinder.builders.cut import Settings;"
            "from hagnifinder.builders.sources import find_sources;"
            f"build(find_sources(Path({str(path)!r}), Path({str(out)!r}), None), Settings('hagni40', 1), "
            f"Path({str(out)!r})); print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout) / 1024

    small, large = peak_mb(3_000, 2_560, "small"), peak_mb(8_000, 8_960, "large")

    assert large < small + 60


def gdc_list(n_projects: int, n_each: int) -> list[dict]:
    hits = []
    for project in range(n_projects):
        for i in range(n_each):
            name = f"TCGA-{project:02d}-{i:04d}-01Z-00-DX1.ABC.svs"
            hits.append(
                {
                    "file_id": f"00000000-0000-0000-{project:04d}-{i:012d}",
                    "file_name": name,
                    "md5sum": "0" * 32,
                    "file_size": 10**9,
                    "experimental_strategy": "Diagnostic Slide",
                    "cases": [{"submitter_id": name[:12], "project": {"project_id": f"TCGA-P{project}"}}],
                }
            )
    return hits


def test_a_file_list_becomes_a_choice_of_slides_by_seed(tmp_path: Path) -> None:
    hits = gdc_list(15, 20)
    hits.append({**hits[0], "file_name": "TCGA-00-0000-01A-01-TS1.svs"})  # a frozen section
    hits.append({**hits[1], "file_name": "TCGA-00-0001-01Z-00-DX2.svs", "magnification": 20})
    (tmp_path / "files.json").write_text(json.dumps({"data": {"hits": hits}}))
    arguments = ["build", "hagni40", "slides", "--select", str(tmp_path / "files.json"), "--out"]

    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "a")])
    CliRunner().invoke(main, [*arguments, str(tmp_path / "b")])
    CliRunner().invoke(main, [*arguments, str(tmp_path / "c"), "--seed", "1"])

    assert done.exit_code == 0, done.output
    assert "gdc-client download -m" in done.output
    rows = [line.split("\t") for line in (tmp_path / "a" / "gdc_manifest.txt").read_text().splitlines()]
    assert rows[0] == ["id", "filename", "md5", "size", "state"]
    assert len(rows) == 129
    assert all("-DX1" in row[1] for row in rows[1:])
    with (tmp_path / "a" / "slides.csv").open(newline="") as lines:
        chosen = list(csv.DictReader(lines))
    per_project = {p: sum(c["organ"] == p for c in chosen) for p in {c["organ"] for c in chosen}}
    assert len(per_project) == 13
    assert set(per_project.values()) == {9, 10}
    assert len({c["patient"] for c in chosen}) == 128
    same, other = (tmp_path / n / "gdc_manifest.txt" for n in ("b", "c"))
    assert same.read_bytes() == (tmp_path / "a" / "gdc_manifest.txt").read_bytes() != other.read_bytes()


def test_a_list_that_is_none_or_too_short_is_refused(tmp_path: Path) -> None:
    for text, says in (("{", "is no file list"), ("[]", "lists no diagnostic slide"), (None, "patients of 2 projects")):
        path = tmp_path / "files.json"
        path.write_text(text if text is not None else json.dumps(gdc_list(2, 3)))
        done = CliRunner().invoke(main, ["build", "hagni40", "s", "--select", str(path), "--out", str(tmp_path / "o")])
        assert done.exit_code == 2
        assert says in done.output
