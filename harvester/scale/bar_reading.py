"""Labels read from the pixels round what may be a bar; nothing is read where nothing suggests a bar or a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from harvester.geometry import BoxPx, RgbImage
from harvester.scale.bar_labels import BarLabel, parse_read_label
from harvester.scale.bar_letters import ink_map, letter_rows
from harvester.scale.bar_shapes import Candidate, Spot, label_distance
from harvester.scale.lettering import ReadText, TextReader

FRAME_PX = 1000
"""Labels are 1.5 to 6 % of a picture's width; at this width their letters have the height that the reader likes."""
MAX_ENLARGED = 3.0
MARGIN_SHARE = 0.11
"""How far round a bar its label is looked for, as a share of the picture's longer side."""
MAX_CROPS = 4
MAX_FINDINGS = 2
"""How often a panel is given to the finder of lines, which costs as much as ten lines."""
MIN_SHAPE = 0.3
SURE_SHAPE = 0.5
"""From this on letters that the rows of its ink do not give are looked for by the finder of lines."""
REACH = 1.7
MIN_READ = 0.45
MIN_SURE = 0.4
SURE_READ = 0.65
"""Certainty of label and reading together from which nothing else is tried."""


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """A label with its place in native pixels of the panel and the reader's certainty, 0 to 1."""

    label: BarLabel
    spot: Spot
    certainty: float

    @property
    def sure(self) -> float:
        return self.label.certainty * self.certainty

    @property
    def digits(self) -> str:
        return f"{self.label.value:g}{self.label.unit}"


def read_labels(pixels: RgbImage, candidates: Sequence[Candidate], reader: TextReader) -> list[tuple[int, ReadLabel]]:
    """Read round the candidates, the likeliest first, until one has its label; (candidate, label) pairs.

    Args:
        pixels: (H, W, 3) uint8 RGB, the panel.
    """
    labels: list[ReadLabel] = []
    seen: list[Spot] = []
    n_findings = 0
    for candidate in [c for c in candidates if c.shape >= MIN_SHAPE][:MAX_CROPS]:
        area = _around(candidate, pixels)
        if area is None or any(_is_within(candidate.spot, other) for other in seen):
            continue
        found = _read(pixels, area, candidate, reader, may_find=n_findings < MAX_FINDINGS)
        if found is None:
            continue
        n_findings += not found
        seen.append(area)
        labels += found
        pairs = _pairs(candidates, labels)
        if any(label.sure >= SURE_READ for _, label in pairs):
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


def _read(
    pixels: RgbImage, area: Spot, candidate: Candidate, reader: TextReader, *, may_find: bool
) -> list[ReadLabel] | None:
    """Read the label of a candidate; None when no letters of its ink stand where one could be."""
    crop = pixels[int(area.y0) : int(area.y1), int(area.x0) : int(area.x1)]
    enlarge = min(MAX_ENLARGED, FRAME_PX / max(pixels.shape[:2]))
    shown = cv2.resize(
        crop, None, fx=enlarge, fy=enlarge, interpolation=cv2.INTER_CUBIC if enlarge > 1 else cv2.INTER_AREA
    )
    bar = _in_crop(candidate.spot, area, enlarge)
    found, has_letters = _read_inks(shown, candidate, bar, reader)
    if candidate.is_vertical and not found and candidate.shape >= SURE_SHAPE:
        # a label that runs along its bar, mostly from below upwards
        for turns in (3, 1):
            turned = np.ascontiguousarray(np.rot90(shown, turns))
            lying = replace(candidate, is_vertical=False)
            read, letters = _read_inks(turned, lying, _turned(bar, shown.shape[:2], turns), reader)
            has_letters |= letters
            found = [replace(one, spot=_turned(one.spot, turned.shape[:2], 4 - turns)) for one in read]
            if found:
                break
    if not found and has_letters and may_find and candidate.shape >= SURE_SHAPE:
        # letters of another ink than the bar's, or spoiled ones: the finder of lines has seen more of them
        lines = reader.find_lines(shown)
        found = _labels(lines) or _labels(_joined(lines))
        found = found or _read_rows(shown, [line.box for line in lines], reader)
    if not has_letters:
        return None
    return [replace(read, spot=_in_panel(read.spot, area, enlarge)) for read in found]


