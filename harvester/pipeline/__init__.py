"""The loops that call the stages: search and download, annotate, take in your own files."""
