"""The explorer: a study's trained models in the browser."""
