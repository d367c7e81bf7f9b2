"""Decoding images of any size into arrays of one size."""
