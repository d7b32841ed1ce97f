"""Drawn imitations of the kinds of picture of which no free collection was at hand; see `material` for what they prove.

Every function takes a generator and returns (H, W, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from harvester.geometry import RgbImage
from harvester.records import PanelKind
from harvester.stain.material import Colour, Field, Rng, _size, blend, noise, squash


def _pick(rng: Rng, colours: list[Colour], spread: float = 12.0) -> Colour:
    base = np.asarray(colours[int(rng.integers(0, len(colours)))]) + rng.normal(0, spread, 3)
    red, green, blue = (int(v) for v in np.clip(base, 0, 255))
    return red, green, blue


def _any_colour(rng: Rng) -> Colour:
    return int(rng.integers(0, 256)), int(rng.integers(0, 256)), int(rng.integers(0, 256))


FLESH: list[Colour] = [
    (150, 40, 35),
    (190, 90, 75),
    (205, 130, 110),
    (120, 25, 25),
    (170, 60, 70),
    (215, 150, 120),
    (180, 100, 110),
]
FAT: list[Colour] = [(235, 200, 120), (225, 185, 130), (240, 215, 160)]
SKIN: list[Colour] = [(225, 180, 155), (200, 150, 125), (150, 100, 75), (235, 195, 180), (90, 60, 45), (215, 160, 150)]
CLOTH: list[Colour] = [
    (40, 90, 150),
    (30, 110, 90),
    (235, 235, 235),
    (15, 15, 18),
    (60, 120, 190),
    (90, 140, 120),
    (200, 200, 205),
]


def _shine(rng: Rng, picture: RgbImage, relief: Field, share: float) -> RgbImage:
    spot = squash(
        noise(rng, relief.shape[0], relief.shape[1], 1.4, 10) + relief,
        at=float(np.quantile(relief, 1 - share)) + 1.6,
        sharpness=8,
    )
    return np.clip(picture + spot[:, :, None] * 200.0, 0, 255).astype(np.uint8)


def _lit(picture: RgbImage, relief: Field, depth: float) -> RgbImage:
    slope = cv2.Sobel(cv2.GaussianBlur(relief, (0, 0), 1.5), cv2.CV_32F, 1, 0, ksize=5)
    slope = slope / (float(np.abs(slope).mean()) + 1e-6)
    return np.asarray(np.clip(picture * (1.0 + depth * np.clip(slope, -2, 2))[:, :, None], 0, 255), dtype=np.uint8)


def _inside(rng: Rng, h: int, w: int, lo: float = 0.5, hi: float = 0.95) -> Field:
    """Return a soft-edged lump near the middle, 0 outside and 1 inside."""
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    radius = np.hypot(yy / rng.uniform(lo, hi), xx / rng.uniform(lo, hi)) + 0.12 * noise(rng, h, w, 3.0)
    return squash((1.0 - radius).astype(np.float32), 0.0, float(rng.uniform(15, 50)))


def draw_gross(rng: Rng) -> RgbImage:
    """Return a specimen on cloth or cork, or flesh that fills the picture (operation)."""
    h, w = _size(rng)
    relief = noise(rng, h, w, float(rng.uniform(2.2, 3.4)))
    body = blend(
        squash(relief, 0, 1.6), _pick(rng, FLESH), _pick(rng, FLESH), _pick(rng, FAT if rng.random() < 0.6 else FLESH)
    )
    if rng.random() < 0.5:
        vessel = squash(np.abs(noise(rng, h, w, 2.4, 5)) * -1, -0.06, 30)[:, :, None]
        body = (body * (1 - 0.5 * vessel) + np.asarray(_pick(rng, [(110, 20, 25)])) * 0.5 * vessel).astype(np.uint8)
    body = _lit(body, relief, float(rng.uniform(0.0, 0.2)))
    body = np.clip(body * (1 + rng.uniform(0, 0.08) * noise(rng, h, w, 1.2, 10))[:, :, None], 0, 255).astype(np.uint8)
    body = _shine(rng, body, relief, float(rng.uniform(0.02, 0.12)))
    if rng.random() < 0.6:
        inside = _inside(rng, h, w)[:, :, None]
        cloth = np.asarray(_pick(rng, CLOTH)) * (1 + 0.06 * noise(rng, h, w, 1.8)[:, :, None])
        body = np.clip(body * inside + cloth * (1 - inside), 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        y = int(h * rng.uniform(0.85, 0.95))
        cv2.rectangle(body, (0, y), (w, h), (240, 240, 235), -1)
        for x in range(0, w, max(4, w // 40)):
            cv2.line(body, (x, y), (x, y + (h - y) // 2), (20, 20, 20), 1)
    return body


def draw_endoscopy(rng: Rng) -> RgbImage:
    """Return pink mucosa lit from the middle in a black round or cut-off field."""
    h, w = _size(rng)
    relief = noise(rng, h, w, 3.0)
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    body = blend(
        squash(relief, 0, 1.5),
        (150, 60, 50),
        _pick(rng, [(220, 120, 95), (210, 100, 100), (230, 150, 110)]),
        (245, 180, 150),
    )
    light = np.exp(-((yy - rng.uniform(-0.3, 0.3)) ** 2 + (xx - rng.uniform(-0.3, 0.3)) ** 2) / rng.uniform(0.5, 1.6))
    body = np.clip(_lit(body, relief, 0.15) * (0.25 + 0.85 * light)[:, :, None], 0, 255).astype(np.uint8)
    body = _shine(rng, body, relief, 0.05)
    if rng.random() < 0.7:
        field = (np.hypot(yy, xx) < rng.uniform(0.95, 1.25)) & (np.abs(xx) < 0.97)
        body = np.where(field[:, :, None], body, 8).astype(np.uint8)
    return body


def draw_skin(rng: Rng) -> RgbImage:
    """Return skin with a lesion, an eye ground, or a face-like smooth surface."""
    h, w = _size(rng)
    base = _pick(rng, SKIN)
    dark: Colour = (int(base[0] * 0.75), int(base[1] * 0.65), int(base[2] * 0.6))
    body = blend(squash(noise(rng, h, w, 3.2), 0, 1.2), dark, base, base)
    spot = squash(noise(rng, h, w, 2.6, 3), float(rng.uniform(0.6, 1.6)), float(rng.uniform(4, 12)))[:, :, None]
    lesion = np.asarray(_pick(rng, [(170, 60, 60), (110, 50, 40), (200, 110, 110), (60, 35, 35)]))
    spotted = body * (1 - 0.8 * spot) + lesion * 0.8 * spot
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    shade = 1 + rng.uniform(-0.4, 0.4) * xx + rng.uniform(-0.3, 0.3) * yy
    body = np.clip(spotted * shade[:, :, None] + rng.normal(0, 2.5, (h, w, 1)), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        inside = _inside(rng, h, w, 0.6, 1.1)[:, :, None]
        body = (body * inside + np.asarray(_pick(rng, CLOTH)) * (1 - inside)).astype(np.uint8)
    return np.ascontiguousarray(body)


def draw_radiology(rng: Rng) -> RgbImage:
    """Return grey smooth shadows: a slice in black, a plain film or an ultrasound sector; rarely a colour overlay."""
    h, w = _size(rng)
    soft = noise(rng, h, w, float(rng.uniform(2.4, 3.4)))
    grey = 110 + rng.uniform(20, 55) * soft
    style = rng.random()
    yy, xx = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    if style < 0.55:
        radius = np.hypot(yy / 0.85, xx / rng.uniform(0.7, 0.95)) + 0.03 * noise(rng, h, w, 3.2)
        grey = np.where(radius < 1, grey, 3)
        rim = np.exp(-(((radius - rng.uniform(0.85, 0.95)) / 0.03) ** 2))
        grey = grey + rim * rng.uniform(30, 150)
        for _ in range(int(rng.integers(0, 6))):
            cy, cx, r = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.05, 0.3)
            grey = grey + rng.uniform(-90, 90) * squash((r - np.hypot(yy - cy, xx - cx)).astype(np.float32), 0, 40)
    elif style < 0.8:
        for k in range(int(rng.integers(4, 12))):
            grey = grey + 40 * np.exp(-(((yy + 1 - 0.2 * k + 0.3 * np.abs(xx)) / 0.03) ** 2))
        grey = grey * (1.2 - 0.6 * np.abs(xx))
    else:
        grey = np.abs(grey * rng.rayleigh(0.8, (h, w))) * (np.abs(xx) < (yy + 1.2) / 1.6)
    out = cv2.cvtColor(np.clip(grey + rng.normal(0, 3, (h, w)), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.12:
        heat = squash(noise(rng, h, w, 2.8), 1.0, 6)[:, :, None]
        out = (
            out * (1 - heat) + np.asarray(_pick(rng, [(255, 90, 20), (255, 220, 40), (60, 120, 255)])) * heat
        ).astype(np.uint8)
    return np.asarray(out, dtype=np.uint8)


def draw_cytology(rng: Rng) -> RgbImage:
    """Return cells apart on a pale ground: smears, Papanicolaou, Diff-Quik."""
    h, w = _size(rng)
    ground = _pick(
        rng, [(238, 236, 240), (225, 225, 235), (240, 235, 220), (215, 220, 225), (245, 225, 232), (205, 190, 205)]
    )
    out = np.full((h, w, 3), ground, dtype=np.float32) + 4 * noise(rng, h, w, 2.5)[:, :, None]
    unit = min(h, w)
    quik = rng.random() < 0.6
    plasma = (
        [(170, 160, 215), (190, 180, 225), (215, 170, 205)]
        if quik
        else [(150, 205, 205), (235, 170, 150), (225, 190, 205), (160, 200, 180)]
    )
    nucleus: list[Colour] = (
        [(90, 40, 130), (110, 30, 120), (70, 50, 140)] if quik else [(70, 50, 95), (60, 60, 110), (90, 40, 70)]
    )
    size = unit * float(np.exp(rng.uniform(np.log(0.015), np.log(0.14))))
    if rng.random() < 0.5:
        red = _pick(rng, [(225, 190, 195), (205, 185, 195), (235, 200, 180)])
        _blobs(rng, out, int(min(120, 0.25 * h * w / (size * size * 3))), size * 0.8, red, 0.7)
    clumps = [(rng.uniform(0, w), rng.uniform(0, h)) for _ in range(int(rng.integers(1, 7)))]
    for _ in range(int(np.clip(rng.uniform(0.05, 0.4) * h * w / (size * size * 6), 1, 160))):
        if rng.random() < 0.7:
            cx, cy = clumps[int(rng.integers(0, len(clumps)))]
            at = (int(cx + rng.normal(0, 3 * size)), int(cy + rng.normal(0, 3 * size)))
        else:
            at = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        _cell(rng, out, at, size * rng.uniform(1.1, 2.2), _pick(rng, plasma, 8), 0.75)
        _cell(rng, out, at, size * rng.uniform(0.7, 1.1), _pick(rng, nucleus, 10), 0.9)
    soft = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 1.5)))
    return np.asarray(np.clip(soft * (1 + 0.04 * noise(rng, h, w, 1.0, 24))[:, :, None], 0, 255), dtype=np.uint8)


def _cell(rng: Rng, out: Field, at: tuple[int, int], size: float, colour: Colour, cover: float) -> None:
    reach = int(size * 1.6) + 2
    y0, y1, x0, x1 = (
        max(0, at[1] - reach),
        min(out.shape[0], at[1] + reach),
        max(0, at[0] - reach),
        min(out.shape[1], at[0] + reach),
    )
    if y0 >= y1 or x0 >= x1:
        return
    mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    axes = (max(1, int(size * rng.uniform(0.75, 1.2))), max(1, int(size)))
    cv2.ellipse(mask, (at[0] - x0, at[1] - y0), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    alpha = cv2.GaussianBlur(mask, (0, 0), 1.0)[:, :, None] / 255.0 * cover
    out[y0:y1, x0:x1] = out[y0:y1, x0:x1] * (1 - alpha) + np.asarray(colour) * alpha


def _blobs(rng: Rng, out: Field, n: int, size: float, colour: Colour, cover: float) -> None:
    for _ in range(n):
        _cell(rng, out, (int(rng.uniform(0, out.shape[1])), int(rng.uniform(0, out.shape[0]))), size, colour, cover)


def draw_fluorescence(rng: Rng) -> RgbImage:
    """Return glowing cells on black, in one to three colours, magenta and pink among them."""
    h, w = _size(rng)
    out = np.zeros((h, w, 3), dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        colour = np.asarray(
            _pick(rng, [(40, 60, 255), (40, 255, 60), (255, 50, 40), (255, 60, 230), (240, 240, 240), (255, 140, 180)])
        )
        layer = np.zeros((h, w, 3), dtype=np.float32)
        if rng.random() < 0.6:
            _blobs(rng, layer, int(rng.integers(8, 90)), min(h, w) * rng.uniform(0.01, 0.07), (255, 255, 255), 0.9)
            light = cv2.GaussianBlur(layer[:, :, 0], (0, 0), float(rng.uniform(0.8, 4))) / 255
        else:
            light = squash(np.abs(noise(rng, h, w, 2.0, 6)) * -1, -0.15, 14) * rng.uniform(0.4, 1.0)
        light = light * np.clip(1 + 0.3 * noise(rng, h, w, 1.4, 10), 0, 2) + rng.uniform(0, 0.08)
        out += light[:, :, None] * colour
    return np.clip(out, 0, 255).astype(np.uint8)


def draw_gel(rng: Rng) -> RgbImage:
    """Return bands in lanes: dark on light (blot), light on dark (gel), sometimes stained blue."""
    h, w = _size(rng)
    if rng.random() < 0.6:
        h = max(24, int(w * rng.uniform(0.08, 0.45)))
    lanes = int(rng.integers(3, 16))
    bands = np.zeros((h, w), dtype=np.float32)
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    for y in rng.uniform(0.1, 0.9, int(rng.integers(1, 7))):
        for k in range(lanes):
            strength = max(0.0, rng.normal(0.55, 0.4))
            cx, cy = (k + 0.5) * w / lanes, (y + rng.normal(0, 0.008)) * h
            near = np.exp(-(((yy - cy) / max(1.2, h * 0.022)) ** 2)) * squash(
                0.38 * w / lanes - np.abs(xx - cx), 0, 0.8
            )
            bands += strength * near
    grey = np.clip(bands + 0.06 * noise(rng, h, w, 2.2) + rng.normal(0, 0.015, (h, w)), 0, 1)
    if rng.random() < 0.7:
        tone = (rng.uniform(190, 250) * (1 - 0.9 * grey)).astype(np.uint8)
    else:
        tone = (20 + 225 * grey).astype(np.uint8)
    if rng.random() < 0.15:
        return blend((tone / 255.0).astype(np.float32), (20, 40, 130), (215, 230, 250))
    return np.asarray(cv2.cvtColor(tone, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _text(rng: Rng, out: RgbImage, n: int) -> None:
    h, w = out.shape[:2]
    for _ in range(n):
        text = "".join(rng.choice(list("abcdefgh 0123456789.%"), int(rng.integers(2, 14))))
        at = (int(rng.uniform(0, 0.9) * w), int(rng.uniform(0.03, 1.0) * h))
        cv2.putText(
            out, text, at, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.25, 0.5)), (20, 20, 20), 1, cv2.LINE_AA
        )


PASTEL: list[Colour] = [
    (250, 200, 200),
    (200, 220, 250),
    (210, 240, 210),
    (240, 220, 180),
    (230, 200, 240),
    (255, 170, 190),
    (240, 130, 150),
]


def draw_chart(rng: Rng) -> RgbImage:
    """Return bars, lines, points or a heat map on white; heat maps come in pink and purple too."""
    h, w = _size(rng)
    out = np.full((h, w, 3), 255, dtype=np.uint8)
    x0, y0, x1, y1 = int(0.12 * w), int(0.06 * h), int(0.96 * w), int(0.88 * h)
    style = rng.random()
    colours = [_any_colour(rng) for _ in range(6)]
    if style < 0.3:
        rows, cols = int(rng.integers(3, 40)), int(rng.integers(3, 30))
        value = squash(rng.normal(size=(rows, cols)).astype(np.float32), 0, 1.5)
        low, high = (
            _pick(rng, [(255, 255, 255), (40, 40, 160), (250, 230, 240)]),
            _pick(rng, [(200, 20, 60), (120, 20, 120), (220, 60, 140), (180, 0, 0)]),
        )
        cells = blend(value, low, _pick(rng, [(250, 240, 245), (240, 180, 200)]), high)
        if rng.random() < 0.3:
            x0, y0, x1, y1 = 0, 0, w, h
        out[y0:y1, x0:x1] = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST)
    elif style < 0.55:
        n = int(rng.integers(2, 14))
        for k in range(n):
            x = x0 + int((k + 0.2) * (x1 - x0) / n)
            top = int(rng.uniform(y0, y1))
            cv2.rectangle(out, (x, top), (x + max(2, int(0.6 * (x1 - x0) / n)), y1), colours[k % 6], -1)
    elif style < 0.8:
        for k in range(int(rng.integers(1, 6))):
            ys = y1 - squash(np.cumsum(rng.normal(0.1, 0.4, 40)).astype(np.float32), 1, 0.8) * (y1 - y0)
            points = np.stack([np.linspace(x0, x1, 40), ys], axis=1).astype(np.int32)
            cv2.polylines(out, [points], False, colours[k % 6], int(rng.integers(1, 3)), cv2.LINE_AA)
    else:
        for _ in range(int(rng.integers(40, 900))):
            at = (
                int(np.clip(rng.normal(0.5, 0.2), 0, 1) * (x1 - x0)) + x0,
                int(np.clip(rng.normal(0.5, 0.2), 0, 1) * (y1 - y0)) + y0,
            )
            cv2.circle(out, at, int(rng.integers(1, 4)), colours[int(rng.integers(0, 3))], -1)
    if rng.random() < 0.9:
        cv2.rectangle(out, (x0, y0), (x1, y1), (0, 0, 0), 1)
        _text(rng, out, int(rng.integers(2, 14)))
    return out


def draw_drawing(rng: Rng) -> RgbImage:
    """Return a flow chart, or organs and cells in pastel as illustrators draw them."""
    h, w = _size(rng)
    ground = (255, 255, 255) if rng.random() < 0.7 else _pick(rng, PASTEL, 6)
    out = np.full((h, w, 3), ground, dtype=np.uint8)
    anatomy = rng.random() < 0.5
    for _ in range(int(rng.integers(3, 25))):
        colour = _pick(rng, PASTEL + FLESH[1:3], 10)
        at = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        size = (int(rng.uniform(0.04, 0.25) * w), int(rng.uniform(0.04, 0.2) * h))
        if anatomy:
            cv2.ellipse(out, at, size, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
            if rng.random() < 0.6:
                cv2.ellipse(out, at, size, 0, 0, 360, (90, 40, 60), 1, cv2.LINE_AA)
        else:
            cv2.rectangle(out, at, (at[0] + size[0], at[1] + size[1]), colour, -1 if rng.random() < 0.7 else 1)
            cv2.arrowedLine(out, at, (int(rng.uniform(0, w)), at[1]), (0, 0, 0), 1)
    if anatomy and rng.random() < 0.5:
        out = np.clip(cv2.GaussianBlur(out, (0, 0), 3) + 8 * noise(rng, h, w, 3)[:, :, None], 0, 255).astype(np.uint8)
    _text(rng, out, int(rng.integers(0, 12)))
    return out


def draw_photo(rng: Rng) -> RgbImage:
    """Return something that is none of the others: landscapes of noise, plates with colonies, plain fields, screens."""
    h, w = _size(rng)
    style = rng.random()
    if style < 0.6:
        out = blend(
            squash(noise(rng, h, w, float(rng.uniform(1.6, 3.2))), 0, 2),
            *[_any_colour(rng) for _ in range(int(rng.integers(2, 6)))],
        )
        if rng.random() < 0.5:
            half = int(h * rng.uniform(0.3, 0.7))
            out[:half] = blend(squash(noise(rng, half, w, 3.4), 0, 1), _any_colour(rng), _any_colour(rng))
        return out
    if style < 0.75:
        return np.full((h, w, 3), _any_colour(rng), dtype=np.uint8)
    if style < 0.9:
        plate = np.full((h, w, 3), _pick(rng, [(20, 20, 20), (230, 230, 225)]), dtype=np.float32)
        _cell(
            rng,
            plate,
            (w // 2, h // 2),
            min(h, w) * 0.45,
            _pick(rng, [(200, 60, 60), (225, 205, 160), (190, 190, 200)]),
            1.0,
        )
        _blobs(
            rng,
            plate,
            int(rng.integers(5, 120)),
            min(h, w) * 0.012,
            _pick(rng, [(245, 240, 215), (130, 70, 150), (250, 250, 250)]),
            0.9,
        )
        return np.clip(plate, 0, 255).astype(np.uint8)
    grey = 150 + 12 * noise(rng, h, w, 0.8, 20)
    cells = np.full((h, w, 3), 0, dtype=np.float32)
    _blobs(rng, cells, int(rng.integers(20, 120)), min(h, w) * rng.uniform(0.01, 0.05), (255, 255, 255), 0.9)
    grey = grey + 0.4 * (cv2.GaussianBlur(cells[:, :, 0], (0, 0), 1) - cv2.GaussianBlur(cells[:, :, 0], (0, 0), 3))
    return np.asarray(cv2.cvtColor(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB), dtype=np.uint8)


DRAWN: tuple[tuple[PanelKind, Callable[[Rng], RgbImage], int], ...] = (
    ("gross", draw_gross, 4),
    ("gross", draw_endoscopy, 2),
    ("gross", draw_skin, 2),
    ("radiology", draw_radiology, 5),
    ("cytology", draw_cytology, 4),
    ("fluorescence", draw_fluorescence, 2),
    ("gel", draw_gel, 4),
    ("chart", draw_chart, 4),
    ("drawing", draw_drawing, 4),
    ("other", draw_photo, 4),
)
"""Kind, how it is drawn, and its share."""
