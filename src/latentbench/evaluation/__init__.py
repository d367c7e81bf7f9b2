"""Metrics of generated images: reference features, distances, memorization, conditioning."""
