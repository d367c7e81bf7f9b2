"""A reproducible workbench for latent-variable image models."""
