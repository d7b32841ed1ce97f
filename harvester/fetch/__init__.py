"""The only socket of the project, its limits, and the files it fills."""
