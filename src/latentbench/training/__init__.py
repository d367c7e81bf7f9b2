"""Training: the loop, what it monitors, and the files it writes."""
