"""Labels read from the pixels round what may be a bar; nothing is read where nothing suggests a bar or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from harvester.geometry import BoxPx, RgbImage
from harvester.scale.bar_labels import BarLabel, parse_read_label
from harvester.scale.bar_shapes import Candidate, Spot, label_distance
from harvester.scale.lettering import ReadText, TextReader

FRAME_PX = 1000
"""Labels are 1.5 to 6 % of a picture's width; at this width their letters have the height that the reader likes."""
MAX_ENLARGED = 3.0
MARGIN_SHARE = 0.11
"""How far round a bar its label is looked for, as a share of the picture's longer side."""
MAX_CROPS = 6
MIN_SHAPE = 0.2
SURE_SHAPE = 0.5
"""From this on a candidate is read round without looking for letter-like specks first."""
REACH = 1.7
MIN_READ = 0.45
SURE_READ = 0.65
"""Certainty of label and reading together from which nothing else is tried."""


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """A label with its place in native pixels of the panel and the reader's certainty, 0 to 1."""

    label: BarLabel
    spot: Spot
    certainty: float


def read_labels(pixels: RgbImage, candidates: Sequence[Candidate], reader: TextReader) -> list[tuple[int, ReadLabel]]:
    """Read round the candidates, the likeliest first, until one has its label; (candidate, label) pairs.

    Args:
        pixels: (H, W, 3) uint8 RGB, the panel.
    """
    labels: list[ReadLabel] = []
    seen: list[Spot] = []
    for candidate in [c for c in candidates if c.shape >= MIN_SHAPE][:MAX_CROPS]:
        area = _around(candidate, pixels)
        if area is None or any(_is_within(candidate.spot, other) for other in seen):
            continue
        if candidate.shape < SURE_SHAPE and not _has_letters(pixels, area, candidate):
            continue
        seen.append(area)
        labels += _read(pixels, area, candidate, reader)
        pairs = _pairs(candidates, labels)
        if any(label.label.certainty * label.certainty >= SURE_READ for _, label in pairs):
            return pairs
    return _pairs(candidates, labels)


def _is_within(spot: Spot, area: Spot) -> bool:
    margin = 0.25 * min(area.width, area.height)
    return (
        spot.x0 >= area.x0 + margin
        and spot.x1 <= area.x1 - margin
        and spot.y0 >= area.y0 + margin
        and spot.y1 <= area.y1 - margin
    )


def _around(candidate: Candidate, pixels: RgbImage) -> Spot | None:
    height, width = pixels.shape[:2]
    margin = max(28.0, MARGIN_SHARE * max(height, width))
    s = candidate.spot
    # a label beside a bar needs room for its whole width
    side = 1.6 * margin
    x0, y0 = max(0.0, np.floor(s.x0 - side)), max(0.0, np.floor(s.y0 - margin))
    x1, y1 = min(float(width), np.ceil(s.x1 + side)), min(float(height), np.ceil(s.y1 + margin))
    return Spot(float(x0), float(y0), float(x1), float(y1)) if x1 - x0 >= 12 and y1 - y0 >= 8 else None


def _read(pixels: RgbImage, area: Spot, candidate: Candidate, reader: TextReader) -> list[ReadLabel]:
    crop = pixels[int(area.y0) : int(area.y1), int(area.x0) : int(area.x1)]
    enlarge = min(MAX_ENLARGED, FRAME_PX / max(pixels.shape[:2]))
    pictures = [crop] if candidate.shape < SURE_SHAPE else [crop, _ink_only(crop, candidate.rgb)]
    everything: list[ReadLabel] = []
    for picture in pictures:
        method = cv2.INTER_CUBIC if enlarge > 1 else cv2.INTER_AREA
        shown = cv2.resize(picture, None, fx=enlarge, fy=enlarge, interpolation=method)
        lines = reader.find_lines(shown)
        found = [read for line in lines if (read := _as_label(line, area, enlarge)) is not None]
        found = found or [read for line in _joined(lines) if (read := _as_label(line, area, enlarge)) is not None]
        found = found or _read_rows(shown, [line.box for line in lines], area, enlarge, reader)
        everything += found
        if any(read.label.certainty * read.certainty >= SURE_READ for read in found):
            return found
    if everything or candidate.shape < SURE_SHAPE:
        return sorted(everything, key=lambda read: -read.label.certainty * read.certainty)
    # The finder of lines overlooks small letters over tissue; specks of the bar's own ink in one row show the place.
    rows = _ink_rows(shown, candidate.rgb, _in_crop(candidate.spot, area, enlarge))
    return _read_rows(shown, rows, area, enlarge, reader, grow=0.0)


