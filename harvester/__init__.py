"""Harvester of H&E snapshots from the open-access literature; see README.md and docs/data-flow.md."""

__version__ = "0.1.0"
