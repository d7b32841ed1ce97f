"""Measurements: each prints a table and asserts nothing about seconds. Run one with `python -m tests.benchmarks.NAME`."""
