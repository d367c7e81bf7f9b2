"""Rankings and tables of models."""
