"""The schema of params.yaml, and how it is read and resolved."""
