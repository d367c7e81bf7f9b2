"""Figures of the background chapter."""