def _read_inks(shown: RgbImage, candidate: Candidate, bar: Spot, reader: TextReader) -> tuple[list[ReadLabel], bool]:
    """Read the rows of letters in the bar's ink beside it, and say whether there are any."""
    inked = ink_map(shown, candidate.rgb)
    rows = letter_rows(inked, candidate, bar)
    if not rows:
        return [], False
    # letters without the tissue under them
    clean = np.repeat(((1.0 - inked) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    clean[max(0, int(bar.y0) - 1) : int(bar.y1) + 2, max(0, int(bar.x0) - 1) : int(bar.x1) + 2] = 255
    for row in rows:
        reads: list[ReadLabel] = []
        for picture, room in ((shown, 0.4), (clean, 1.6), (clean, 0.4), (shown, 1.6)):
            text = _read_row(picture, row.box, row.em, room, reader)
            read = _as_label(text)
            reads += [read] if read is not None else []
            if (read is None and not reads and picture is clean) or _is_settled(reads):
                break
        if reads:
            return [_elected(reads)], True
    return [], True


def _is_settled(reads: Sequence[ReadLabel]) -> bool:
    lengths = [read.label.length_um for read in reads]
    return len(reads) > 1 and lengths[-1] in lengths[:-1] and len(set(lengths)) == 1


def _elected(reads: Sequence[ReadLabel]) -> ReadLabel:
    """Return the reading with most certainty behind it; one that has a digit more in front has seen the whole label."""
    weight: dict[float, float] = {}
    for read in reads:
        weight[read.label.length_um] = weight.get(read.label.length_um, 0.0) + read.sure
    best = max(reads, key=lambda read: (weight[read.label.length_um], read.sure))
    for read in reads:
        if read.sure >= 0.55 and read.digits != best.digits and read.digits.endswith(best.digits):
            best = read
    if len(weight) > 1:
        best = replace(best, certainty=best.certainty * weight[best.label.length_um] / sum(weight.values()))
    return best


def _read_row(picture: RgbImage, box: BoxPx, em: float, room: float, reader: TextReader) -> ReadText:
    height, width = picture.shape[:2]
    x0, x1 = max(0, int(box.x0 - room * em)), min(width, int(box.x1 + room * em) + 1)
    y0, y1 = max(0, int(box.y0 - 0.15 * em)), min(height, int(box.y1 + 0.15 * em) + 1)
    if x1 - x0 < 8 or y1 - y0 < 6:
        return ReadText("", box, 0.0)
    text, score = reader.read_line(picture[y0:y1, x0:x1])
    return ReadText(text, box, score)


def _turned(spot: Spot, shape: tuple[int, ...], turns: int) -> Spot:
    """Return where a box of a picture (height, width) comes to lie when the picture is turned left that many times."""
    height, width = float(shape[0]), float(shape[1])
    for _ in range(turns % 4):
        spot = Spot(spot.y0, width - spot.x1, spot.y1, width - spot.x0)
        height, width = width, height
    return spot


def _as_label(line: ReadText) -> ReadLabel | None:
    label = parse_read_label(line.text)
    if label is None or line.score < MIN_READ or label.certainty * line.score < MIN_SURE:
        return None
    box = line.box
    return ReadLabel(label, Spot(float(box.x0), float(box.y0), float(box.x1), float(box.y1)), line.score)


def _labels(lines: Sequence[ReadText]) -> list[ReadLabel]:
    return [read for line in lines if (read := _as_label(line)) is not None]


def _in_panel(spot: Spot, area: Spot, enlarge: float) -> Spot:
    return Spot(
        area.x0 + spot.x0 / enlarge,
        area.y0 + spot.y0 / enlarge,
        area.x0 + spot.x1 / enlarge,
        area.y0 + spot.y1 / enlarge,
    )


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


def _read_rows(shown: RgbImage, boxes: Sequence[BoxPx], reader: TextReader) -> list[ReadLabel]:
    """Read the rows that some boxes stand in, with room for letters that were overlooked on both sides."""
    height, width = shown.shape[:2]
    found = []
    for box in boxes[:2]:
        em = box.height
        # the room is tried on both sides at once, then on each alone: letters of the tissue spoil a line
        for left, right in ((3.2, 3.2), (3.2, 0.3), (0.3, 3.2)):
            x0, x1 = max(0, int(box.x0 - left * em)), min(width, int(box.x1 + right * em))
            y0, y1 = max(0, int(box.y0 - 0.12 * em)), min(height, int(box.y1 + 0.12 * em) + 1)
            if x1 - x0 < 8 or y1 - y0 < 6:
                continue
            text, score = reader.read_line(shown[y0:y1, x0:x1])
            read = _as_label(ReadText(text, BoxPx(x0, y0, x1, y1), score))
            if read is not None:
                found.append(read)
                break
    return found


def _pairs(candidates: Sequence[Candidate], labels: Sequence[ReadLabel]) -> list[tuple[int, ReadLabel]]:
    """Tie each label to the bar that fits it best: close by, and shaped like a bar; every bar once."""
    ranked = []
    for label in labels:
        for i, candidate in enumerate(candidates):
            distance = label_distance(candidate, label.spot)
            if distance <= REACH and not _is_letter(candidate, label.spot):
                sure = label.sure
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
