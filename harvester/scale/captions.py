"""What a caption says of scale: magnifications, bar lengths and field widths, each tied to its panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harvester.records import CaptionReading


def read_caption(caption: str, letters: Sequence[str] = (), body: str = "") -> CaptionReading:
    """Read every statement of scale in a figure's caption.

    Args:
        caption: The whole caption of the figure, plain text.
        letters: The figure's panel letters; empty when they are not known.
        body: Text of the article, the weakest source; read only for a sentence about all its micrographs.

    Returns:
        The statements, each with the panel letters it is said of (none: the whole figure).
    """
    return CaptionReading()


def for_panel(reading: CaptionReading, label: str | None) -> CaptionReading:
    """Keep what applies to one panel: what is said of its letter, and what is said of the whole figure."""
    name = label.upper() if label is not None else None
    return replace(
        reading,
        magnifications=tuple(m for m in reading.magnifications if not m.letters or name in m.letters),
        lengths=tuple(n for n in reading.lengths if not n.letters or name in n.letters),
    )
