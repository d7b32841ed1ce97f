import pytest

from hagnifinder.builders.recipe import HAGNI40, KIMIA5MAG, cuts_of


@pytest.mark.parametrize(
    ("level_x", "patch_px"),
    [(1, 224), (2, 224), (3, 336), (4, 256), (7, 448), (8, 256), (15, 480), (16, 256), (31, 496), (32, 256), (40, 320)],
)
def test_a_patch_has_the_paper_s_size(level_x: int, patch_px: int) -> None:
    (cut,) = [
        cut
        for rule in HAGNI40.tiles
        for cut in cuts_of(HAGNI40, rule, 40.0, rule.side_px(40.0))
        if cut.level_x == level_x
    ]

    assert cut.patch_px == patch_px
    assert cut.shrink == pytest.approx(40 / level_x, rel=0.002)


def test_there_are_forty_levels_and_five() -> None:
    assert HAGNI40.levels_x == tuple(float(m) for m in range(1, 41))
    assert KIMIA5MAG.levels_x == (2.5, 5.0, 10.0, 20.0, 40.0)
    assert {KIMIA5MAG.patch_px(rule, m) for rule in KIMIA5MAG.tiles for m in rule.levels_x} == {224}


def test_a_slide_gives_no_level_above_its_own_and_the_same_field_of_tissue() -> None:
    rule = HAGNI40.tiles[0]

    cuts = cuts_of(HAGNI40, rule, 20.0, rule.side_px(20.0))

    assert rule.side_px(20.0) == 1280
    assert max(c.level_x for c in cuts) == 20
    assert all(c.patch_px == HAGNI40.patch_px(rule, c.level_x) for c in cuts)


def test_a_small_field_gives_the_levels_of_which_it_holds_224_pixels() -> None:
    # A tile of 1,000 px at 0.25 µm shows 250 µm.
    cuts = {c.level_x: c for c in cuts_of(HAGNI40, HAGNI40.tiles[0], 40.0, 1000)}

    assert min(cuts) == 9
    assert cuts[9].patch_px == 225
    assert cuts[40].patch_px == 320
    assert all(c.source_px <= 1000 for c in cuts.values())
