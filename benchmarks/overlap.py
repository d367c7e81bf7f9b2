"""Precision, recall, density and coverage: the prdc package of Naeem et al. (2020) against ours.

Same features of real and generated images, same threads, turn by turn in one run. Ours has the neighbourhoods of the
real images at hand, which serve every checkpoint and every set of samples; finding them is timed apart.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

NEIGHBOURS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=2048, help="features: Inception has 2,048")
    parser.add_argument("--number", type=int, default=5000, help="images on either side")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    # NumPy's linear algebra reads this when it is imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    import prdc
    import torch

    from latentbench.evaluation.neighbourhoods import Neighbourhoods
    from latentbench.rng import torch_generator

    torch.set_num_threads(arguments.threads)
    size = (arguments.number, arguments.dim)
    # A narrower distribution: precise, but far from all of the real ones.
    # Both in float64: at the rim of a neighbourhood float32 counts a pair more or less.
    real, samples = (
        torch.randn(size, generator=torch_generator(0, side), dtype=torch.float64) for side in ("real", "samples")
    )
    samples *= 0.97
    neighbourhoods, once_s = timed(lambda: Neighbourhoods(real, neighbours=NEIGHBOURS))
    seconds: dict[str, list[float]] = {"ours": [], "prdc": []}
    for _ in range(arguments.turns):
        ours, ours_s = timed(lambda: neighbourhoods(samples))
        with contextlib.redirect_stdout(None):  # prdc prints how many there are
            theirs, theirs_s = timed(lambda: prdc.compute_prdc(real.numpy(), samples.numpy(), NEIGHBOURS))
        seconds["ours"].append(ours_s)
        seconds["prdc"].append(theirs_s)
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    ratios = [theirs_s / ours_s for ours_s, theirs_s in zip(*seconds.values(), strict=True)]
    apart = max(abs(ours[name] / theirs[name] - 1) for name in ours)
    print(
        f"overlap   {arguments.number:,} images of {arguments.dim:,} features on either side, {arguments.threads} "
        f"threads: prdc {medians['prdc']:.2f} s, ours {medians['ours']:.2f} s (once for the real images "
        f"{once_s:.2f} s), ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"results apart by {apart:.1e}"
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


if __name__ == "__main__":
    main()
