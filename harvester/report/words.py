"""Codes and numbers as people say them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from harvester.report.charts import number
from harvester.report.scan import ArticleBars, Shot

KINDS = {
    "he": "H&E",
    "ihc": "immunohistochemistry",
    "other_stain": "another stain",
    "fluorescence": "fluorescence",
    "cytology": "cytology",
    "gross": "gross photograph",
    "radiology": "radiology",
    "electron": "electron micrograph",
    "gel": "gel or blot",
    "chart": "chart",
    "drawing": "drawing",
    "other": "something else",
}

SOURCES = {
    "review": "a reviewer",
    "scale_bar": "scale bar",
    "image": "the image",
    "caption": "caption",
    "metadata": "the file's own metadata",
    "": "not known",
}

AGREEMENT = {
    "reviewed": "decided by a reviewer",
    "agree": "scale bar and image agree",
    "single": "one witness only",
    "conflict": "scale bar and image contradict each other: no value",
    "reviews_differ": "reviewers differ",
    "": "no witness",
}

REASONS = {
    "removed": "taken back by its source",
    "conflict": "scale bar and image contradict each other",
    "reviews_differ": "reviewers differ",
    "waiting": "not estimated yet",
    "abstained": "the model would not say",
    "no_number": "the model gave no number",
    "not_he": "does not look like H&E",
    "too_small": "too few pixels to judge",
    "too_little_tissue": "hardly any tissue in it",
    "grey_print": "printed without colour, the stain can't be told",
    "no_pdf": "the article has no PDF",
    "no_caption": "a picture without a caption of its own",
    "figure_not_found": "named in the text, found on no page",
    "retracted": "the article was retracted",
    "licence": "its licence is not in the policy",
    "not_fetched_yet": "not fetched yet",
    "fetch_failed": "the server did not give it; a later run may",
    "missing_file": "the server no longer has a file of it",
    "bad_file_name": "a file name that could leave its folder",
    "pdf_encrypted": "the PDF is encrypted",
    "pdf_damaged": "the PDF is damaged",
    "pdf_empty": "the PDF is empty",
    "not_a_pdf": "named like a PDF, but none",
    "too_many_pages": "too many pages for an article",
    "image_unreadable": "a picture that can't be read",
    "image_too_large": "a picture of too many pixels",
    "xml_malformed": "its XML is malformed",
    "xml_entities": "its XML declares entities",
    "xml_not_jats": "its XML is no article",
    "xml_too_large": "its XML is too large",
    "windows_disagree": "parts of the picture give different scales",
    "outside_range": "finer or coarser than the model was tested on",
    "no_detail": "no detail to judge by",
    "internal_error": "a fault of the program",
    "timeout": "took too long to read",
    "crashed": "the process reading it died",
    "memory": "needed more memory than an article is given",
}


def words_of(code: str | None) -> str:
    """Return what a reason means; an unknown code as it stands."""
    return REASONS.get(code or "", (code or "not noted").replace("_", " "))


def plain(text: str | None, limit: int = 300) -> str:
    """Return text from outside on one line, without control characters and marks that turn the reading direction."""
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn") else " " for c in text or "")
    tidy = " ".join(kept.split())
    return tidy if len(tidy) <= limit else tidy[: limit - 1].rstrip() + "…"


def times(factor: float) -> str:
    """Return a factor as said: 1.8 times, 12 times."""
    return f"{factor:.1f} times" if factor < 9.95 else f"{factor:,.0f} times"


def scale_words(mpp_um: float) -> str:
    """Return "0.25 µm/px (40x)"."""
    return f"{number(mpp_um)} µm/px ({number(10.0 / mpp_um)}x)"


def disagreement(shot: Shot) -> str:
    """Say what the witnesses of a snapshot say, and how far that is apart."""
    bar, image = shot.bar_mpp_um, shot.trusted_um
    if not bar or not image:
        return "Nothing to compare."
    interval = ""
    if shot.image_mpp_lo_um and shot.image_mpp_hi_um:
        interval = f", with 90 % between {number(shot.image_mpp_lo_um)} and {number(shot.image_mpp_hi_um)}"
    factor = max(bar / image, image / bar)
    said = f"The scale bar says {scale_words(bar)}; the image looks like {scale_words(image)}{interval}. "
    side = "coarser" if bar > image else "finer"
    if shot.agreement == "conflict":
        end = f"The bar is {times(factor)} {side}, outside the image's 99 % interval: a conflict, so no value is given."
    elif shot.image_mpp_lo_um and shot.image_mpp_hi_um and shot.image_mpp_lo_um <= bar <= shot.image_mpp_hi_um:
        end = f"The bar is {times(factor)} {side}, inside the interval, so the bar is believed."
    else:
        end = f"The bar is {times(factor)} {side}, outside the 90 % interval but inside the 99 % one; it is believed."
    if shot.magnification_source == "review":
        end = f"The bar is {times(factor)} {side}; a reviewer settled it at {scale_words(shot.mpp_um or image)}."
    stated = f" The caption implies a {number(shot.objective_x)}x objective." if shot.objective_x else ""
    reason = f" Noted when they were weighed: {plain(shot.scale_reason)}" if shot.scale_reason else ""
    return said + end + stated + reason


def article_conflict(item: ArticleBars) -> str:
    """Say how the bars of an article differ from its tissue, and what that often means."""
    ratio = item.mean_ratio
    side = "coarser" if ratio > 1 else "finer"
    count = f"{item.n_conflicts:,} of {item.n_bars:,} " + ("bar" if item.n_bars == 1 else "bars")
    verb = "contradicts" if item.n_conflicts == 1 else "contradict"
    said = f"{count} {verb} the tissue, on average {times(max(ratio, 1 / ratio))} {side} than it looks."
    if item.n_conflicts > 1:
        if item.highest <= 1.5 * item.lowest:
            said += " All are off by about the same factor, as when a label is misread or the figures were resized."
        else:
            said += " The factors differ, as when bars are taken from other panels."
    return said


def size_words(n_bytes: float) -> str:
    """Return a number of bytes."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            break
        n_bytes /= 1000
    return f"{n_bytes:,.0f} {unit}" if n_bytes >= 10 or unit == "bytes" else f"{n_bytes:.1f} {unit}"


def share(n: int, of: int) -> str:
    """Return a share in whole percent; a dash of nothing."""
    return f"{n / of:.0%}" if of else "–"


def noun(n: int, one: str, many: str | None = None) -> str:
    """Return "1 figure", "2,000 figures"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def day_and_time(iso: str | None) -> str:
    """Return an ISO 8601 time as 2026-01-31 12:00 in UTC; empty when it is none."""
    try:
        return datetime.fromisoformat(iso or "").astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""
