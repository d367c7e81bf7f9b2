"""Warning thresholds of training and evaluation. The report prints them with the warnings."""

from __future__ import annotations

# Training.
LOW_DIVERSITY = 0.3  # mean distance of two samples, relative to that of two real images
SATURATED_ACCURACY = 0.99  # a discriminator's accuracy on real and on generated images
OVERFITTING_GAP = 0.3  # a discriminator's accuracy on training images less that on test images
MIN_ACTIVE_FRACTION = 0.1  # active latent units, as a fraction of all

# Memorization: samples count as copies if at least COPY_FRACTION of them are closer to a training
# image than the CLOSE_QUANTILE of the test images' distances.
CLOSE_QUANTILE = 0.05
COPY_FRACTION = 0.5
