"""What is explored in a latent space, one question per file."""
