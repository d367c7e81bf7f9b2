"""Metrics of generated images, each a pure function of features or pixels."""
