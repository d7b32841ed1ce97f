"""Text read from pixels with RapidOCR, whose models lie inside its package: no download, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from harvester.geometry import BoxPx, RgbImage

MAX_SIDE_PX = 960
"""A larger picture is shrunk before text is looked for."""
LINE_HEIGHT_PX = 48
MAX_LINE_WIDTH_PX = 640
MAX_LINES = 64


@dataclass(frozen=True, slots=True)
class ReadText:
    """A line of text as read.

    Attributes:
        box: In the pixels that were given.
        score: The reader's own certainty, 0 to 1.
    """

    text: str
    box: BoxPx
    score: float


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads lines of text. Made of settings alone, so that it travels to workers; the models load once a process.

    Attributes:
        threads: Of one reading; the pool of workers is the parallelism.
    """

    threads: int = 1

    def find_lines(self, pixels: RgbImage) -> list[ReadText]:
        """Find and read every line of a picture (H, W, 3) uint8 RGB, the surest first."""
        height, width = pixels.shape[:2]
        if min(height, width) < 8:
            return []
        scale = min(1.0, MAX_SIDE_PX / max(height, width))
        if scale < 1.0:
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        result = _engine(self.threads)(_bgr(pixels), use_det=True, use_cls=False, use_rec=True)
        boxes, texts, scores = (getattr(result, name, None) for name in ("boxes", "txts", "scores"))
        if boxes is None or texts is None or scores is None:
            return []
        found = []
        for corners, text, score in zip(boxes, texts, scores, strict=True):
            (x0, y0), (x1, y1) = np.min(corners, 0) / scale, np.max(corners, 0) / scale
            box = BoxPx(max(0, int(x0)), max(0, int(y0)), max(1, int(np.ceil(x1))), max(1, int(np.ceil(y1))))
            found.append(ReadText(str(text), box, float(score)))
        return sorted(found, key=lambda line: -line.score)[:MAX_LINES]

    def read_line(self, pixels: RgbImage) -> tuple[str, float]:
        """Read a picture (H, W, 3) uint8 RGB that holds one line and nothing else; text and certainty, 0 to 1."""
        return self.read_lines([pixels])[0]

    def read_lines(self, pictures: Sequence[RgbImage]) -> list[tuple[str, float]]:
        """Read pictures of one line each."""
        read = []
        for pixels in pictures[:MAX_LINES]:
            height, width = pixels.shape[:2]
            wide = min(MAX_LINE_WIDTH_PX, max(8, round(width * LINE_HEIGHT_PX / height)))
            line = cv2.resize(pixels, (wide, LINE_HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
            result = _engine(self.threads)(_bgr(line), use_det=False, use_cls=False, use_rec=True)
            texts, scores = getattr(result, "txts", None), getattr(result, "scores", None)
            read.append((str(texts[0]), float(scores[0])) if texts and scores else ("", 0.0))
        return read


def _bgr(pixels: RgbImage) -> RgbImage:
    return np.ascontiguousarray(pixels[:, :, ::-1])


@lru_cache(maxsize=2)
def _engine(threads: int) -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.text_score": 0.3,
            "Global.max_side_len": MAX_SIDE_PX,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": threads,
            # a small picture is read at its own size, not blown up to 736 pixels
            "Det.limit_type": "max",
            "Det.limit_side_len": MAX_SIDE_PX,
            # letters over tissue are fainter than print on paper
            "Det.thresh": 0.2,
            "Det.box_thresh": 0.35,
            "Det.unclip_ratio": 1.8,
        }
    )
