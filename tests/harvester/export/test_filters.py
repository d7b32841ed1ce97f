"""Every filter of `harvester export`, given on the command line, lets exactly the rows through that it should."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from db import models
from db.models import table
from harvester.catalog import Catalog
from harvester.cli import main
from harvester.export.overlay import find_overlay
from harvester.geometry import BoxPx
from harvester.review.verdicts import Verdict, save_verdict
from tests.harvester.export.test_pictures import tissue
from tests.harvester.small_harvest import (
    make_article,
    make_estimate,
    make_result,
    open_blank,
    save_model,
    store_png,
    write_pdf,
)


def add(
    catalog: Catalog, number: int, *, mpp_um=0.5, width=1.3, side=64, abstained=False, rights=None, organ="liver",
    kind="he", he_score=0.9, tissue_share=0.7, bar_um=None, drawn=False, **values,
) -> None:  # fmt: skip
    """An article with one snapshot, alike but for what is given."""
    defaults = {"journal": "J Liver", "year": 2020, "mesh_terms": ("Liver",)}
    article = make_article(number, **{**defaults, **values})
    catalog.save_article(article, [write_pdf(catalog.root, article.article_id)])
    pixels = tissue(side, side, seed=number)
    if drawn:
        cv2.rectangle(pixels, (side // 4, side - 40), (3 * side // 4, side - 30), (0, 0, 0), -1)
        assert find_overlay(pixels)
    picture = store_png(catalog.root, cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes())
    result = make_result(article.article_id, [picture], rights=rights, he_score=he_score)
    [snapshot], panels = result.snapshots, list(result.panels)
    panels[0] = replace(
        panels[0],
        native_width_px=side,
        native_height_px=side,
        kind=kind,
        subject=replace(panels[0].subject, organ=organ),
    )
    snapshot = replace(
        snapshot,
        box=BoxPx(0, 0, side, side),
        tissue_share=tissue_share,
        phash=f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
    )
    save_model(catalog)
    catalog.save_result(
        replace(result, panels=tuple(panels), snapshots=(snapshot,)),
        [make_estimate(snapshot.snapshot_id, mpp_um, width=width, abstained=abstained)],
    )
    if bar_um is not None:
        row = {"evidence_id": f"{snapshot.panel_id}/e1", "panel_id": snapshot.panel_id, "kind": "scale_bar",
               "mpp_um": bar_um, "magnification_x": 10 / bar_um, "score": 0.9}  # fmt: skip
        with catalog.writing() as connection:
            connection.execute(table(models.Evidence).insert(), row)


@pytest.fixture(scope="module")
def harvest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-three snapshots; what each is there for says its line."""
    root = tmp_path_factory.mktemp("filters") / "harvest"
    with open_blank(root) as catalog:
        catalog.finish_run(catalog.start_run("run", {}), 0)
        add(catalog, 1)
        add(catalog, 2, licence_code="CC BY-NC")
        add(catalog, 3, licence_code="CC BY-ND")
        add(catalog, 4, licence_code="TDM")
        add(catalog, 5, licence_code=None)
        add(catalog, 6, rights="Reprinted with permission.")
        add(catalog, 7, organ="kidney", journal="J Kidney", mesh_terms=("Kidney", "Biopsy"), year=2010)
        add(catalog, 8, organ=None, journal=None, mesh_terms=(), year=None)
        add(catalog, 9, kind="ihc")
        add(catalog, 10, mpp_um=0.25, width=1.05)
        add(catalog, 11, mpp_um=1.0, width=2.0)
        add(catalog, 12, mpp_um=None, abstained=True)
        add(catalog, 13, bar_um=0.5)
        add(catalog, 14, bar_um=4.0)
        add(catalog, 15)
        add(catalog, 16)
        add(catalog, 17)
        add(catalog, 18)
        add(catalog, 19, he_score=0.55)
        add(catalog, 20, tissue_share=0.2)
        add(catalog, 21, side=200, drawn=True)
        add(catalog, 22, side=24)
        add(catalog, 23, licence_code="CC0", is_retracted=True)
        with catalog.writing() as connection:
            connection.exec_driver_sql("UPDATE estimate SET mpp_lo99_um = mpp_um / 3, mpp_hi99_um = mpp_um * 3")
        seen = None
        for number, verdict, who in (
            (15, "accept", "ann"), (16, "reject", "ann"), (17, "correct", "ann"), (18, "accept", "ann"),
            (18, "reject", "bob"),
        ):  # fmt: skip
            told = Verdict(f"PMC{number}.1/f1/a/s1", verdict, who, 40.0 if verdict == "correct" else None)
            seen = save_verdict(catalog, told, seen=seen, blind=False)
    return root


PLAIN = {1, 2, 7, 8, 10, 11, 13, 15, 17, 19, 20, 21, 22}
"""What goes when nothing is asked for: not 3 to 5 (licence), 6 (rights), 9 (kind), 12 (abstained), 14 (conflict), 16
(rejected), 18 (reviewers differ), 23 (retracted)."""


