"""Pictures that are there twice: one stays, none crosses a split, whatever is harvested later."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.export.duplicates import ACROSS, KEPT, NEAR_BITS, TWICE, PictureHashes

TEST, VAL, TRAIN = 0, 1, 2


def judge(pictures: list[tuple[int, int, int]], *, keep_within: bool = False) -> list[int]:
    hashes = PictureHashes()
    for file, phash, rank in pictures:
        hashes.add(f"{file:064x}"[::-1], f"{phash:016x}", rank)
    return hashes.judge(keep_within=keep_within).tolist()


def test_the_same_file_stays_once():
    assert judge([(1, 0xF0F0, TRAIN), (1, 0xF0F0, TRAIN), (2, 1 << 60, TRAIN)]) == [KEPT, TWICE, KEPT]


def test_a_copy_with_few_other_bits_is_the_same_and_one_with_more_is_not():
    first = 0x123456789ABCDEF0

    assert judge([(1, first, TRAIN), (2, first ^ 0x8001_0000_0000_0001, TRAIN)]) == [KEPT, TWICE]
    assert judge([(1, first, TRAIN), (2, first ^ 0x8001_0001_0000_0001, TRAIN)]) == [KEPT, KEPT]


def test_what_is_held_out_stays_and_its_copy_in_training_goes():
    assert judge([(1, 5, TRAIN), (2, 5, VAL), (3, 5, TEST)]) == [ACROSS, ACROSS, KEPT]
    assert judge([(1, 5, TRAIN), (1, 5, TEST), (1, 5, TRAIN)], keep_within=True) == [ACROSS, KEPT, ACROSS]
    assert judge([(1, 5, TRAIN), (1, 5, TRAIN)], keep_within=True) == [KEPT, KEPT]


def near_hashes(rank: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, int, int]]]:
    """Pictures with few different files and hashes of twelve free bits, three in each chunk, so that many are near."""
    bits = st.integers(0, 2**12 - 1).map(lambda b: sum(((b >> (3 * k)) & 7) << (16 * k) for k in range(4)))
    return st.lists(st.tuples(st.integers(0, 40), bits, rank), max_size=40)


def same(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return one[0] == other[0] or (one[1] ^ other[1]).bit_count() <= NEAR_BITS


@settings(deadline=None, max_examples=60)
@given(near_hashes(st.integers(0, 2)))
def test_no_two_that_stay_are_the_same(pictures):
    verdicts = judge(pictures)

    kept = [picture for picture, verdict in zip(pictures, verdicts, strict=True) if verdict == KEPT]
    assert not any(same(one, other) for i, one in enumerate(kept) for other in kept[:i])


@settings(deadline=None, max_examples=60)
@given(near_hashes(st.integers(0, 2)), near_hashes(st.integers(0, 2)), st.randoms(use_true_random=False))
def test_a_larger_harvest_never_trains_on_what_a_smaller_one_held_out(early, late, random):
    tested = [
        picture for picture, verdict in zip(early, judge(early), strict=True) if verdict == KEPT and picture[2] == TEST
    ]
    larger = [*early, *late]
    random.shuffle(larger)

    verdicts = judge(larger, keep_within=random.random() < 0.5)

    trained = [p for p, verdict in zip(larger, verdicts, strict=True) if verdict == KEPT and p[2] == TRAIN]
    assert not any(same(one, other) for one in tested for other in trained)


def test_every_near_pair_among_random_hashes_is_found():
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**63, 400, np.uint64).tolist()
    flips = [[int(b) for b in rng.choice(64, int(n), replace=False)] for n in rng.integers(0, 4, 400)]
    copies = [value ^ sum(1 << bit for bit in own) for value, own in zip(bits, flips, strict=True)]

    verdicts = judge([(i, value, TRAIN) for i, value in enumerate([*bits, *copies])])

    assert verdicts == [KEPT] * 400 + [TWICE] * 400


def test_none_is_none():
    assert judge([]) == []