def _as_label(line: ReadText, area: Spot, enlarge: float) -> ReadLabel | None:
    label = parse_read_label(line.text)
    if label is None or line.score < MIN_READ:
        return None
    box = line.box
    spot = Spot(
        area.x0 + box.x0 / enlarge, area.y0 + box.y0 / enlarge, area.x0 + box.x1 / enlarge, area.y0 + box.y1 / enlarge
    )
    return ReadLabel(label, spot, line.score)


def _in_crop(spot: Spot, area: Spot, enlarge: float) -> Spot:
    return Spot(
        (spot.x0 - area.x0) * enlarge,
        (spot.y0 - area.y0) * enlarge,
        (spot.x1 - area.x0) * enlarge,
        (spot.y1 - area.y0) * enlarge,
    )


def _joined(lines: Sequence[ReadText]) -> list[ReadText]:
    """Put number and unit together where they were found as two lines of one row."""
    joined = []
    for first in lines:
        for second in lines:
            a, b = first.box, second.box
            em = min(a.height, b.height)
            in_row = min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5 * em
            if first is not second and in_row and a.x0 < b.x0 and b.x0 - a.x1 < 1.2 * em:
                box = BoxPx(a.x0, min(a.y0, b.y0), b.x1, max(a.y1, b.y1))
                joined.append(ReadText(f"{first.text} {second.text}", box, min(first.score, second.score)))
    return joined


def _read_rows(
    shown: RgbImage, boxes: Sequence[BoxPx], area: Spot, enlarge: float, reader: TextReader, *, grow: float = 3.2
) -> list[ReadLabel]:
    """Read the rows that some boxes stand in, with room for letters that were overlooked on both sides."""
    height, width = shown.shape[:2]
    found = []
    for box in boxes[:4]:
        em = box.height
        # the room is tried on both sides at once, then on each alone: letters of the tissue spoil a line
        for left, right in ((grow, grow), (grow, 0.3), (0.3, grow)) if grow else ((0.4, 0.4),):
            x0, x1 = max(0, int(box.x0 - left * em)), min(width, int(box.x1 + right * em))
            y0, y1 = max(0, int(box.y0 - 0.12 * em)), min(height, int(box.y1 + 0.12 * em) + 1)
            if x1 - x0 < 8 or y1 - y0 < 6:
                continue
            text, score = reader.read_line(shown[y0:y1, x0:x1])
            read = _as_label(ReadText(text, BoxPx(x0, y0, x1, y1), score), area, enlarge)
            if read is not None:
                found.append(read)
                break
    return found


