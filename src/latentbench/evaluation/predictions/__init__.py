"""What classifiers and discriminators predict for real and generated images."""
