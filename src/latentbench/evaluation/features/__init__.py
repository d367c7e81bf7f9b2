"""Feature extractors and statistics of their features."""
