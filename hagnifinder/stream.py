"""Any number of pictures in, an answer for each out, in order and as they come; memory stays that of a few pictures.

for answer in answer_stream(Predictor.load("default"), paths):
    print(answer.name, answer.estimate or answer.error)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hagnifinder.errors import ImageError
from hagnifinder.preprocess import RgbImage
from hagnifinder.read import ReadPicture, read_picture

if TYPE_CHECKING:
    from hagnifinder.predict import Estimate, Predictor

Source = str | os.PathLike[str] | bytes | RgbImage
"""A file's name, the bytes of a file, or (H, W, 3) uint8 RGB; in a stream also a pair of a name of your own and one."""

AT_ONCE = 16
AT_ONCE_PX = 48_000_000
"""Pictures are read until there are so many of them, or so many pixels, then judged together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture's answer, or why there is none.

    Attributes:
        name: the file's name; "picture 3" for the third source when that has no name.
        rgb: (H, W, 3) uint8 as it was judged, of a whole slide the field with the most tissue; None when it could not
            be read.
        estimate: None when it could not be read.
        error: one sentence when it could not be read, else empty.
        density: (BINS,) probabilities on `hagnifinder.density.GRID`; None when it should not be judged.
        picture: its size, and what the file says of its own scale; None when it could not be read.
    """

    name: str
    rgb: RgbImage | None
    estimate: Estimate | None
    error: str = ""
    density: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    picture: ReadPicture | None = None


def answer_stream(predictor: Predictor, sources: Iterable[Source | tuple[str, Source]]) -> Iterator[Answer]:
    """Judge pictures from a list, a generator or a queue without end.

    A picture that cannot be read costs only its own answer. Every answer is the one `predictor.predict` gives for the
    same pixels.

    Args:
        predictor: may be shared by threads.
        sources: names, bytes or arrays, or pairs (name, source), mixed as they like.

    Yields:
        an Answer per source, in the order of the sources.
    """
    part: list[Answer] = []
    n_px = 0
    for number, source in enumerate(sources, start=1):
        answer = _read(source, number)
        part.append(answer)
        n_px += sum(f.shape[0] * f.shape[1] for f in answer.picture.fields) if answer.picture else 0
        if len(part) >= AT_ONCE or n_px >= AT_ONCE_PX:
            yield from _judge(predictor, part)
            part, n_px = [], 0
    yield from _judge(predictor, part)


def _judge(predictor: Predictor, part: list[Answer]) -> Iterator[Answer]:
    judged = predictor.predict_densities([answer.picture.fields for answer in part if answer.picture])
    for answer in part:
        if answer.picture is None:
            yield answer
        else:
            estimate, density = next(judged)
            picture = replace(answer.picture, fields=())
            yield replace(answer, estimate=estimate, density=density, picture=picture)


def _read(item: Source | tuple[str, Source], number: int) -> Answer:
    if isinstance(item, tuple):
        name, source = item
    else:
        source = item
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else f"picture {number}"
    try:
        if isinstance(source, np.ndarray):
            if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
                raise ImageError(
                    f"{name} is an array of shape {source.shape} and type {source.dtype}, not (H, W, 3) uint8."
                )
            picture = ReadPicture((source,), source.shape[1], source.shape[0])
        else:
            picture = read_picture(source if isinstance(source, bytes) else os.fspath(source))
        return Answer(name, picture.fields[0], None, picture=picture)
    except ImageError as error:
        sentence = str(error)
        if isinstance(source, bytes):
            sentence = sentence.replace("the picture", name, 1)
        return Answer(name, None, None, sentence)
