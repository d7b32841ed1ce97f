"""The catalog: opening, saving, what is due, and that nothing changes which need not."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from harvester.catalog import Catalog
from harvester.errors import CatalogError, FetchError
from harvester.geometry import BoxPx
from harvester.records import Article, ArticleResult, ArticleText, Asset, EstimateRow, EvidenceRow, Skip
from tests.harvester.small_harvest import (
    MODEL,
    add_article,
    dump,
    make_article,
    make_estimate,
    make_result,
    open_blank,
    save_model,
    write_pdf,
    write_png,
)


@pytest.fixture
def catalog(tmp_path: Path):
    with open_blank(tmp_path / "harvest") as catalog:
        yield catalog


def execute(catalog: Catalog, statement: str) -> None:
    """Write as another program would."""
    engine = create_engine(f"sqlite:///{catalog.root / 'catalog.db'}")
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def add_review(catalog: Catalog, snapshot_id: str) -> None:
    execute(
        catalog,
        "INSERT INTO review (review_id, snapshot_id, verdict, magnification_x, reviewer, created_at)"
        f" VALUES ('r1', '{snapshot_id}', 'correct', 40, 'ann', '2026-01-01')",
    )


class TestOpening:
    def test_a_missing_catalog_is_refused_with_what_to_do(self, tmp_path):
        with pytest.raises(CatalogError, match=r"no catalog in .*: check the folder, or start a harvest"):
            Catalog.open(tmp_path)

        assert list(tmp_path.iterdir()) == []

    def test_creating_makes_the_folder_and_opens_again(self, tmp_path):
        Catalog.open(tmp_path / "a" / "b", create=True).close()

        with Catalog.open(tmp_path / "a" / "b") as catalog:
            assert catalog.funnel().articles_found == 0

    def test_upgrading_makes_no_catalog(self, tmp_path):
        with pytest.raises(CatalogError, match="no catalog"):
            Catalog.open(tmp_path, upgrade=True)

    def test_an_empty_file_is_a_catalog_that_was_never_begun(self, tmp_path):
        (tmp_path / "catalog.db").touch()

        with pytest.raises(CatalogError, match="is empty: start a harvest"):
            Catalog.open(tmp_path)
        Catalog.open(tmp_path, create=True).close()

    @pytest.mark.parametrize("create", [False, True])
    def test_a_file_that_is_no_database_is_refused_and_kept(self, tmp_path, create):
        (tmp_path / "catalog.db").write_bytes(b"<html>please log in</html>" * 100)

        with pytest.raises(CatalogError, match="is not a SQLite database"):
            Catalog.open(tmp_path, create=create)

        assert (tmp_path / "catalog.db").read_bytes().startswith(b"<html>")

    @pytest.mark.parametrize("create", [False, True])
    def test_another_programs_database_is_refused(self, tmp_path, create):
        with sqlite3.connect(tmp_path / "catalog.db") as db:
            db.execute("CREATE TABLE bookmarks (url TEXT)")

        with pytest.raises(CatalogError, match="database of another program"):
            Catalog.open(tmp_path, create=create)

    def test_a_folder_in_its_place_is_refused(self, tmp_path):
        (tmp_path / "catalog.db").mkdir()

        with pytest.raises(CatalogError, match="is not a file"):
            Catalog.open(tmp_path, create=True)

    def test_a_file_in_the_place_of_the_folder_is_refused(self, tmp_path):
        (tmp_path / "out").write_text("")

        with pytest.raises(CatalogError, match="cannot be made"):
            Catalog.open(tmp_path / "out", create=True)

    def test_a_truncated_catalog_is_refused(self, tmp_path):
        Catalog.open(tmp_path, create=True).close()
        path = tmp_path / "catalog.db"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

        with pytest.raises(CatalogError, match="is damaged"):
            Catalog.open(tmp_path).funnel()

    def test_the_environment_names_another_database(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HARVESTER_CATALOG_URL", f"sqlite:///{tmp_path / 'elsewhere.db'}")

        with Catalog.open(tmp_path / "harvest", create=True) as catalog:
            add_article(catalog)

        assert (tmp_path / "elsewhere.db").exists()
        assert not (tmp_path / "harvest" / "catalog.db").exists()

    @pytest.mark.parametrize("url", ["nonsense", "nosuch://host/name", "http://127.0.0.1/"])
    def test_an_address_that_is_no_database_is_refused(self, tmp_path, monkeypatch, url):
        monkeypatch.setenv("HARVESTER_CATALOG_URL", url)

        with pytest.raises(CatalogError, match="HARVESTER_CATALOG_URL is not understood"):
            Catalog.open(tmp_path, create=True)

    def test_a_driver_that_is_missing_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HARVESTER_CATALOG_URL", "oracle+cx_oracle://host/name")

        with pytest.raises(CatalogError, match="is not installed"):
            Catalog.open(tmp_path, create=True)

    def test_a_catalog_opens_read_only_for_other_programs(self, catalog):
        add_article(catalog)
        catalog.close()

        with sqlite3.connect(f"file:{catalog.root / 'catalog.db'}?mode=ro", uri=True) as db:
            assert db.execute("SELECT COUNT(*) FROM snapshots").fetchone() == (2,)


class TestWhatIsSaved:
    def test_an_article_comes_back_as_it_went(self, catalog):
        article = make_article(
            7, pmid=123, journal="J", year=2020, copyright_line="© Doe", keywords=("a", "b"), mesh_terms=("Liver",)
        )
        asset = write_pdf(catalog.root, "PMC7.1")

        catalog.save_article(article, [asset])

        assert catalog.load_article("PMC7.1") == article
        assert catalog.article_assets("PMC7.1") == [asset]
        assert catalog.has_article("PMC7.1")
        assert not catalog.has_article("PMC8.1")

    def test_an_unknown_article_is_a_clear_error(self, catalog):
        with pytest.raises(CatalogError, match=r"holds no article 'PMC1\.1'"):
            catalog.load_article("PMC1.1")
        with pytest.raises(CatalogError, match=r"holds no article 'PMC1\.1' to annotate"):
            catalog.save_result(ArticleResult("PMC1.1"))

    def test_a_second_identical_run_changes_no_row(self, catalog):
        said = ArticleText(title="T", licence_url="https://creativecommons.org/licenses/by/3.0/", keywords=("k",))
        skips = (Skip("PMC1.1/f2", "PMC1.1", "documents", "too_small", "tiny"),)

        def run() -> None:
            run_id = catalog.start_run("run", {"query": "adenoma"})
            add_article(catalog, 1, n=3, text=said, skips=skips, title=None)
            catalog.save_article(make_article(2), [], [Skip("PMC2.1", "PMC2.1", "fetch", "no_pdf")])
            catalog.save_skips([Skip("PMC3", "PMC3", "search", "licence")])
            catalog.set_checkpoint("slices", {"done": [1, 2], "by": {"2020": 3}})
            catalog.finish_run(run_id, 0)

        run()
        execute(catalog, "CREATE TABLE changes (name TEXT)")
        for name in dump(catalog, without=("run", "alembic_version", "changes")):
            for event in ("INSERT", "UPDATE", "DELETE"):
                body = f"BEGIN INSERT INTO changes VALUES ('{event} {name}'); END"
                execute(catalog, f"CREATE TRIGGER {event}_{name} AFTER {event} ON {name} {body}")
        before = dump(catalog)

        run()

        assert catalog.rows("SELECT name FROM changes") == []
        assert dump(catalog) == before

    def test_the_text_fills_what_the_metadata_lacks_and_knows_the_licence_better(self, catalog):
        said = ArticleText(
            title="From the text",
            journal="J",
            year=2019,
            licence_code="CC BY-NC",
            licence_url="https://creativecommons.org/licenses/by-nc/3.0/",
            copyright_line="© 2019",
            keywords=("k",),
        )

        add_article(catalog, 1, text=said, licence_url="https://creativecommons.org/licenses/by/4.0/")

        article = catalog.load_article("PMC1.1")
        assert (article.title, article.journal, article.keywords) == ("Article 1", "J", ("k",))
        assert (article.licence_code, article.copyright_line) == ("CC BY", "© 2019")
        assert article.licence_url == "https://creativecommons.org/licenses/by-nc/3.0/"
        assert next(catalog.snapshots())["text_licence_code"] == "CC BY-NC"

    def test_a_value_never_gives_way_to_none_and_the_first_query_stays(self, catalog):
        catalog.save_article(make_article(1, pmid=5), [])

        catalog.save_article(make_article(1, pmid=None, query="other", is_retracted=True), [])

        article = catalog.load_article("PMC1.1")
        assert (article.pmid, article.query, article.is_retracted) == (5, "adenoma", True)

    def test_assets_and_fetch_skips_are_replaced_and_other_skips_stay(self, catalog):
        add_article(catalog, 1)
        old = Skip("PMC1.1", "PMC1.1", "fetch", "server", is_permanent=False)
        catalog.save_skips([old, Skip("PMC1", "PMC1", "search", "licence")])

        catalog.save_article(make_article(1), [write_pdf(catalog.root, "PMC1.1", b"%PDF-2.0")])

        assert [(stage, reason) for stage, reason, _, _ in catalog.funnel().skips] == [("stain", "not_he")]
        assert len(catalog.article_assets("PMC1.1")) == 1

    def test_secrets_are_not_stored(self, catalog):
        settings = {"query": "q", "api_key": "SECRET", "service": {"NCBI_API_KEY": "SECRET", "email": "a@b.c"}}

        catalog.start_run("run", {**settings, "out": Path("x")})

        assert "SECRET" not in str(catalog.rows("SELECT * FROM run"))
        assert b"SECRET" not in (catalog.root / "catalog.db").read_bytes()

    def test_a_run_notes_how_it_ended(self, catalog):
        run_id = catalog.start_run("run", {})

        catalog.finish_run(run_id, 1)

        row = catalog.rows("SELECT * FROM run")[0]
        assert (row["run_id"], row["command"], row["exit_code"]) == (run_id, "run", 1)
        assert row["started_at"] <= row["finished_at"]

    def test_checkpoints_are_kept_replaced_and_forgotten(self, catalog):
        assert catalog.get_checkpoint("a") is None
        catalog.set_checkpoint("a", {"n": 1})
        catalog.set_checkpoint("a", {"n": 2})
        catalog.set_checkpoint("b", {"n": 3})
        assert catalog.get_checkpoint("a") == {"n": 2}
        catalog.set_checkpoint("a", None)
        assert (catalog.get_checkpoint("a"), catalog.get_checkpoint("b")) == (None, {"n": 3})

    @pytest.mark.parametrize(
        "hostile", ["\ud800 lone", "nul \x00 byte", "'; DROP TABLE article; --", "🔬 日本語 \u202e"]
    )
    def test_any_text_can_be_stored(self, catalog, hostile):
        add_article(catalog, 1, caption=hostile, title=hostile)

        row = next(catalog.snapshots())

        assert row["caption"] == hostile.replace("\ud800", "?").replace("\x00", "")

    def test_numbers_of_numpy_are_stored_as_numbers(self, catalog):
        [snapshot_id] = add_article(catalog, 1, n=1)
        values = [np.float32(v) for v in (20, 15, 25, 0.5)]

        catalog.save_estimates([EstimateRow(snapshot_id, MODEL, *values, abstained=np.bool_(False), reason=None)])

        types = "SELECT typeof(magnification_x) AS x, typeof(mpp_um) AS m, typeof(abstained) AS a FROM estimate"
        assert catalog.rows(types) == [{"x": "real", "m": "real", "a": "integer"}]

    @pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), 0.0, -3.0])
    def test_a_magnification_that_is_none_is_stored_as_unknown(self, catalog, nonsense):
        [snapshot_id] = add_article(catalog, 1, n=1)
        row = EstimateRow(snapshot_id, MODEL, nonsense, nonsense, nonsense, nonsense, abstained=True, reason="broken")

        catalog.save_estimates([row])
        catalog.save_estimates([row])

        stored = catalog.rows("SELECT magnification_x, mpp_um, mpp_lo99_um FROM estimate")
        assert stored == [{"magnification_x": None, "mpp_um": None, "mpp_lo99_um": None}]

    def test_a_number_too_large_for_a_database_is_stored_as_unknown(self, catalog):
        catalog.save_article(make_article(1, pmid=10**30), [])

        assert catalog.load_article("PMC1.1").pmid is None

    @settings(max_examples=40, deadline=None)
    @given(number=st.integers(1, 10**11), version=st.integers(1, 9999), n_media=st.integers(0, 3))
    def test_ids_come_back_from_what_they_name(self, tmp_path_factory, number, version, n_media):
        article_id = f"PMC{number}.{version}"
        article = Article(article_id, "pmc", f"PMC{number}", version)
        assets = [Asset(f"g{i}.jpg", "media", i, "0" * 32, "0" * 64) for i in range(n_media)]

        with Catalog.open(tmp_path_factory.getbasetemp() / "ids", create=True) as catalog:
            catalog.save_article(article, assets)

            assert catalog.load_article(article_id) == article
            rows = catalog.rows("SELECT asset_id FROM asset WHERE article_id = :a ORDER BY asset_id", a=article_id)
            assert [row["asset_id"] for row in rows] == [f"{article_id}/g{i}.jpg" for i in range(n_media)]


class TestResults:
    def test_results_are_replaced_with_all_that_hangs_on_them(self, catalog):
        ids = add_article(catalog, 1, n=3)
        execute(catalog, "INSERT INTO evidence (evidence_id, panel_id, kind) VALUES ('e', 'PMC1.1/f1/c', 'caption')")

        add_article(catalog, 1, n=2)

        assert [row["snapshot_id"] for row in catalog.snapshots()] == ids[:2]
        assert len(catalog.rows("SELECT * FROM estimate")) == 2
        assert catalog.rows("SELECT * FROM evidence") == []
        assert len(catalog.rows("SELECT * FROM panel")) == 3

    def test_an_article_never_touches_another(self, catalog):
        add_article(catalog, 2)
        before = dump(catalog)["snapshot"]

        add_article(catalog, 1)
        catalog.save_result(ArticleResult("PMC1.1"))

        assert dump(catalog)["snapshot"] == before

    def test_reviews_survive_re_annotation_even_of_snapshots_that_vanish(self, catalog):
        ids = add_article(catalog, 1, n=2)
        add_review(catalog, ids[1])

        add_article(catalog, 1, n=1)
        assert catalog.rows("SELECT snapshot_id FROM review") == [{"snapshot_id": ids[1]}]

        add_article(catalog, 1, n=2)
        rows = {row["snapshot_id"]: row["magnification_source"] for row in catalog.snapshots()}
        assert rows == {ids[0]: "image", ids[1]: "review"}

    def test_estimates_stay_with_an_unchanged_image_and_go_with_a_changed_one(self, catalog):
        add_article(catalog, 1, n=2)
        pictures = [write_png(catalog.root, 100), write_png(catalog.root, 999)]

        catalog.save_result(make_result("PMC1.1", pictures))

        assert catalog.snapshots_without(MODEL) == [("PMC1.1/f1/b/s1", pictures[1][0])]

    def test_evidence_is_replaced_with_its_article(self, catalog):
        add_article(catalog, 1, n=2)
        for letter in "ab":
            row = f"('{letter}', 'PMC1.1/f1/{letter}', 'scale_bar')"
            execute(catalog, f"INSERT INTO evidence (evidence_id, panel_id, kind) VALUES {row}")
        result = make_result("PMC1.1", [write_png(catalog.root, 100), write_png(catalog.root, 101)])
        said = ("50 µm", None, None, "vector", 50.0, "µm", 100.0, 0.5, 20.0, 0.9, BoxPx(0, 0, 100, 4), "pdf_text")
        bar = EvidenceRow("PMC1.1/f1/a/e1", "PMC1.1/f1/a", "scale_bar", *said)

        catalog.save_result(replace(result, evidence=(bar,)))
        before = dump(catalog)
        catalog.save_result(replace(result, evidence=(bar,)))

        rows = catalog.rows("SELECT evidence_id, text, mpp_um, x1_px, origin FROM evidence")
        assert [tuple(row.values()) for row in rows] == [("PMC1.1/f1/a/e1", "50 µm", 0.5, 100, "pdf_text")]
        assert dump(catalog) == before

    def test_each_model_keeps_its_own_estimates(self, catalog):
        ids = add_article(catalog, 1, n=2)
        save_model(catalog, "other@1", rank=5)

        assert [row[0] for row in catalog.snapshots_without("other@1")] == ids
        catalog.save_estimates([make_estimate(ids[0], 1.0, model_id="other@1")])

        assert [row[0] for row in catalog.snapshots_without("other@1")] == ids[1:]
        assert catalog.snapshots_without(MODEL) == []
        assert catalog.has_snapshots()

    def test_an_estimate_of_no_snapshot_is_refused_whole(self, catalog):
        [snapshot_id] = add_article(catalog, 1, n=1)

        with pytest.raises(CatalogError, match="FOREIGN KEY"):
            catalog.save_estimates([make_estimate(snapshot_id, 9.0), make_estimate("PMC9.1/f1/a/s1")])

        assert next(catalog.snapshots())["image_mpp_um"] == 0.5

    def test_a_failed_save_leaves_the_article_as_it_was(self, catalog):
        add_article(catalog, 1, n=2)
        before = dump(catalog)

        with pytest.raises(CatalogError):
            catalog.save_result(make_result("PMC1.1", [write_png(catalog.root, 5)]), [make_estimate("nowhere")], "2")

        assert dump(catalog) == before


class TestWhatIsDue:
    def test_articles_with_files_and_without_annotation_are_due(self, catalog):
        add_article(catalog, 1)
        catalog.save_article(make_article(2), [write_pdf(catalog.root, "PMC2.1")])
        catalog.save_article(make_article(3), [], [Skip("PMC3.1", "PMC3.1", "fetch", "no_pdf")])

        assert catalog.articles_to_annotate("1") == ["PMC2.1"]

    def test_an_annotation_of_another_version_is_due(self, catalog):
        add_article(catalog, 1)

        assert catalog.articles_to_annotate("2") == ["PMC1.1"]
        assert catalog.articles_to_annotate() == []

    def test_changed_files_make_an_article_due_and_new_metadata_does_not(self, catalog):
        add_article(catalog, 1)
        pdf = catalog.article_assets("PMC1.1")[0]
        json = Asset("PMC1.1.json", "json", 2, "0" * 32, "0" * 64)

        catalog.save_article(make_article(1), [pdf, json])
        assert catalog.articles_to_annotate("1") == []

        catalog.save_article(make_article(1), [write_pdf(catalog.root, "PMC1.1", b"%PDF-1.7 corrected"), json])
        assert catalog.articles_to_annotate("1") == ["PMC1.1"]

    @pytest.mark.parametrize("through", ["save_result", "save_skips"])
    def test_an_article_given_up_is_due_again_only_when_asked(self, catalog, through):
        catalog.save_article(make_article(1), [write_pdf(catalog.root, "PMC1.1")])
        skip = Skip("PMC1.1", "PMC1.1", "annotate", "timeout", "took too long")
        if through == "save_result":
            catalog.save_result(ArticleResult("PMC1.1", skips=(skip,)), [], "1")
        else:
            catalog.save_skips([skip])

        assert catalog.articles_to_annotate("1") == []
        assert catalog.articles_to_annotate("1", retry_failed=True) == ["PMC1.1"]

    def test_a_passing_failure_is_due_again(self, catalog):
        catalog.save_article(make_article(1), [write_pdf(catalog.root, "PMC1.1")])
        skip = Skip("PMC1.1", "PMC1.1", "annotate", "interrupted", is_permanent=False)

        catalog.save_result(ArticleResult("PMC1.1", skips=(skip,)), [], "1")

        assert catalog.articles_to_annotate("1") == ["PMC1.1"]

    def test_known_articles_are_those_whose_fetching_is_over(self, catalog):
        add_article(catalog, 1)
        catalog.save_article(make_article(2), [], [Skip("PMC2.1", "PMC2.1", "fetch", "no_pdf")])
        half = Skip("PMC3.1/g1.jpg", "PMC3.1", "fetch", "server", is_permanent=False)
        catalog.save_article(make_article(3), [write_pdf(catalog.root, "PMC3.1")], [half])
        catalog.save_article(make_article(4), [])
        catalog.save_article(Article("local-00000001", "local", "PMC5"), [write_pdf(catalog.root, "local-00000001")])

        assert catalog.known_articles() == {"PMC1": "PMC1.1", "PMC2": "PMC2.1"}

    def test_of_two_versions_the_newer_is_known(self, catalog):
        for version in (10, 9):
            article = Article(f"PMC1.{version}", "pmc", "PMC1", version)
            catalog.save_article(article, [write_pdf(catalog.root, article.article_id)])

        assert catalog.known_articles() == {"PMC1": "PMC1.10"}

    def test_files_are_told_apart_by_their_role(self, catalog):
        def asset(name: str, role: str) -> Asset:
            return Asset(name, role, 1, "0" * 32, "0" * 64)  # type: ignore[arg-type]

        catalog.save_article(make_article(1), [asset("a.pdf", "pdf"), asset("a.xml", "xml"), asset("g.jpg", "media")])
        catalog.save_article(Article("local-00000001", "local"), [asset("own.png", "media")])
        root = catalog.root

        published, own = (catalog.article_files(name, root) for name in ("PMC1.1", "local-00000001"))

        folder = root / "articles" / "PMC1.1"
        assert (published.pdf, published.xml) == (folder / "a.pdf", folder / "a.xml")
        assert (published.media, published.images) == ((folder / "g.jpg",), ())
        assert (own.media, own.images) == ((), (root / "articles/local-00000001/own.png",))


class TestWhatTheDatabaseRefuses:
    def test_a_full_disk_is_one_sentence_and_a_later_run_may_succeed(self, catalog):
        add_article(catalog, 1)
        before = dump(catalog)
        with catalog._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(FetchError, match=r"disk that holds the catalog in .* is full; make room\.$"):
            add_article(catalog, 2, n=20, caption="x" * 20_000)

        assert dump(catalog)["figure"] == before["figure"]

    def test_a_catalog_held_by_another_program_is_one_sentence(self, catalog, monkeypatch):
        monkeypatch.setattr("db.engine.BUSY_TIMEOUT_MS", 50)
        with Catalog.open(catalog.root) as impatient:
            other = sqlite3.connect(catalog.root / "catalog.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                with pytest.raises(FetchError, match="in use by another program"):
                    impatient.save_skips([Skip("a", "a", "fetch", "x")])
            finally:
                other.close()

    def test_a_read_only_harvest_can_be_read_and_a_write_is_one_sentence(self, catalog, monkeypatch):
        add_article(catalog, 1)
        catalog.close()
        before = set(catalog.root.iterdir())
        monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, for whom nothing is read-only

        with Catalog.open(catalog.root) as frozen:
            assert frozen.funnel().snapshots == 2
            assert set(catalog.root.iterdir()) == before
            with pytest.raises(CatalogError, match="is read-only; make it writable"):
                frozen.save_skips([Skip("a", "a", "fetch", "x")])
