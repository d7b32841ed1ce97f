"""From the catalog to a labelled data set that the usual tools open. Writes files, as fetch/store.py does."""

from harvester.export.dataset import ExportSummary, export_dataset
from harvester.export.request import FORMATS, PLANNED_FORMATS, ExportRequest

__all__ = ["FORMATS", "PLANNED_FORMATS", "ExportRequest", "ExportSummary", "export_dataset"]
