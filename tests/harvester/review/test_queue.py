"""The order of the queue, its filters, and verdicts that meet."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from harvester.geometry import BoxPx
from harvester.records import ArticleResult, Asset, FigureRow, PanelRow, SnapshotRow
from harvester.review.drawing import CannotDraw, PictureCache
from harvester.review.item import draw_context, drawn_bar, round_length_um
from harvester.review.queue import Filters, Queue
from harvester.review.verdicts import Outdated, ReviewRefused, Verdict, save_verdict, withdraw_newest
from tests.harvester.review.conftest import add_figure, page_with, tissue
from tests.harvester.small_harvest import make_article, make_estimate, save_model, store_png

ORDER = ["PMC4.1", "PMC3.1", "PMC2.1", "PMC5.1", "PMC1.1"]
"""Conflict, no scale, wide, low score, nothing."""


@pytest.fixture
def queue(harvest) -> Queue:
    queue = Queue(harvest)
    assert queue.refresh()
    return queue


def ask(harvest, queue, *, reviewer="ann", beside=None, backwards=False, limit=60, **filters) -> list[str]:
    with harvest.reading() as connection:
        found = queue.page(connection, Filters(**filters), reviewer, beside=beside, backwards=backwards, limit=limit)
    return [snapshot_id.partition("/")[0] for snapshot_id in found]


def say(harvest, number, verdict, reviewer="ann", x=None, seen=None, blind=False, **values):
    told = Verdict(f"PMC{number}.1/f1/a/s1", verdict, reviewer, x, **values)
    return save_verdict(harvest, told, seen=seen, blind=blind)


class TestOrder:
    def test_the_greatest_doubt_comes_first(self, harvest, queue):
        assert ask(harvest, queue) == ORDER

    def test_page_by_page_in_both_directions_it_is_the_same(self, harvest, queue):
        second = ask(harvest, queue, beside="PMC3.1/f1/a/s1", limit=2)
        back = ask(harvest, queue, beside="PMC5.1/f1/a/s1", backwards=True, limit=2)

        assert (second, back) == (ORDER[2:4], ORDER[1:3])

    def test_reviewers_who_differ_move_up_at_once(self, harvest, queue):
        first = say(harvest, 1, "accept", "ann")
        say(harvest, 1, "reject", "bob", seen=first)

        assert ask(harvest, queue, state="all")[:2] == ["PMC4.1", "PMC1.1"]
        assert ask(harvest, queue, state="differ") == ["PMC1.1"]

        withdraw_newest(harvest, "bob")
        assert ask(harvest, queue, state="all") == ORDER

    def test_it_is_made_anew_only_when_the_harvest_has_changed(self, harvest, queue):
        say(harvest, 1, "accept")
        assert not Queue(harvest).refresh()

        add_figure(harvest, 6, bar_um=3.0)
        again = Queue(harvest)

        assert again.refresh()
        assert set(ask(harvest, again, doubt="conflict")) == {"PMC4.1", "PMC6.1"}
        assert ask(harvest, again, state="accept") == ["PMC1.1"]

    def test_two_models_that_disagree_are_a_reason(self, harvest):
        save_model(harvest, "other@1", rank=1)
        harvest.save_estimates([make_estimate("PMC1.1/f1/a/s1", 2.0, model_id="other@1")])
        queue = Queue(harvest)
        queue.refresh()

        assert ask(harvest, queue, doubt="disagreement") == ["PMC1.1"]


class TestFollowing:
    """A queue that followed a changing harvest is the one that is made of the changed harvest."""

    def made_anew(self, harvest) -> list[tuple]:
        harvest.set_checkpoint("review_queue", None)
        Queue(harvest).refresh()
        return self.kept(harvest)

    def kept(self, harvest) -> list[tuple]:
        found = [
            "SELECT rank, position, snapshot_id, doubt, verdict, organ, journal, year FROM review_queue ORDER BY 2",
            "SELECT reviewer, position FROM review_seen ORDER BY 1, 2",
            "SELECT rowid, caption, tags FROM review_search ORDER BY rowid",
        ]
        return [tuple(row.values()) for query in found for row in harvest.rows(query)]

    @pytest.mark.parametrize(
        "change",
        [
            lambda harvest: add_figure(harvest, 1, n=3, bar_um=4.0, caption="Spleen now."),
            lambda harvest: add_figure(harvest, 4, width=3.0, journal="Another", year=1999),
            lambda harvest: add_figure(harvest, 6, n=2, abstained=True),
            lambda harvest: harvest.save_result(ArticleResult("PMC2.1")),
            lambda harvest: harvest.save_estimates([make_estimate("PMC3.1/f1/a/s1", 0.9, width=1.1)]),
            lambda harvest: save_model(harvest, "other@1", rank=-1),
        ],
        ids=["more panels", "another journal", "a new article", "an article emptied", "an estimate", "a better model"],
    )
    def test_every_change_is_followed(self, harvest, queue, change):
        say(harvest, 1, "accept", "ann")
        say(harvest, 2, "reject", "bob")

        change(harvest)
        assert Queue(harvest).refresh()
        followed = self.kept(harvest)

        assert not Queue(harvest).refresh()
        assert followed == self.made_anew(harvest)

    def test_only_what_changed_is_ranked_again(self, harvest, queue):
        add_figure(harvest, 4, bar_um=3.0)
        written = []

        queue.refresh(written.append)

        assert written == [1]

    def test_a_trigger_that_is_gone_makes_the_whole_anew(self, harvest, queue):
        with harvest.writing() as connection:
            connection.exec_driver_sql("DROP TRIGGER review_mark_snapshot_insert")
        add_figure(harvest, 6)
        written = []

        queue.refresh(written.append)

        assert written == [6]

    def test_writing_goes_on_without_a_queue(self, harvest):
        say(harvest, 1, "accept")

        Queue(harvest).refresh()

        assert [row["reviewer"] for row in harvest.rows("SELECT reviewer FROM review_seen")] == ["ann"]

    def test_what_was_taken_back_is_open_again(self, harvest, queue):
        say(harvest, 4, "accept")
        say(harvest, 4, "reject")
        assert ask(harvest, queue) == ORDER[1:]

        withdraw_newest(harvest, "ann")
        assert ask(harvest, queue) == ORDER[1:]
        withdraw_newest(harvest, "ann")
        assert ask(harvest, queue) == ORDER

    def test_words_and_filters_follow_a_verdict(self, harvest, queue):
        say(harvest, 5, "reject")

        assert ask(harvest, queue, words="kidney", state="reject") == ["PMC5.1"]
        assert ask(harvest, queue, words="kidney", state="none") == []
        assert ask(harvest, queue, year=2020, journal="J Kidney", state="reject") == ["PMC5.1"]


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"doubt": "conflict"}, ["PMC4.1"]),
            ({"journal": "J Kidney"}, ["PMC5.1"]),
            ({"year": 2021}, ["PMC4.1"]),
            ({"words": "kidney"}, ["PMC5.1"]),
            ({"words": "livers"}, ["PMC4.1", "PMC3.1", "PMC2.1", "PMC1.1"]),
            ({"words": "liver kidney"}, []),
            ({"words": "liver", "year": 2021}, ["PMC4.1"]),
            ({"words": "liver", "doubt": "wide"}, ["PMC2.1"]),
            ({"words": 'tags:year "x OR liver*'}, []),
            ({"journal": "Journal of Bars", "year": 2021}, ["PMC4.1"]),
            ({"journal": "Journal of Bars", "year": 2020}, []),
            ({"journal": "J Kidney", "doubt": "low_score", "state": "none"}, ["PMC5.1"]),
            ({"state": "accept"}, []),
        ],
    )
    def test_what_they_leave(self, harvest, queue, filters, found):
        assert ask(harvest, queue, **filters) == found

    def test_what_i_have_looked_at_is_open_to_others(self, harvest, queue):
        say(harvest, 4, "accept", "ann")

        assert ask(harvest, queue) == ORDER[1:]
        assert ask(harvest, queue, reviewer="bob") == ORDER
        assert ask(harvest, queue, reviewer="bob", state="none") == ORDER[1:]

    def test_a_blind_queue_tells_nothing(self, harvest):
        queue = Queue(harvest, blind=True)
        queue.refresh()
        hashes = {row["article_id"]: row["image_sha256"] for row in harvest.snapshots()}

        assert ask(harvest, queue) == sorted(hashes, key=hashes.__getitem__)
        assert Filters.read({"words": "x400", "doubt": "conflict", "year": "2020"}, blind=True) == Filters(year=2020)


class TestVerdicts:
    def test_a_kind_other_than_he_rejects(self, harvest):
        say(harvest, 1, "correct", kind="ihc")

        row = next(harvest.snapshots())

        assert (row["review_verdict"], row["kind"]) == ("reject", "he")

    def test_letter_and_box_alone_change_no_scale(self, harvest):
        say(harvest, 1, "correct", panel_label="Q", box=BoxPx(0, 0, 10, 10))

        row = next(harvest.snapshots())

        assert (row["review_verdict"], row["magnification_source"], row["panel_label"]) == ("correct", "image", "A")

    def test_somebody_elses_verdict_in_between_is_told_and_both_are_kept(self, harvest):
        theirs = say(harvest, 1, "correct", "bob", 40.0)

        with pytest.raises(Outdated, match="bob has meanwhile said correct to 40x"):
            say(harvest, 1, "accept", "ann")
        say(harvest, 1, "accept", "ann", seen=theirs)

        assert len(harvest.rows("SELECT * FROM review")) == 2

    def test_two_who_press_at_once_lose_nothing(self, harvest):
        refused = []

        def press(name: str) -> None:
            for number in range(1, 6):
                try:
                    say(harvest, number, "accept", name)
                except Outdated as error:
                    refused.append(str(error))

        threads = [threading.Thread(target=press, args=(name,)) for name in ("ann", "bob", "cem")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(harvest.rows("SELECT * FROM review")) + len(refused) == 15
        assert len(harvest.rows("SELECT DISTINCT snapshot_id FROM review")) == 5

    def test_taking_back_goes_one_by_one_and_only_over_ones_own(self, harvest):
        say(harvest, 1, "accept", "ann")
        say(harvest, 2, "reject", "ann")
        say(harvest, 3, "reject", "bob")

        taken = [withdraw_newest(harvest, "ann") for _ in range(3)]

        assert taken == ["PMC2.1/f1/a/s1", "PMC1.1/f1/a/s1", None]
        assert {row["review_verdict"] for row in harvest.snapshots()} == {None, "reject"}

    @pytest.mark.parametrize("values", [{"x": 0.0}, {"x": float("inf")}, {"reviewer": " "}, {"note": "x" * 2001}])
    def test_what_cannot_be_is_refused(self, harvest, values):
        with pytest.raises(ReviewRefused):
            say(harvest, 1, "correct", **{"x": 20.0} | values)


class TestPictures:
    @pytest.mark.parametrize(
        ("longest", "length"), [(9.9, 5.0), (10.0, 10.0), (49.0, 20.0), (0.3, 0.2), (2500.0, 2000.0)]
    )
    def test_the_scale_bar_has_a_round_length(self, longest, length):
        assert round_length_um(longest) == pytest.approx(length)

    @pytest.mark.parametrize("mpp_um", [0.05, 0.5, 7.3])
    def test_it_stands_in_the_picture_at_its_true_length(self, mpp_um):
        bar = drawn_bar(mpp_um, 400, 300)
        value, unit = bar.label.split()

        assert float(value) * (1000 if unit == "mm" else 1) == pytest.approx(bar.length_px * mpp_um)
        assert bar.x_px > 0 and bar.x_px + bar.length_px < 400 and 0 < bar.y_px < 300

    @pytest.mark.parametrize("rotation", [0, 90])
    def test_the_figure_is_drawn_from_its_page_with_both_outlines(self, harvest, rotation):
        add_figure(harvest, 7, n=2, pdf=page_with(tissue(7), rotation=rotation))
        with harvest.reading() as connection:
            image = Image.open(io.BytesIO(draw_context(connection, harvest.root, "PMC7.1/f1/b/s1")))

        assert image.format == "JPEG" and max(image.size) <= 1600
        # panel b is the right half, from 200 to 300 pt; the drawing begins 14 pt left of the figure
        scale = image.width / (200 + 28)
        red, green, blue = image.getpixel((round(114 * scale) + 2, image.height // 2))
        assert (rotation != 0) or (red > 150 and green < 130 and blue < 130)

    def test_a_damaged_or_missing_pdf_costs_the_figure_only(self, harvest):
        path = harvest.root / "articles/PMC1.1/PMC1.1.pdf"
        for change in (lambda: path.write_bytes(b"%PDF-1.7 broken"), path.unlink):
            change()
            with harvest.reading() as connection, pytest.raises(CannotDraw):
                draw_context(connection, harvest.root, "PMC1.1/f1/a/s1")

    @pytest.mark.parametrize("is_large", [False, True])
    def test_a_picture_of_ones_own_is_its_own_figure(self, harvest, is_large, monkeypatch):
        article = make_article(8, source="local")
        png = tissue(8)
        (harvest.root / "articles/PMC8.1").mkdir()
        (harvest.root / "articles/PMC8.1/mine.png").write_bytes(png)
        harvest.save_article(article, [Asset("mine.png", "media", len(png), "0" * 32, "0" * 64)])
        panel = PanelRow("PMC8.1/f1/p1", "PMC8.1/f1", None, "", BoxPx(0, 0, 400, 300), None, 400, 300, "he", 0.9)
        path = store_png(harvest.root, png)
        shot = SnapshotRow("PMC8.1/f1/p1/s1", panel.panel_id, BoxPx(200, 0, 400, 300), 0.9, 0.7, *path, "0" * 16)
        figure = FigureRow("PMC8.1/f1", None, "", None, None, None, 400, 300, "media")
        harvest.save_result(ArticleResult("PMC8.1", figures=(figure,), panels=(panel,), snapshots=(shot,)))
        if is_large:
            monkeypatch.setattr("harvester.review.drawing.MAX_SOURCE_PX", 1000)

        with harvest.reading() as connection:
            if is_large:
                with pytest.raises(CannotDraw, match="too large"):
                    draw_context(connection, harvest.root, shot.snapshot_id)
                return
            image = Image.open(io.BytesIO(draw_context(connection, harvest.root, shot.snapshot_id)))

            panel_of = draw_context(connection, harvest.root, shot.snapshot_id, panel_only=True)
            on_page = draw_context(connection, harvest.root, "PMC1.1/f1/a/s1", panel_only=True)

        assert image.size == Image.open(io.BytesIO(panel_of)).size == (400, 300)
        wide, high = Image.open(io.BytesIO(on_page)).size
        assert wide / high == pytest.approx(200 / 150, rel=0.01)
        red, green, _ = image.getpixel((203, 150))
        assert red > 150 and green < 130

    def test_finished_pictures_are_kept_until_they_fill_the_cache(self):
        cache, made = PictureCache(max_bytes=25), []

        def get(name: str) -> bytes:
            return cache.get((name,), lambda: made.append(name) or b"0123456789")

        for name in ("a", "b", "a", "c", "a", "b"):
            get(name)

        assert made == ["a", "b", "c", "b"]
