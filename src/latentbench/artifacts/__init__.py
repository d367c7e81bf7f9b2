"""The files that stages exchange: their names, formats and provenance."""
