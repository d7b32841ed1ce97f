"""Estimates without a learned network; controls for it, and measures a person can follow."""
