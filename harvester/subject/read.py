"""Organ, species and diagnosis of a panel, each with its source and score; None beats a guess."""

from __future__ import annotations

from collections.abc import Sequence

from harvester.records import SubjectReading


def read_subject(
    panel_part: str, caption: str, title: str, mesh: Sequence[str], keywords: Sequence[str] = ()
) -> SubjectReading:
    """Say what a panel shows from the words around it, the nearest first.

    Args:
        panel_part: The panel's own part of the caption; the whole caption when it can't be split.
        caption: The whole caption of the figure.
        title: Title of the article.
        mesh, keywords: MeSH terms and the authors' keywords.
    """
    return SubjectReading()
