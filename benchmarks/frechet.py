"""Fréchet distance: clean-fid's against ours where the reference statistics are at hand.

That is how checkpoints are measured one after another. Same features, same threads, turn by turn in one run.

Both begin with the means and covariances. Ours has read the reference's root with them, which the reference
stage computes once per dataset; its time is printed apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=2048, help="features: Inception has 2,048")
    parser.add_argument("--samples", type=int, default=5000, help="images on either side")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # SciPy's linear algebra reads this when it is imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    import torch
    from cleanfid.fid import frechet_distance as cleanfid_distance

    from latentbench.evaluation.frechet import frechet_distance
    from latentbench.evaluation.statistics import feature_statistics

    torch.set_num_threads(arguments.threads)
    reference = feature_statistics(make_features(arguments, seed=0))
    rooted, root_s = timed(reference.with_root)
    samples = feature_statistics(make_features(arguments, seed=1))
    moments = [part.numpy() for side in (samples, reference) for part in (side.mean, side.covariance)]
    seconds: dict[str, list[float]] = {"ours": [], "clean-fid": []}
    for _ in range(arguments.turns):
        ours, ours_s = timed(lambda: frechet_distance(rooted, samples))
        theirs, theirs_s = timed(lambda: cleanfid_distance(*moments))
        seconds["ours"].append(ours_s)
        seconds["clean-fid"].append(theirs_s)
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(*seconds.values(), strict=True)]
    print(
        f"Fréchet distance of {arguments.dim:,} features, {arguments.samples:,} images on either side, "
        f"{arguments.threads} thread(s):\n"
        f"  clean-fid {medians['clean-fid']:.2f} s, ours {medians['ours']:.2f} s "
        f"(the reference's root, once: {root_s:.2f} s)\n"
        f"  ratio {statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f} "
        f"in {arguments.turns} turns), results apart by {abs(ours / theirs - 1):.1e}"
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


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
