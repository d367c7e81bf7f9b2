"""From where on a stage says that something is wrong. The report tells them beside what they found."""

from __future__ import annotations

# Signs of trouble in training.
LOW_DIVERSITY = 0.3  # the mean distance between two samples, over that between two real images
SATURATED_ACCURACY = (
    0.99  # the share of real and of generated images on which a discriminator is right
)
MIN_ACTIVE_FRACTION = 0.1  # the share of latent units that are active

# Samples are copies where a share of COPY_FRACTION is nearer to a training image than all but a share of CLOSE_QUANTILE of the real
# images that no model saw.
CLOSE_QUANTILE = 0.05
COPY_FRACTION = 0.5
