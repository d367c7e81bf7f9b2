"""Figures and tables of the training chapter."""
