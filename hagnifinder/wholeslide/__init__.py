"""Slides of any size, read piece by piece: OpenSlide where it can, TIFF by itself, plain pictures whole."""
