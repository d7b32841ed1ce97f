"""Figures of the real articles against boxes and captions checked by hand."""

from __future__ import annotations

import json
import statistics

import pytest

from harvester.documents.figures import extract_figures
from harvester.documents.jats import parse_jats
from harvester.geometry import BoxPt
from harvester.settings import DocumentSettings


def digits(label: str | None) -> str:
    return "".join(c for c in label or "" if c.isdigit())


@pytest.mark.slow
@pytest.mark.parametrize("with_xml", [True, False])
def test_figures_of_real_articles(shared_dir, with_xml: bool) -> None:
    folder = shared_dir / "articles"
    truth = json.loads((folder / "truth.json").read_text())["figures"]
    ious, n_tied, n_wanted, n_found, n_extra = [], 0, 0, 0, 0
    for path in sorted(folder.glob("PMC*/fulltext.pdf")):
        name = path.parent.name
        text = parse_jats((path.parent / "fulltext.xml").read_bytes())
        figures, _ = extract_figures(name, path.read_bytes(), text if with_xml else None, {}, DocumentSettings())
        wanted, have = {digits(f.label) for f in text.figures}, [digits(f.label) for f in figures]
        n_wanted += len(wanted)
        n_found += len(wanted & set(have))
        n_extra += len(have) - len(wanted & set(have))
        for true in (t for t in truth if t["pmcid"] == name):
            box = BoxPt(*(v * 72 / 150 for v in true["figure_bbox_150dpi"]))
            on_page = [f for f in figures if f.page_number == true["page"] and f.page_box]
            best = max(on_page, key=lambda f: f.page_box.iou(box), default=None)
            ious.append(best.page_box.iou(box) if best else 0.0)
            if best:
                same_words = " ".join(true["caption"].split()).lower()[:40] in best.caption.lower()
                n_tied += same_words and digits(best.label) == digits(true["figure_label"])

    recall = sum(v >= 0.8 for v in ious) / len(ious)
    print(
        f"\n{'XML and PDF' if with_xml else 'PDF alone'}: figure recall {recall:.3f}, median IoU"
        f" {statistics.median(ious):.4f}, caption tie {n_tied}/{len(ious)},"
        f" labels {n_found}/{n_wanted}, extra {n_extra}"
    )
    assert recall >= 0.95
    assert n_tied >= 0.9 * len(ious)
    assert n_found >= 0.97 * n_wanted
    assert n_extra <= 2
