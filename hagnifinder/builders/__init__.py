"""Data sets like the paper's, cut from whole slides and from large pictures of known scale."""
