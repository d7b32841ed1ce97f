"""Errors raised by Hagnifinder.

HagnifinderError
  ImageError       bytes that are no picture we can read, or one larger than we are willing to decode
  ModelError       a file that is no model, or a name nobody shipped
  DataError        a training or test set that cannot be used as it stands

A picture that was read but cannot be judged is no error: its Estimate says `abstained` and why.
Every message is one sentence that a person can act on.
"""

from __future__ import annotations


class HagnifinderError(Exception):
    """Base of everything raised on purpose; str() is one sentence for a person."""


class ImageError(HagnifinderError):
    """A file or byte string is not a picture, is damaged, or is too large to decode."""


class ModelError(HagnifinderError):
    """A file is not a Hagnifinder model, or no shipped model has this name."""


class DataError(HagnifinderError):
    """A data set cannot be trained or tested on as it stands."""
