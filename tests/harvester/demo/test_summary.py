"""The comparison of a harvest with the truth, and the demonstration around it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests

from harvester.demo.articles import TruePanel
from harvester.demo.plan import PLAN
from harvester.demo.run import SHEET_NAME, TRUTH_NAME, environment, run_demo
from harvester.demo.summary import Compared, caption_lines, compare, contact_sheet, sentences
from harvester.geometry import BoxPt

BOX = BoxPt(48, 100, 248, 250)
HE = TruePanel("PMC1.1", "Figure 1", "A", "he", "colon", 2, BOX, 700, 525, 0.5)
GEL = TruePanel("PMC1.1", "Figure 1", "B", "gel", "gel", 2, BoxPt(260, 100, 460, 250), 700, 525)


def row(box: BoxPt | None = BOX, **changes: object) -> dict[str, object]:
    corners = box.as_tuple() if box else (None,) * 4
    values = dict(zip(("page_x0_pt", "page_y0_pt", "page_x1_pt", "page_y1_pt"), corners, strict=True))
    plain = {
        "snapshot_id": "PMC1.1/f1/a/s1",
        "article_id": "PMC1.1",
        "image_path": "snapshots/ab/x.png",
        "image_mpp_um": 0.4,
        "image_mpp_lo_um": 0.3,
        "image_mpp_hi_um": 0.6,
        "image_abstained": 0,
        "image_reason": None,
        "page_number": 2,
        "native_width_px": 700,
    }
    return plain | values | changes


def test_the_truth_is_found_through_the_page() -> None:
    (item,) = compare([row()], [GEL, HE])

    assert item.panel is HE
    assert (item.true_x, item.predicted_x) == (pytest.approx(20), pytest.approx(25))
    assert (item.lo_x, item.hi_x) == (pytest.approx(10 / 0.6), pytest.approx(10 / 0.3))
    assert item.is_covered is True


def test_a_coarser_file_of_the_panel_has_a_lower_true_magnification() -> None:
    (item,) = compare([row(native_width_px=350)], [HE])

    assert item.true_x == pytest.approx(10)
    assert item.is_covered is False


def test_a_part_of_the_panel_keeps_its_scale() -> None:
    half = BoxPt(BOX.x0, BOX.y0, BOX.x0 + BOX.width * 0.6, BOX.y1)

    (item,) = compare([row(half, native_width_px=420)], [HE])

    assert item.true_x == pytest.approx(20)


@pytest.mark.parametrize(
    "changes", [{"page_number": 3}, {"article_id": "PMC2.1"}, {"box": BoxPt(48, 300, 248, 450)}, {"box": None}]
)
def test_elsewhere_is_no_match(changes: dict[str, object]) -> None:
    (item,) = compare([row(**changes)], [HE])

    assert item.panel is None and item.is_mistake and item.is_covered is None


def test_a_decoy_taken_for_tissue_is_named_as_a_mistake() -> None:
    items = compare([row(), row(GEL.page_box, snapshot_id="PMC1.1/f1/b/s1", image_abstained=1)], [HE, GEL])

    lines = sentences(items, [HE])

    assert lines[0] == "H&E panels drawn where they may be used: 1, found: 1."
    assert "PMC1.1/f1/b/s1 (gel)" in lines[1]
    assert "1 estimated, 1 abstained" in lines[2] and "in 1 of 1" in lines[2]


def item(**changes: object) -> Compared:
    plain = {
        "snapshot_id": "s",
        "image_path": "p",
        "panel": HE,
        "true_x": 20.0,
        "predicted_x": 19.6,
        "lo_x": 15.0,
        "hi_x": 26.0,
        "abstained": False,
        "reason": None,
    }
    return Compared(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("predicted 19.6x (15-26)", "true 20x")),
        ({"abstained": True}, ("abstained (guess 19.6x)", "true 20x")),
        ({"abstained": True, "predicted_x": None}, ("abstained", "true 20x")),
        ({"predicted_x": None}, ("no estimate", "true 20x")),
        ({"true_x": None, "panel": GEL}, ("predicted 19.6x (15-26)", "no H&E: gel")),
        ({"true_x": None, "panel": None}, ("predicted 19.6x (15-26)", "no H&E: unknown")),
    ],
)
def test_captions_say_prediction_and_truth(changes: dict[str, object], expected: tuple[str, str]) -> None:
    assert caption_lines(item(**changes)) == expected


def test_the_contact_sheet_shows_every_snapshot_whatever_its_shape() -> None:
    pictures = {"wide": (40, 900), "tall": (900, 40), "tiny": (3, 2), "plain": (300, 400)}
    items = [item(image_path=name, snapshot_id=name) for name in pictures] + [item(image_path="plain", hi_x=18.0)]

    sheet = contact_sheet(items, lambda name: np.full((*pictures[name], 3), 90, np.uint8), columns=2)

    assert sheet.dtype == np.uint8 and sheet.shape[1] == 2 * (264 + 14) + 14
    assert (sheet == 90).all(2).sum() == 5 * 264 * 198
    assert (sheet == (24, 122, 66)).all(2).any() and (sheet == (190, 74, 20)).all(2).any()


def test_an_empty_harvest_gives_an_empty_sheet() -> None:
    assert contact_sheet([], lambda name: np.zeros((1, 1, 3), np.uint8)).ndim == 3


def test_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "secret")
    monkeypatch.setenv("HARVESTER_EMAIL", "me@example.org")

    with environment({"HARVESTER_EMAIL": "demo@example.org", "HARVESTER_EUTILS_URL": "http://127.0.0.1:1/e"}):
        inside = dict(os.environ)

    assert "NCBI_API_KEY" not in inside and inside["HARVESTER_EMAIL"] == "demo@example.org"
    assert os.environ["NCBI_API_KEY"] == "secret" and os.environ["HARVESTER_EMAIL"] == "me@example.org"
    assert "HARVESTER_EUTILS_URL" not in os.environ


def test_the_demonstration_serves_harvests_and_compares(tmp_path: Path) -> None:
    out, said, printed = tmp_path / "out", [], []

    def harvest(query: str, folder: Path) -> int:
        params = {"db": "pmc", "term": query, "retmode": "json"}
        reply = requests.get(os.environ["HARVESTER_EUTILS_URL"] + "/esearch.fcgi", params=params, timeout=10)
        assert reply.json()["esearchresult"]["count"] == "1"
        folder.mkdir()
        cv2.imwrite(str(folder / "x.png"), np.full((50, 60, 3), 99, np.uint8))
        return 1

    plan = [PLAN[6]]
    code = run_demo(
        out,
        harvest,
        lambda folder, query: [row(article_id="PMC99000001.1", image_path="x.png")],
        say=said.append,
        echo=printed.append,
        plan=plan,
    )

    assert code == 1
    assert cv2.imread(str(out / SHEET_NAME)) is not None
    assert {p["article_id"] for p in json.loads((out / TRUTH_NAME).read_text())} == {"PMC99000001.1"}
    assert any("harvester run" in line for line in printed)
