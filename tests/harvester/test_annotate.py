"""One bad article never stops a run, and none disappears unreported."""

from __future__ import annotations

import pytest

from harvester.catalog import Catalog
from harvester.fetch.store import Store
from harvester.pipeline import annotate as loop
from harvester.pipeline.add import add, find_articles
from harvester.settings import AnnotateSettings, WorkerSettings
from tests.harvester import bad_files
from tests.harvester.engines.chores import NoEstimates, poisoned_reader

SETTINGS = AnnotateSettings(workers=WorkerSettings(workers=2, article_seconds=4.0, article_bytes=2 << 30))


@pytest.mark.slow
def test_what_hangs_crashes_or_eats_memory_is_tried_again_alone_and_then_left_out_for_good(tmp_path, monkeypatch):
    source, root = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for n, name in enumerate(("good", "hangs", "crashes", "eats", "fine"), start=1):
        (source / f"{name}.pdf").write_bytes(bad_files.pdf(pages=n) + name.encode())
    tried = []
    monkeypatch.setattr(loop, "read_article", poisoned_reader)
    submit = loop.WorkerPool.submit

    def noted(pool, job):
        tried.append((job.files.article_id, pool.n_busy))
        submit(pool, job)

    monkeypatch.setattr(loop.WorkerPool, "submit", noted)

    with Catalog.open(root, create=True) as catalog:
        add(find_articles([source])[0], catalog, Store(root))
        loop.annotate(catalog, root, SETTINGS, NoEstimates())
        titles = {row["article_id"]: row["title"] for row in catalog.rows("select article_id, title from article")}
        skips = catalog.rows("select * from skip where stage = 'annotate'")
        figures = catalog.rows("select article_id from figure")

        assert {(titles[s["article_id"]], s["reason"], bool(s["is_permanent"])) for s in skips} == {
            ("hangs.pdf", "timeout", True), ("crashes.pdf", "crashed", True), ("eats.pdf", "memory", True)
        }  # fmt: skip
        assert {titles[f["article_id"]] for f in figures} == {"good.pdf", "fine.pdf"}
        again = [(titles[a], busy) for n, (a, busy) in enumerate(tried) if a in {t for t, _ in tried[:n]}]
        # each once more, when no other was being read
        assert sorted(again) == [("crashes.pdf", 0), ("eats.pdf", 0), ("hangs.pdf", 0)]

        tried.clear()
        loop.annotate(catalog, root, SETTINGS, NoEstimates())
        assert tried == []

        monkeypatch.undo()
        loop.annotate(catalog, root, SETTINGS, NoEstimates(), retry_failed=True)
        assert catalog.rows("select 1 from skip where stage = 'annotate'") == []
        assert len(catalog.rows("select distinct article_id from figure")) == 5
