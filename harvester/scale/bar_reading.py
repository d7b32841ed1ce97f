"""Labels read from the pixels round what may be a bar; nothing is read where nothing suggests a bar or a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from harvester.geometry import BoxPx, RgbImage
from harvester.scale.bar_chained import CHAINED_SHAPE
from harvester.scale.bar_labels import BarLabel, parse_read_label
from harvester.scale.bar_letters import LetterRow, ink_map, letter_rows
from harvester.scale.bar_shapes import Candidate, Spot, label_distance
from harvester.scale.lettering import ReadText, TextReader

FRAME_PX = 1000
"""Labels are 1.5 to 6 % of a picture's width; at this width their letters have the height that the reader likes."""
MAX_ENLARGED = 3.0
MARGIN_SHARE = 0.11
"""How far round a bar its label is looked for, as a share of the picture's longer side."""
MAX_CROPS = 10
MAX_ROWS_READ = 10
MAX_FINDINGS = 2
"""How often a panel is given to the finder of lines, which costs as much as ten lines."""
MIN_SHAPE = 0.3
MIN_STAINED, STAINED_ASPECT = 0.45, 8.0
"""The same, and how many times as long as thick, for a strip in a colour that tissue has, too."""
SURE_SHAPE = 0.5
"""From this on letters that the rows of its ink do not give are looked for by the finder of lines."""
REACH = 1.7
MIN_READ = 0.45
MIN_SURE = 0.5
LABEL_INKS = ((0, 0, 0), (255, 255, 255), (30, 40, 190))
"""Of labels whose bar has more than one colour."""
HAIRLINE_ASPECT = 40.0
SURE_TURNED = 0.8
"""Text that runs upwards has its unit spelt out, or is the numbers of an axis."""
SURE_READ = 0.65
"""Certainty of label and reading together from which nothing else is tried."""

Colour = tuple[int, int, int]


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


@dataclass(frozen=True, slots=True)
class _Place:
    """The surroundings of a candidate as they are read: enlarged, perhaps turned, and cleared of all other colours."""

    candidate: Candidate
    area: Spot
    enlarge: float
    turns: int
    shown: RgbImage
    clean: RgbImage
    rows: list[LetterRow]

    def in_panel(self, box: BoxPx) -> Spot:
        shown = Spot(float(box.x0), float(box.y0), float(box.x1), float(box.y1))
        spot = _turned(shown, self.shown.shape[:2], 4 - self.turns)
        x, y, k = self.area.x0, self.area.y0, self.enlarge
        return Spot(x + spot.x0 / k, y + spot.y0 / k, x + spot.x1 / k, y + spot.y1 / k)

    def read_in_panel(self, row: LetterRow, reader: TextReader) -> ReadLabel | None:
        read = _read_row(self, row, reader)
        if read is None or (self.turns and read.label.certainty < SURE_TURNED):
            return None
        return replace(read, spot=self.in_panel(_whole_box(read.spot)))


def read_labels(pixels: RgbImage, candidates: Sequence[Candidate], reader: TextReader) -> list[tuple[int, ReadLabel]]:
    """Read beside the candidates until one has its label; (candidate, label) pairs.

    Rows of letters in a candidate's own ink are read first, the likeliest rows at the likeliest bars before others.
    Where none can be read, the finder of lines looks for letters of another ink. Without letters nothing is read.

    Args:
        pixels: (H, W, 3) uint8 RGB, the panel.
    """
    likely = [c for c in candidates if _is_drawn(c)][:MAX_CROPS]
    places = [place for candidate in likely for ink in _inks(candidate) for place in _places(pixels, candidate, ink)]
    rows = sorted(
        (
            (row.rank - 2.0 * place.candidate.shape + 0.6 * _is_glass(place.candidate), k, row)
            for k, place in enumerate(places)
            for row in place.rows
        ),
        key=lambda item: item[:2],
    )
    labels: list[ReadLabel] = []
    for _, k, row in rows[:MAX_ROWS_READ]:
        read = places[k].read_in_panel(row, reader)
        if read is not None:
            for _, j, longer in rows:
                if _goes_on(places[j].in_panel(longer.box), places[k].in_panel(row.box)):
                    again = places[j].read_in_panel(longer, reader)
                    read = _elected([read, again]) if again is not None else read
                    break
            labels.append(read)
            pairs = _pairs(pixels, candidates, labels)
            if any(label.sure >= SURE_READ for _, label in pairs):
                return pairs
    tried: list[_Place] = []
    for _, k, _ in rows:
        place = places[k]
        if len(tried) == MAX_FINDINGS or labels:
            break
        if place.candidate.shape >= SURE_SHAPE and all(place.area.gap(other.area) > 0 for other in tried):
            tried.append(place)
            found = _found_lines(place.shown, reader)
            labels += [replace(read, spot=place.in_panel(_whole_box(read.spot))) for read in found]
    return _pairs(pixels, candidates, labels)


