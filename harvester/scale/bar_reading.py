"""Labels read from the pixels round what may be a bar; nothing is read where nothing suggests a bar or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from harvester.geometry import RgbImage
from harvester.scale.bar_labels import BarLabel, parse_read_label
from harvester.scale.bar_shapes import Candidate, Spot, label_distance
from harvester.scale.lettering import TextReader

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
        if any(label.label.certainty * label.certainty >= 0.5 for _, label in pairs):
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
    for picture in pictures:
        method = cv2.INTER_CUBIC if enlarge > 1 else cv2.INTER_AREA
        shown = cv2.resize(picture, None, fx=enlarge, fy=enlarge, interpolation=method)
        found = []
        for line in reader.find_lines(shown):
            label = parse_read_label(line.text)
            if label is None or line.score < MIN_READ:
                continue
            box = line.box
            spot = Spot(
                area.x0 + box.x0 / enlarge,
                area.y0 + box.y0 / enlarge,
                area.x0 + box.x1 / enlarge,
                area.y0 + box.y1 / enlarge,
            )
            found.append(ReadLabel(label, spot, line.score))
        if found:
            return found
    return []


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
                ranked.append((distance - 2.0 * candidate.shape, -label.certainty, i, label))
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