def _ink_rows(shown: RgbImage, rgb: tuple[int, int, int], bar: Spot) -> list[BoxPx]:
    """Return boxes round rows of letter-like specks of the bar's colour, the nearest to the bar first."""
    off, ground = _off_ink(shown, rgb)
    mask = (off < 0.5 * ground).astype(np.uint8)
    mask[max(0, int(bar.y0) - 1) : int(bar.y1) + 2, max(0, int(bar.x0) - 1) : int(bar.x1) + 2] = 0
    n, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    specks = [
        (int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, filled in stats[1 : min(n, 400)]
        if 10 <= h <= 70 and w <= 2.0 * h and 0.12 * w * h < filled
    ]
    rows: dict[tuple[int, int, int, int], float] = {}
    for x0, y0, x1, y1 in specks:
        em = y1 - y0
        box = [x0, y0, x1, y1]
        for a0, b0, a1, b1 in sorted(specks):
            level = abs(0.5 * (b0 + b1 - y0 - y1)) < 0.4 * em and 0.5 * em <= b1 - b0 <= 1.7 * em
            if level and a0 <= box[2] + 0.9 * em and a1 >= box[0]:
                box = [min(box[0], a0), min(box[1], b0), max(box[2], a1), max(box[3], b1)]
        spot = Spot(*map(float, box))
        if 1.3 * em < spot.width < 12 * em and bar.gap(spot) < 2.0 * em:
            rows[tuple(box)] = bar.gap(spot)  # type: ignore[index]
    return [BoxPx(*box) for box in sorted(rows, key=lambda box: rows[box])[:3]]


def _off_ink(crop: RgbImage, rgb: tuple[int, int, int]) -> tuple[np.ndarray, float]:
    off = np.sqrt(((crop.astype(np.float32) - np.asarray(rgb, np.float32)) ** 2).sum(2))
    return off, max(40.0, float(np.median(off)))


def _ink_only(crop: RgbImage, rgb: tuple[int, int, int]) -> RgbImage:
    """Paint what has the bar's colour black and all else white: letters without the tissue under them."""
    off, ground = _off_ink(crop, rgb)
    grey = np.clip((off / ground - 0.2) / 0.5, 0.0, 1.0) * 255
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _has_letters(pixels: RgbImage, area: Spot, candidate: Candidate) -> bool:
    """Say whether specks of the bar's colour, of one height and in one row, stand beside it."""
    crop = pixels[int(area.y0) : int(area.y1), int(area.x0) : int(area.x1)]
    off, ground = _off_ink(crop, candidate.rgb)
    mask = (off < 0.45 * ground).astype(np.uint8)
    n, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    side = max(pixels.shape[:2])
    specks = [
        (x, y, w, h)
        for x, y, w, h, filled in stats[1 : min(n, 400)]
        if max(6, 0.008 * side) <= h <= 0.07 * side and w <= 1.6 * h and 0.15 * w * h < filled < 0.9 * w * h
    ]
    for x, y, _w, h in specks:
        row = [
            s
            for s in specks
            if abs(s[1] + s[3] - y - h) <= 0.25 * h and 0.6 * h <= s[3] <= 1.6 * h and abs(s[0] - x) < 4 * h
        ]
        if len(row) >= 3:
            return True
    return False


def _pairs(candidates: Sequence[Candidate], labels: Sequence[ReadLabel]) -> list[tuple[int, ReadLabel]]:
    """Tie each label to the bar that fits it best: close by, and shaped like a bar; every bar once."""
    ranked = []
    for label in labels:
        for i, candidate in enumerate(candidates):
            distance = label_distance(candidate, label.spot)
            if distance <= REACH and not _is_letter(candidate, label.spot):
                sure = label.label.certainty * label.certainty
                ranked.append((distance - 2.0 * candidate.shape - 2.0 * sure, -sure, i, label))
    ranked.sort(key=lambda item: item[:3])
    taken: list[tuple[int, ReadLabel]] = []
    for _, _, i, label in ranked:
        if all(i != j and label.spot.overlap_x(o.spot) * label.spot.overlap_y(o.spot) <= 0 for j, o in taken):
            taken.append((i, label))
    return taken


def _is_letter(candidate: Candidate, label: Spot) -> bool:
    """Whether what looks like a bar is a stroke of the label's own letters."""
    s = candidate.spot
    x, y = 0.5 * (s.x0 + s.x1), 0.5 * (s.y0 + s.y1)
    inside = label.x0 <= x <= label.x1 and label.y0 + 0.1 * label.height <= y <= label.y1 - 0.1 * label.height
    return inside and candidate.length < 0.6 * max(label.width, label.height)
