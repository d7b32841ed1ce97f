"""Measurements: each prints a table and asserts nothing about seconds; run `python -m tests.benchmarks.NAME`."""
