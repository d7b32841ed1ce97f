from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hagnifinder.data.slides import group_of, read_catalog
from hagnifinder.data.splits import Split, find_salt, split_of
from hagnifinder.errors import DataError

HEAD = "path,dataset,mpp_um,scale_quality,stain,kind,slide_id\n"

barcodes = st.from_regex(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}", fullmatch=True)


@given(barcodes, st.sampled_from(["-01Z-00-DX1", "-01A-01-TS1", "", "-01Z-00-DX1_4"]), st.text(max_size=9))
def test_a_tcga_patient_is_on_one_side_whatever_the_slide_and_the_collection(
    patient: str, slide: str, dataset: str
) -> None:
    assert split_of(group_of(patient + slide, dataset)) is split_of(group_of(patient, "MoNuSeg"))


@given(st.lists(st.text(min_size=1), unique=True, min_size=1), st.text(min_size=1))
def test_adding_a_patient_moves_nobody(groups: list[str], newcomer: str) -> None:
    before = {group: split_of(group) for group in groups}

    assert before == {group: split_of(group) for group in [*groups, newcomer] if group in before}


def test_the_sides_of_known_patients_never_change() -> None:
    # These are what the shipped weights were trained and tested on.
    assert split_of("her2st_patientC") is Split.TRAIN
    assert split_of("her2st_patientA") is Split.CALIBRATION
    assert split_of("Osteosarcoma_UT/OST_P9") is Split.TEST


def test_adjacent_sections_and_tiles_of_one_specimen_share_a_group() -> None:
    assert group_of("her2st_patientC/C2", "HER2ST") == group_of("her2st_patientC/C6", "HER2ST")
    assert group_of("CPM_gbm_giantcell", "CPM-15") == group_of("CPM_gbm_giantcell", "CPM-17")
    assert group_of("10x V1_Adult_Mouse_Brain", "a") == group_of("10x V1_Mouse_Brain_Sagittal_Anterior", "b")
    assert group_of("1", "one set") != group_of("1", "another set")


def test_a_salt_that_suits_the_data_is_found_or_the_search_says_so() -> None:
    salt = find_salt(["a", "b"], lambda sides: sides["a"] is Split.TEST and sides["b"] is Split.TRAIN)

    assert split_of("a", salt) is Split.TEST
    with pytest.raises(ValueError, match="none of 3"):
        find_salt(["a"], lambda sides: False, tries=3)


def test_no_patient_of_the_real_catalog_is_on_two_sides_and_every_side_has_coarse_pictures(shared_dir: Path) -> None:
    images = read_catalog(shared_dir / "histology")
    sides = defaultdict(set)
    for image in images:
        sides[image.group].add(split_of(image.group))

    assert all(len(found) == 1 for found in sides.values())
    assert {split_of(image.group) for image in images if image.mpp_um > 3} == set(Split)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "needs a catalog"),
        ("a,b\n1,2\n", "needs the columns"),
        (HEAD + "x.png,d,fine,A,H&E,he,s\n", "no number"),
        (
            HEAD + "../../etc/passwd,d,1,A,H&E,he,s\n",
            "stay in the folder",
        ),
        (HEAD + "x.png,d,1,A,IHC,ihc,s\n", "no H&E image"),
    ],
)
def test_a_catalog_that_is_none_is_refused_in_one_sentence(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "catalog.csv").write_text(text)

    with pytest.raises(DataError, match=says):
        read_catalog(tmp_path)
