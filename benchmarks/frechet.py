"""Fréchet distance: latentbench against clean-fid, with the reference statistics given.

Same features, same threads, in turns. Both start from means and covariances. latentbench also has
the square root of the reference's covariance, which the reference stage computes once per dataset;
its time is printed separately.
"""

from __future__ import annotations

import argparse
from typing import Any

from turns import read_arguments, take_turns, timed


def main() -> None:
    compare(read_arguments(__doc__, threads=1))


def compare(arguments: argparse.Namespace) -> None:
    import torch
    from cleanfid.fid import frechet_distance as cleanfid_distance

    from latentbench.evaluation.features.feature_stats import compute_feature_stats
    from latentbench.evaluation.metrics.frechet import frechet_distance

    torch.set_num_threads(arguments.threads)
    reference = compute_feature_stats(make_features(arguments, seed=0))
    rooted, root_s = timed(reference.with_root)
    samples = compute_feature_stats(make_features(arguments, seed=1))
    moments = [samples.mean, samples.covariance, reference.mean, reference.covariance]
    arrays = [moment.numpy() for moment in moments]
    turns = take_turns(
        lambda: frechet_distance(rooted, samples),
        lambda: cleanfid_distance(*arrays),
        arguments.turns,
    )
    print(
        f"frechet   {arguments.samples:,} images of {arguments.dim:,} features on each side, "
        f"{arguments.threads} threads: clean-fid {turns.theirs_s:.2f} s, "
        f"latentbench {turns.ours_s:.2f} s (root of the reference, once: {root_s:.2f} s), {turns}, "
        f"relative difference {abs(turns.ours / turns.theirs - 1):.1e}"
    )


def make_features(arguments: argparse.Namespace, *, seed: int) -> Any:
    """Return correlated, non-negative features with decreasing variance, like Inception's."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(2)
    mix = torch.randn(arguments.dim, arguments.dim, generator=shared) / arguments.dim**0.5
    scale = torch.logspace(0, -1.5, arguments.dim)
    latents = torch.randn(arguments.samples, arguments.dim, generator=generator) + 0.1 * seed
    return (latents * scale @ mix).relu()


if __name__ == "__main__":
    main()
