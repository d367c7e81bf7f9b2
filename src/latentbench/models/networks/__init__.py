"""Layers, and how they are stacked between latents and images."""
