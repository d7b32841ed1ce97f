import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.subject.organs import BY_NAME, ORGANS
from harvester.subject.read import organs_in, read_subject
from harvester.subject.species import SPECIES


def test_the_list_of_organs_has_each_name_and_id_once():
    assert 60 <= len(ORGANS) <= 90
    assert len({o.name for o in ORGANS}) == len({o.uberon_id for o in ORGANS}) == len(ORGANS)
    assert all(re.fullmatch(r"UBERON:\d{7}", o.uberon_id) for o in ORGANS)
    assert all(o.part_of is None or o.part_of in BY_NAME for o in ORGANS)


@pytest.mark.parametrize("organ", ORGANS, ids=lambda o: o.name)
def test_every_organ_is_read_by_its_own_name(organ):
    assert organs_in(f"Histology of the {organ.name} of a rat (H&E).") == (organ.name,)


def test_every_species_is_named_by_two_words_and_has_one_scientific_name():
    assert len({name for name, _ in SPECIES}) == len(SPECIES)
    assert all(re.fullmatch(r"[A-Z][a-z]+ [a-z]+(?: [a-z]+)?", name) for name, _ in SPECIES)


@pytest.mark.parametrize(
    ("words", "organ"),
    [
        ("Liver metastasis of colon carcinoma (H&E)", "liver"),
        ("Breast cancer metastasis to the lymph node (H&E)", "lymph node"),
        ("Metastasis from the kidney in the lung (H&E)", "lung"),
        ("Kidney biopsy of a patient with heart failure", "kidney"),
        ("H&E stain of duodenum, small intestine", "duodenum"),
        ("Sections of the pancreas, spleen, ovaries and uterus (H&E)", None),
        ("Bone marrow biopsy (H&E)", "bone marrow"),
        ("H&E stained HEK-293 human embryonic kidney cells", None),
        ("Kidney weights of mice; bars are means", None),
        ("PCR products of liver DNA", None),
        ("H&E of a human colon carcinoma xenograft in nude mice", None),
        ("Mass adjacent to the bladder", None),
        ("Breast core biopsy shows colorectal metastatic adenocarcinoma", "breast"),
        ("Sections of LNCaP xenograft prostate tumors", None),
        ("Cells positive for prostate-specific antigen (IHC)", None),
    ],
)
def test_the_organ_is_where_the_tissue_was_taken_from(words, organ):
    assert read_subject(words, words, "", ()).organ == organ


@pytest.mark.parametrize(
    ("words", "title", "mesh", "species"),
    [
        ("Liver of Wistar rats (H&E)", "", (), "Rattus norvegicus"),
        ("Liver, rabbit anti-mouse antibody", "", (), None),
        ("Liver of a 45-year-old woman", "", (), "Homo sapiens"),
        ("Liver (H&E)", "A case report", (), "Homo sapiens"),
        ("Liver (H&E)", "", ("Animals", "Mice"), "Mus musculus"),
        ("Livers of mice and rats", "", (), None),
        ("Human tumour in nude mice", "", (), None),
        ("Liver (H&E)", "", (), None),
    ],
)
def test_the_species_is_read_or_left_open(words, title, mesh, species):
    assert read_subject(words, words, title, mesh).species == species


def test_each_answer_says_where_it_comes_from():
    caption = "Organs of Wistar rats. (A) Normal liver (H&E). (B) Hepatocellular carcinoma (H&E)."

    a = read_subject("Organs of Wistar rats. (A) Normal liver (H&E).", caption, "Liver cancer", ())
    b = read_subject("Organs of Wistar rats. (B) Hepatocellular carcinoma (H&E).", caption, "Liver cancer", ())

    assert (a.organ, a.organ_id, a.organ_source) == ("liver", "UBERON:0002107", "panel")
    assert (a.species, a.species_source) == ("Rattus norvegicus", "caption")
    assert a.diagnosis_text is None
    assert (b.diagnosis_text, b.diagnosis_source) == ("Hepatocellular carcinoma", "panel")


@pytest.mark.parametrize(
    ("words", "diagnosis"),
    [
        ("Section of invasive ductal carcinoma of the breast", "invasive ductal carcinoma of the breast"),
        ("No evidence of adenocarcinoma", None),
        ("Histology excludes lymphoma", None),
        ("A tumor", None),
        ("Stroma and melanoma cells", None),
        ("Sections of oral squamous cell carcinoma", "oral squamous cell carcinoma"),
        ("Grossly, the tumor of the transverse colon forms an ulcer", None),
        ("Section showing chronic hepatitis", "chronic hepatitis"),
    ],
)
def test_the_diagnosis_is_verbatim(words, diagnosis):
    assert read_subject(words, words, "", ()).diagnosis_text == diagnosis


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=80), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_is_read_without_complaint(part, caption, title, mesh):
    reading = read_subject(part, caption, title, mesh)

    assert (reading.organ is None) == (reading.organ_id is None) == (reading.organ_score is None)


@pytest.mark.parametrize("unit", ["liver ", "liver, ", "metastasis of ", "a", "carcinoma ", "rat anti-mouse ", "( "])
def test_hostile_words_cost_less_than_a_second(unit):
    words = (unit * 100_000)[:100_000]
    begin = time.process_time()

    read_subject(words, words, words, [words], [words])

    assert time.process_time() - begin < 1.0
