"""The results of a study as DataFrames and arrays."""
