"""A month in the life of a harvest, and every number that `status` says at each step."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

from harvester.catalog import Catalog, Funnel
from harvester.catalog_changes import Changes
from harvester.demo.server import StandIn
from harvester.export.dataset import export_dataset
from harvester.export.request import ExportRequest
from harvester.fetch.client import Client
from harvester.fetch.store import Store
from harvester.pipeline.annotate import annotate
from harvester.pipeline.crawl import CrawlRequest, crawl
from harvester.review.verdicts import Verdict, save_verdict
from harvester.settings import AnnotateSettings
from harvester.status import status_json
from tests.harvester.engines.chores import Says
from tests.harvester.engines.inline import run_inline
from tests.harvester.test_crawl import article, settings_of

ONE, TWO, THREE, FOUR, FIVE = (f"PMC{1000 + n}" for n in range(1, 6))


class Harvest:
    """The harvest with what its status said before the step that is looked at."""

    def __init__(self, root: Path, catalog: Catalog) -> None:
        self.root, self.catalog = root, catalog
        self.before = catalog.funnel()
        self.since = "2020"

    def crawl(self, server: StandIn, *, refresh: bool = False) -> tuple[Funnel, Changes]:
        run_id = self.catalog.start_run("crawl", {"query": "adenoma"})
        request = CrawlRequest("adenoma[Title]", limit=None, refresh=refresh)
        outcome = crawl(request, Store(self.root), self.catalog, Client(settings_of(server)), today=date(2026, 12, 1))
        self.catalog.finish_run(run_id, 0)
        assert outcome.complete
        return self.step(run_id)

    def annotate(self, model: Says) -> tuple[Funnel, Changes]:
        run_id = self.catalog.start_run("annotate", {})
        annotate(self.catalog, self.root, AnnotateSettings(), model, models_first=True)
        self.catalog.finish_run(run_id, 0)
        return self.step(run_id)

    def step(self, run_id: str | None = None) -> tuple[Funnel, Changes]:
        """Check that the numbers add up, among themselves, with the step before and with the rows; return them."""
        now, said = self.catalog.funnel(), self.catalog.changes_since(self.since)
        shown = json.loads(status_json(now, said))
        assert shown["articles_found"] == shown["articles_downloaded"] + sum(shown["articles_left_out"].values())
        assert shown["articles_downloaded"] == shown["articles_annotated"] + shown["articles_waiting"]
        assert shown["panels"] == sum(shown["panels_by_kind"].values())
        assert shown["snapshots"] == shown["estimated"] + shown["abstained"] + shown["waiting"]
        count, old = said.counts.get, self.before
        assert now.articles_downloaded - old.articles_downloaded == count("article_new", 0)
        assert now.snapshots - old.snapshots == count("snapshots_new", 0) - count("snapshots_gone", 0)
        marked = sum(count(f"article_{what}", 0) for what in ("retracted", "removed", "new_version"))
        kept_back = sum(now.articles_kept_back.values()) - sum(old.articles_kept_back.values())
        assert kept_back == marked - count("article_back", 0)
        assert now.reviewed - old.reviewed == said.reviews_given
        estimates = self.catalog.rows("SELECT COUNT(*) AS n FROM estimate")[0]["n"]
        assert estimates == self.catalog.changes_since("2020").counts.get("estimates_new", 0)
        assert [name for _, name in said.runs] == ([run_id and name for _, name in said.runs[:1]] if run_id else [])
        self.before = now
        self.since = run_id or self.since
        return now, said


def test_a_month_of_a_harvest_adds_up_at_every_step(tmp_path, monkeypatch):
    run_inline(monkeypatch)
    served = [article(1000 + n) for n in range(1, 6)]
    root = tmp_path / "harvest"
    with StandIn(served[:4]) as server, Catalog.open(root, create=True) as catalog:
        harvest = Harvest(root, catalog)

        funnel, said = harvest.crawl(server)
        assert (funnel.articles_found, funnel.articles_waiting, funnel.snapshots) == (4, 4, 0)
        assert said.counts == {"article_new": 4}

        funnel, said = harvest.annotate(Says("first@1", 0.5))
        assert (funnel.articles_annotated, funnel.articles_waiting, funnel.waiting) == (4, 0, 0)
        assert said.counts["snapshots_new"] == said.counts["estimates_new"] == funnel.snapshots >= 6
        first_month = funnel.snapshots

        ids = {row["article_id"]: row["snapshot_id"] for row in catalog.snapshots()}
        save_verdict(catalog, Verdict(ids[f"{ONE}.1"], "correct", "ann", magnification_x=20.0), seen=None, blind=False)
        save_verdict(catalog, Verdict(ids[f"{FOUR}.1"], "reject", "ann"), seen=None, blind=False)
        reviews = catalog.rows("SELECT * FROM review ORDER BY review_id")
        assert harvest.catalog.funnel().reviewed == 2
        harvest.before = catalog.funnel()
        harvest.since = reviews[-1]["created_at"]

        server.retract(TWO)
        server.remove(THREE)
        server.add_version(ONE)
        server.add(served[4])
        server.forget_requests()
        funnel, said = harvest.crawl(server, refresh=True)
        fetched = {request.path.split("/")[0] for request in server.downloads()}
        assert fetched == {f"{ONE}.2", f"{FIVE}.1"}
        assert said.counts == {
            "article_new": 2, "article_new_version": 1, "article_retracted": 1, "article_removed": 1,
        }  # fmt: skip
        assert funnel.articles_kept_back == {"removed": 1, "retracted": 1, "superseded": 1}
        assert (funnel.articles_found, funnel.articles_waiting, funnel.snapshots) == (6, 2, first_month)

        funnel, said = harvest.annotate(Says("first@1", 0.5))
        assert (funnel.articles_annotated, funnel.articles_waiting) == (6, 0)
        assert said.counts["snapshots_new"] == funnel.snapshots - first_month > 0

        funnel, said = harvest.annotate(Says("second@1", 0.45))
        assert said.subjects["estimates_new"] == ("second@1",)
        assert said.counts["estimates_new"] == funnel.snapshots
        assert catalog.rows("SELECT * FROM review ORDER BY review_id") == reviews

        funnel, said = harvest.annotate(Says("second@1", 0.45))
        assert said.counts == {}

        summary = export_dataset(catalog, tmp_path / "set", ExportRequest(format="csv", keep_duplicates=True))
        left_out = summary.tally.left_out
        assert summary.tally.n_snapshots + sum(left_out.values()) == funnel.snapshots
        assert left_out["retracted"] + left_out["removed"] + left_out["superseded"] == funnel.snapshots_kept_back > 0
        written = {row["article_id"] for row in csv_rows(tmp_path / "set" / "manifest.csv")}
        assert written <= {f"{ONE}.2", f"{FOUR}.1", f"{FIVE}.1"} and f"{ONE}.2" in written


def csv_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
