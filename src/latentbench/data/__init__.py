"""Datasets: download, decode, prepare, and read the prepared images."""
