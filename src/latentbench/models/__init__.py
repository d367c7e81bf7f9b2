"""Networks, likelihoods and objectives."""
