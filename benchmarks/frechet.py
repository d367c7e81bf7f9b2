"""Fréchet distance: clean-fid's against ours where the reference statistics are at hand.

That is how checkpoints are measured one after another. Same features, same threads, turn by turn in one run.

Both begin with the means and covariances. Ours has read the reference's root with them, which the reference
stage computes once per dataset; its time is printed apart.
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

    from latentbench.evaluation.feature_stats import compute_feature_stats
    from latentbench.evaluation.frechet import frechet_distance

    torch.set_num_threads(arguments.threads)
    reference = compute_feature_stats(make_features(arguments, seed=0))
    rooted, root_s = timed(reference.with_root)
    samples = compute_feature_stats(make_features(arguments, seed=1))
    moments = [
        part.numpy() for side in (samples, reference) for part in (side.mean, side.covariance)
    ]
    turns = take_turns(
        lambda: frechet_distance(rooted, samples),
        lambda: cleanfid_distance(*moments),
        arguments.turns,
    )
    print(
        f"Fréchet distance of {arguments.dim:,} features, {arguments.samples:,} images on either side, "
        f"{arguments.threads} thread(s):\n"
        f"  clean-fid {turns.theirs_s:.2f} s, ours {turns.ours_s:.2f} s (the reference's root, once: {root_s:.2f} s)\n"
        f"  {turns} in {arguments.turns} turns, results apart by {abs(turns.ours / turns.theirs - 1):.1e}"
    )


def make_features(arguments: argparse.Namespace, *, seed: int) -> Any:
    """Correlated, non-negative and of falling variance, as Inception's are."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(2)
    mix = torch.randn(arguments.dim, arguments.dim, generator=shared) / arguments.dim**0.5
    scale = torch.logspace(0, -1.5, arguments.dim)
    latents = torch.randn(arguments.samples, arguments.dim, generator=generator) + 0.1 * seed
    return (latents * scale @ mix).relu()


if __name__ == "__main__":
    main()
