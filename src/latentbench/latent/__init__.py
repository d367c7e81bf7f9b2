"""Exploration of trained models: latent spaces, reconstructions, interpolations."""
