"""How a data set lies on disk: one writer a format, fed one record at a time, block by block."""

from __future__ import annotations

from harvester.export.formats.writer import Writer
from harvester.export.workplace import Workplace

__all__ = ["Writer", "open_writer"]


def open_writer(format_name: str, workplace: Workplace) -> Writer:
    """Return the writer of a format; each imports what it needs when it is asked for."""
    if format_name == "parquet":
        from harvester.export.formats.parquet import ParquetWriter

        return ParquetWriter(workplace)
    if format_name == "webdataset":
        from harvester.export.formats.webdataset import WebDatasetWriter

        return WebDatasetWriter(workplace)
    if format_name == "coco":
        from harvester.export.formats.coco import CocoWriter

        return CocoWriter(workplace)
    if format_name == "qupath":
        from harvester.export.formats.qupath import QuPathWriter

        return QuPathWriter(workplace)
    from harvester.export.formats.files import CsvWriter, ImageFolderWriter

    return CsvWriter(workplace) if format_name == "csv" else ImageFolderWriter(workplace)
