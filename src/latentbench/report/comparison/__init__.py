"""Figures, tables and sentences of the comparison chapter."""
