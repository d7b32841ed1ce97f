import math
from pathlib import Path

import pytest
from PIL import Image

from hagnifinder.data.breakhis import (
    N_FOLDS,
    OBJECTIVES_X,
    BreakHisImage,
    is_breakhis,
    read_breakhis,
    sides,
    slope_test,
)
from hagnifinder.data.splits import Split
from hagnifinder.errors import DataError


def write_breakhis(folder: Path, *, n_patients: int = 6, n_each: int = 1, side_px: tuple[int, int] = (70, 46)) -> Path:
    """Blank photographs in the folders and under the names of the real data set."""
    for number in range(n_patients):
        kind, tumour = (("B", "A"), ("M", "DC"))[number % 2]
        group = ("benign", "malignant")[number % 2]
        slide = f"{14000 + number}{'AB'[number // 2 % 2] if number % 3 else ''}"
        for power in (40, 100, 200, 400):
            place = (
                folder / "BreaKHis_v1/histology_slides/breast" / group / "SOB/type" / f"SOB_{kind}_{tumour}-14-{slide}"
            ) / f"{power}X"
            place.mkdir(parents=True)
            for i in range(n_each):
                name = f"SOB_{kind}_{tumour}-14-{slide}-{power}-{i + 1:03d}.png"
                Image.new("RGB", side_px, (200, 120, 160)).save(place / name)
    return folder


def test_the_folder_is_read_as_it_is_distributed(tmp_path: Path) -> None:
    write_breakhis(tmp_path, n_patients=6, n_each=2)

    images = read_breakhis(tmp_path)

    assert is_breakhis(tmp_path) and is_breakhis(tmp_path / "BreaKHis_v1")
    assert len(images) == 6 * 4 * 2
    assert {i.objective_x for i in images} == set(OBJECTIVES_X)
    assert {i.patient for i in images} == {f"{14000 + n}" for n in range(6)}  # letters of slides are dropped
    assert {(i.tumour, i.is_malignant) for i in images} == {("A", False), ("DC", True)}


def test_each_patient_tests_once_and_is_never_on_two_sides(tmp_path: Path) -> None:
    images = read_breakhis(write_breakhis(tmp_path, n_patients=11))
    patients = {i.patient for i in images}

    folds = [sides(images, fold) for fold in range(N_FOLDS)]

    for fold in folds:
        assert set(fold) == patients
        assert set(fold.values()) == set(Split)
    for patient in patients:
        assert sorted(f[patient] for f in folds).count(Split.TEST) == 1
    assert folds == [sides(list(reversed(images)), fold) for fold in range(N_FOLDS)]


def test_the_patient_under_two_tumours_stays_on_one_side() -> None:
    images = [
        BreakHisImage(Path(f"{n}-{t}.png"), n, t, True, 4.0)
        for n in ("13412", "1", "2", "3", "4")
        for t in (("DC", "LC") if n == "13412" else ("DC",))
    ]

    assert len(sides(images, 0)) == 5


@pytest.mark.parametrize("um_at_4x", [0.492, 1.625])
def test_the_slope_is_minus_one_on_either_ladder(um_at_4x: float) -> None:
    images = [
        BreakHisImage(Path("a.png"), f"p{n}", "DC", True, x) for n in range(5) for x in OBJECTIVES_X for _ in range(2)
    ]

    right = slope_test(images, [math.log2(um_at_4x * 4 / i.objective_x) for i in images])
    blind = slope_test(images, [0.0 for _ in images])
    half = slope_test(images, [-0.5 * math.log2(i.objective_x) for i in images])

    assert right.median == pytest.approx(-1.0)
    assert right.low == pytest.approx(-1.0) and right.high == pytest.approx(-1.0)
    assert blind.median == pytest.approx(0.0)
    assert half.median == pytest.approx(-0.5)
    assert set(right.per_patient) == {f"p{n}" for n in range(5)}


def test_a_patient_seen_through_one_objective_has_no_slope() -> None:
    image = BreakHisImage(Path("a.png"), "p", "DC", True, 4.0)

    with pytest.raises(DataError, match="two objectives"):
        slope_test([image, image], [0.0, 1.0])
    with pytest.raises(DataError, match="two objectives"):
        slope_test([image, BreakHisImage(Path("b.png"), "p", "DC", True, 40.0)], [0.0, math.nan])


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not BreakHis"):
        read_breakhis(tmp_path)
    (tmp_path / "histology_slides/breast").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no photograph"):
        read_breakhis(tmp_path)
    wrong = tmp_path / "histology_slides/breast/40X"
    wrong.mkdir()
    Image.new("RGB", (8, 8)).save(wrong / "SOB_B_A-14-22549AB-400-001.png")
    with pytest.raises(DataError, match="its name says 400X"):
        read_breakhis(tmp_path)
    with pytest.raises(DataError, match="folds 0 to 4"):
        sides([], 7)
    with pytest.raises(DataError, match="cannot be dealt"):
        sides([BreakHisImage(Path("a"), "1", "A", False, 4.0)], 0)