def _is_drawn(candidate: Candidate) -> bool:
    """Whether a strip was drawn rather than stained: in an ink, or longer than straight edges of tissue are."""
    low, high = min(candidate.rgb), max(candidate.rgb)
    is_ink = high < 60 or low > 246 or high - low > 110 or (high < 130 and high - low < 14)
    if is_ink or candidate.found_in == "vector":
        return candidate.shape >= MIN_SHAPE
    return candidate.shape >= MIN_STAINED and candidate.length >= STAINED_ASPECT * candidate.thickness


def _is_glass(candidate: Candidate) -> bool:
    """Whether a strip has the colour of empty glass, which ends in straight edges now and then."""
    return 205 < min(candidate.rgb) <= 246 and max(candidate.rgb) - min(candidate.rgb) < 25


def _inks(candidate: Candidate) -> tuple[Colour, ...]:
    if candidate.shape >= CHAINED_SHAPE:
        return LABEL_INKS
    # the colour of a hairline is half that of what lies under it
    is_hairline = candidate.length >= HAIRLINE_ASPECT * candidate.thickness
    return (candidate.rgb, LABEL_INKS[2]) if is_hairline and min(candidate.rgb) < 200 else (candidate.rgb,)


def _goes_on(longer: Spot, row: Spot) -> bool:
    """Whether a row is the end of a longer one, whose first letters have another ink or none that shows."""
    level = longer.overlap_y(row) > 0.6 * max(longer.height, row.height)
    return level and longer.x0 < row.x0 - 0.4 * row.height and longer.x1 > row.x1 - 0.5 * row.height


def _whole_box(spot: Spot) -> BoxPx:
    return BoxPx(int(spot.x0), int(spot.y0), int(spot.x1), int(spot.y1))