def taken(harvest: Path, dest: Path, *options: str) -> list[dict[str, str]]:
    found = CliRunner().invoke(main, ["export", str(harvest), str(dest), "--format", "csv", *options])
    assert found.exit_code == 0, found.output
    with (dest / "snapshots.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", PLAIN),
        ("--license commercial", PLAIN - {2}),
        ("--license any", PLAIN),
        ("--license any --include-nd", PLAIN | {3}),
        ("--license 'CC BY-NC,CC0'", {2}),
        # who names the very code asks for it
        ("--license 'CC BY-NC,CC BY-ND'", {2, 3}),
        ("--min-he-score 0.6", PLAIN - {19}),
        ("--min-tissue 0.5", PLAIN - {20}),
        ("--mpp-min 0.4", PLAIN - {10, 17}),
        ("--mpp-max 0.5", PLAIN - {11}),
        ("--max-interval-ratio 1.2", {10, 13, 17}),
        ("--max-interval-ratio 1.8", PLAIN - {11}),
        ("--tolerance 15% --confidence 0.9", {10, 13, 17}),
        ("--tolerance 60% --confidence 0.9", PLAIN - {11}),
        ("--tolerance 60%", PLAIN),
        ("--at 0.5", PLAIN - {11}),
        ("--at 0.25", {10, 17}),
        ("--magnification 20", PLAIN - {11}),
        ("--tile 32", PLAIN - {22}),
        ("--tile 32 --at 1.0", PLAIN - {10, 17, 22}),
        ("--agreement agree", {13}),
        ("--agreement reviewed", {17}),
        ("--agreement conflict", {14}),
        ("--agreement reviews_differ --agreement agree", {13, 18}),
        ("--scale-from scale_bar", {13}),
        ("--scale-from review", {17}),
        ("--scale-from image", PLAIN - {13, 17}),
        ("--verdict accept", {15}),
        ("--verdict correct --verdict accept", {15, 17}),
        ("--verdict reject", {16}),
        ("--verdict none", PLAIN - {15, 17}),
        ("--verdict differ --include-conflicts", {18}),
        ("--kind ihc", {9}),
        ("--kind ihc --kind he", PLAIN | {9}),
        ("--organ KIDNEY", {7}),
        ("--organ kidney --organ liver", PLAIN - {8}),
        ("--journal 'j kidney'", {7}),
        ("--mesh biopsy", {7}),
        ("--mesh liver --mesh Kidney", PLAIN - {8}),
        ("--year-until 2019", {7}),
        ("--year-from 2011", PLAIN - {7, 8}),
        ("--year-from 2010 --year-until 2010", {7}),
        ("--include-abstained", PLAIN | {12}),
        ("--include-conflicts", PLAIN | {14, 18}),
        ("--organ kidney --organ liver --year-until 2019 --mpp-max 0.5 --kind he", {7}),
    ],
)  # fmt: skip
def test_a_filter_takes_exactly_its_rows(harvest, tmp_path, options, expected):
    import shlex

    rows = taken(harvest, tmp_path / "set", *shlex.split(options))

    assert {int(row["pmcid"].removeprefix("PMC")) for row in rows} == expected


def test_what_is_brought_to_one_pixel_size_has_it(harvest, tmp_path):
    rows = taken(harvest, tmp_path / "set", "--at", "0.5")

    assert {float(row["mpp_um"]) for row in rows} == {0.5}
    widths = {row["pmcid"]: (int(row["width_px"]), float(row["native_mpp_um"])) for row in rows}
    assert widths["PMC10"] == (32, 0.25)
    assert widths["PMC1"] == (64, 0.5)


def test_tiles_have_their_side_and_lie_in_the_snapshot(harvest, tmp_path):
    rows = taken(harvest, tmp_path / "set", "--tile", "32")

    assert {(row["width_px"], row["height_px"]) for row in rows} == {("32", "32")}
    assert sum(row["pmcid"] == "PMC1" for row in rows) == 4
    assert sum(row["pmcid"] == "PMC21" for row in rows) == 36


def test_without_overlay_only_what_is_drawn_on_is_cut(harvest, tmp_path):
    plain = {row["pmcid"]: row for row in taken(harvest, tmp_path / "plain")}

    clean = {row["pmcid"]: row for row in taken(harvest, tmp_path / "clean", "--no-overlay")}

    sides = ("x0_px", "y0_px", "x1_px", "y1_px")
    assert set(plain) == set(clean)
    cut = {name for name, row in clean.items() if any(row[side] != plain[name][side] for side in sides)}
    assert cut == {"PMC21"}
    assert float(clean["PMC21"]["y1_px"]) <= 200 - 40


def test_the_refused_licences_are_listed_to_the_user(harvest, tmp_path):
    args = ["export", str(harvest), str(tmp_path / "set"), "--format", "csv", "--license", "any", "--dry-run"]

    found = CliRunner().invoke(main, args)

    assert not (tmp_path / "set").exists()
    for words in ("1  CC BY-ND: the licence forbids derivatives", "1  TDM: the licence allows text mining",
                  "no licence is stated"):  # fmt: skip
        assert words in found.output
