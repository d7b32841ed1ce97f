"""What the tables need beside them: the card, the models' numbers, the request, descriptions for Datasette, sums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harvester import __version__
from harvester.catalog import Catalog
from harvester.export.card import Contents, dataset_card
from harvester.export.companions import datasette_metadata
from harvester.export.filters import REASONS
from harvester.export.request import ExportRequest
from harvester.export.tally import ordered
from harvester.export.workplace import RECORD_NAME, Workplace

if TYPE_CHECKING:
    from harvester.export.dataset import ExportSummary

FROM_PMC = frozenset({"pmc", "europepmc"})


def write_about(
    catalog: Catalog,
    workplace: Workplace,
    request: ExportRequest,
    summary: ExportSummary,
    harvest_id: str,
    asked: Mapping[str, Any],
) -> None:
    """Write README.md, models.json, datasette.json and export.json, and note the sums of all that is left."""
    tally = summary.tally
    found = catalog.rows("SELECT model_id, name, version, weights_sha256, card FROM model ORDER BY rank, model_id")
    cards = [
        {**row, "card": json.loads(row["card"]) if isinstance(row["card"], str) else row["card"]}
        for row in found
        if row["model_id"] in tally.models
    ]
    accessed = catalog.rows("SELECT MAX(started_at) AS day FROM run WHERE command IN ('run', 'crawl', 'demo')")
    day = accessed[0]["day"]
    contents = Contents(
        request=request,
        n_seen=summary.n_seen,
        tally=tally,
        refused_licences=ordered(summary.refused_licences),
        dropped_columns=summary.dropped_columns,
        models=cards,
        accessed=day[:10] if day and FROM_PMC & set(tally.sources) else None,
    )
    record = {
        "harvest": harvest_id,
        "program": f"histology-harvester {__version__}",
        "request": asked,
        "n_seen": summary.n_seen,
        "n_rows": tally.n_images,
        "n_snapshots": tally.n_snapshots,
        "left_out": {name: tally.left_out[name] for name in REASONS if tally.left_out[name]},
        "refused_licences": ordered(summary.refused_licences),
        **{
            name: ordered(getattr(tally, name))
            for name in ("by_split", "by_licence", "by_source", "by_band", "by_organ")
        },
        "expected_spread": {name: round(value, 6) for name, value in sorted(tally.expected.items())},
        "columns_only_in_snapshots_csv": list(summary.dropped_columns),
    }
    for name in workplace.grown():
        workplace.hash_file(name)
    for name, text in (
        ("README.md", dataset_card(contents)),
        ("models.json", json.dumps(cards, indent=2, sort_keys=True) + "\n"),
        ("datasette.json", json.dumps(datasette_metadata(), indent=2, ensure_ascii=False) + "\n"),
        (RECORD_NAME, json.dumps(record, indent=2) + "\n"),
    ):
        workplace.write(name, text.encode())
