"""Forecast of a study's run time and disk use."""
