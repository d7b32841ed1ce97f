"""Which published figures of the negatives serve as what, sorted by eye; the others are mixed and are left out.

Boxes are x0, y0, x1, y1 in the figure's own pixels.
"""

from __future__ import annotations

from harvester.records import PanelKind

Box = tuple[int, int, int, int]

_TREATED = "imm_papers__10.1038_s43587-025-01022-w__figure_2"
_PREVENTED = "imm_papers__10.1038_s43587-025-01022-w__figure_3"
_BRAIN = "fs_imgs__PM27563885-Figure4-1"
_COLUMNS = ((58, 291), (293, 527), (531, 762), (766, 998))
_ROWS = ((26, 179), (190, 342), (352, 506), (515, 667), (676, 829), (839, 991))


def _crops() -> list[tuple[str, Box | None, PanelKind]]:
    found: list[tuple[str, Box | None, PanelKind]] = []
    for x0, x1 in _COLUMNS:
        found += [(_TREATED, (x0, 380, x1, 524), "ihc"), (_TREATED, (x0, 531, x1, 666), "other_stain")]
        found.append((_TREATED, (x0, 672, x1, 802), "ihc"))
    for y0, y1 in ((329, 474), (482, 626)):
        found += [(_PREVENTED, (138, y0, 360, y1), "ihc"), (_PREVENTED, (431, y0, 654, y1), "other_stain")]
        found.append((_PREVENTED, (729, y0, 979, y1), "ihc"))
    for y0, y1 in _ROWS:
        found += [
            (_BRAIN, (69, y0, 274, y1), "ihc"),
            (_BRAIN, (285, y0, 488, y1), "ihc"),
            (_BRAIN, (516, y0, 681, y1), "chart"),
        ]
    return found


_WHOLE: dict[PanelKind, tuple[str, ...]] = {
    "chart": (
        "fs_imgs__PM25754084-Figure4-1",
        "imm_papers__10.1038_s41514-025-00260-x__figure_2",
        "imm_papers__10.1038_s41514-025-00260-x__figure_3",
        "imm_papers__10.1038_s41514-025-00260-x__figure_5",
        "imm_papers__10.1038_s43587-025-01022-w__figure_5",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr10",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr11",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr12",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr13",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr14",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr15",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr2",
        "ncbi_mesh_hist",
    ),
    "drawing": (
        "fs_imgs__PM26415837-Figure11-1",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr1",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr3",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr4",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr5",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr6",
        "imm_papers__umair2025negsl__1-s2.0-S2590123025026702-gr8",
        "imm_papers__10.1038_s41514-025-00260-x__figure_1",
    ),
    "fluorescence": ("ncbi_clusters__5__PMC2211753_1742-4690-4-84-3",),
    "radiology": ("ncbi_clusters__5__PMC3009617_1750-1172-5-30-17",),
    "cytology": ("ncbi_clusters__0__PMC1174958_ar1721-6",),
}

SORTED_FIGURES: tuple[tuple[str, Box | None, PanelKind], ...] = (
    *_crops(),
    *((name, None, kind) for kind, names in _WHOLE.items() for name in names),
)
"""File name without extension, the part of it (None: all), and what it shows."""