def _places(pixels: RgbImage, candidate: Candidate, ink: Colour) -> list[_Place]:
    """Return where a candidate's label may stand: beside it and, for a vertical one, along it, read from both ends."""
    area = _around(candidate, pixels)
    if area is None:
        return []
    crop = pixels[int(area.y0) : int(area.y1), int(area.x0) : int(area.x1)]
    enlarge = min(MAX_ENLARGED, FRAME_PX / max(pixels.shape[:2]))
    method = cv2.INTER_CUBIC if enlarge > 1 else cv2.INTER_AREA
    upright = cv2.resize(crop, None, fx=enlarge, fy=enlarge, interpolation=method)
    inked = ink_map(upright, ink)
    bar = _in_crop(candidate.spot, area, enlarge)
    # letters without the tissue under them, and without the bar
    clean = np.repeat(((1.0 - inked) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    clean[max(0, int(bar.y0) - 1) : int(bar.y1) + 2, max(0, int(bar.x0) - 1) : int(bar.x1) + 2] = 255
    places = []
    for turns in (0, 3, 1) if candidate.is_vertical and candidate.shape >= SURE_SHAPE else (0,):
        there = replace(candidate, is_vertical=candidate.is_vertical and not turns)
        turned_bar = _turned(bar, upright.shape[:2], turns)
        rows = letter_rows(np.ascontiguousarray(np.rot90(inked, turns)), there, turned_bar)
        if turns:  # rare: behind upright rows
            rows = [replace(row, rank=row.rank + 1.0) for row in rows[:1]]
        if rows:
            shown, cleaned = (np.ascontiguousarray(np.rot90(picture, turns)) for picture in (upright, clean))
            places.append(_Place(candidate, area, enlarge, turns, shown, cleaned, rows))
    return places


def _found_lines(shown: RgbImage, reader: TextReader) -> list[ReadLabel]:
    lines = reader.find_lines(shown)
    return _labels(lines) or _labels(_joined(lines)) or _read_rows(shown, [line.box for line in lines], reader)


def _read_row(place: _Place, row: LetterRow, reader: TextReader) -> ReadLabel | None:
    """Read a row as it is and cleared of the tissue, with little room and with more, until two readings agree."""
    reads: list[ReadLabel] = []
    for picture, room in ((place.shown, 0.4), (place.clean, 1.6), (place.clean, 0.4), (place.shown, 1.6)):
        line = _line(picture, row.box, row.em, room, reader)
        if (half := _goes_further(line)) is not None:
            line = _line(place.shown, _widened(row, *half), row.em, 0.4, reader)
        read = _as_label(line)
        reads += [read] if read is not None else []
        if (not reads and picture is place.clean) or _is_settled(reads):
            break
    return _elected(reads) if reads else None


def _goes_further(line: ReadText) -> tuple[float, float] | None:
    """Say how many heights of its letters to add left and right of a number without a unit, or a unit without one."""
    if line.score < 0.9:
        return None
    if re.fullmatch(r"[1-9]\d*0|[1-9]5|[1258]|0\.\d", line.text):
        return 0.0, 3.2
    return (2.6, 0.0) if re.fullmatch(r"[µu]m|μm|mm", line.text) else None


def _widened(row: LetterRow, left: float, right: float) -> BoxPx:
    box = row.box
    return BoxPx(max(0, round(box.x0 - left * row.em)), box.y0, round(box.x1 + right * row.em), box.y1)


def _around(candidate: Candidate, pixels: RgbImage) -> Spot | None:
    height, width = pixels.shape[:2]
    margin = max(28.0, MARGIN_SHARE * max(height, width))
    s = candidate.spot
    # a label beside a bar needs room for its whole width
    side = 1.6 * margin
    x0, y0 = max(0.0, np.floor(s.x0 - side)), max(0.0, np.floor(s.y0 - margin))
    x1, y1 = min(float(width), np.ceil(s.x1 + side)), min(float(height), np.ceil(s.y1 + margin))
    return Spot(float(x0), float(y0), float(x1), float(y1)) if x1 - x0 >= 12 and y1 - y0 >= 8 else None


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
        if (
            read.label.certainty == 1.0
            and read.certainty >= 0.6
            and read.digits != best.digits
            and read.digits.endswith(best.digits)
        ):
            best = read
    if len(weight) > 1:
        best = replace(best, certainty=best.certainty * weight[best.label.length_um] / sum(weight.values()))
    return best


def _line(picture: RgbImage, box: BoxPx, em: float, room: float, reader: TextReader) -> ReadText:
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


def _pairs(
    pixels: RgbImage, candidates: Sequence[Candidate], labels: Sequence[ReadLabel]
) -> list[tuple[int, ReadLabel]]:
    """Tie each label to the bar that fits it best: close by, and shaped like a bar; every bar once."""
    ranked = []
    for label in labels:
        for i, candidate in enumerate(candidates):
            distance = label_distance(candidate, label.spot)
            if (
                distance <= REACH
                and not _is_letter(candidate, label.spot)
                and not _is_ground(pixels, candidate, label.spot)
            ):
                fit = 2.0 * candidate.shape + 2.0 * label.sure
                ranked.append((distance - fit, -label.sure, i, label))
    ranked.sort(key=lambda item: item[:3])
    taken: list[tuple[int, ReadLabel]] = []
    for _, _, i, label in ranked:
        if all(i != j and label.spot.overlap_x(o.spot) * label.spot.overlap_y(o.spot) <= 0 for j, o in taken):
            taken.append((i, label))
    return taken


def _is_ground(pixels: RgbImage, candidate: Candidate, label: Spot) -> bool:
    """Whether a strip has the colour of what a label is printed on: the rim of its box."""
    x0, x1 = max(0, int(label.x0 - 0.4 * label.height)), int(label.x1 + 0.4 * label.height) + 1
    under = pixels[max(0, int(label.y0)) : int(label.y1) + 1, x0:x1]
    if under.size == 0:
        return False
    off = np.linalg.norm(under.astype(np.float32) - np.asarray(candidate.rgb, np.float32), axis=2)
    return float((off < 40.0).mean()) > 0.5


def _is_letter(candidate: Candidate, label: Spot) -> bool:
    """Whether what looks like a bar is a stroke of the label's own letters, or of the next one in their row."""
    s = candidate.spot
    if candidate.is_vertical and s.height <= 1.3 * label.height and s.overlap_y(label) > 0.5 * s.height:
        return True
    x, y = 0.5 * (s.x0 + s.x1), 0.5 * (s.y0 + s.y1)
    if candidate.is_vertical and label.x0 < x < label.x1 and s.height <= 1.8 * label.height and s.overlap_y(label) > 0:
        return True  # the leg of a µ
    inside = label.x0 <= x <= label.x1 and label.y0 <= y <= label.y1
    # no stroke is longer than its letter is high, but for a vertical label's
    return inside and candidate.length < (0.9 if label.width > label.height else 0.6) * max(label.height, 4.0)
