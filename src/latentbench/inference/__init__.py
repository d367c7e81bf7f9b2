"""Trained models in use: the Python API that the stages, notebooks and the app share."""
