"""Figures and tables of the latent space chapter."""
