"""Splits follow the article, for ever."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from harvester.export.splits import SPLITS, split_key, split_of


@given(st.text(max_size=60))
def test_a_key_always_has_the_split_of_its_documented_hash(key):
    bucket = int(hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(), 16) % 100

    expected = "test" if bucket < 10 else "val" if bucket < 20 else "train"

    assert split_of(key) == expected


def test_splits_never_move():
    known = {"PMC1": "train", "PMC2": "test", "PMC13": "test", "PMC100": "train", "case 7": "train"}

    assert {key: split_of(key) for key in known} == known


def test_about_a_tenth_each_is_held_out():
    shares = [sum(split_of(f"PMC{i}") == name for i in range(5000)) / 5000 for name in SPLITS]

    assert 0.78 < shares[0] < 0.82
    assert 0.08 < shares[1] < 0.12
    assert 0.08 < shares[2] < 0.12


def test_all_versions_of_an_article_and_all_files_of_a_group_stay_together():
    row = {"group_name": None, "pmcid": "PMC1", "article_id": "PMC1.1"}

    assert split_key(row) == split_key({**row, "article_id": "PMC1.2"}) == "PMC1"
    assert split_key({"group_name": "case 7", "pmcid": None, "article_id": "local-0"}) == "case 7"
    assert split_key({"group_name": None, "pmcid": None, "article_id": "local-0"}) == "local-0"
