"""Precision, recall, density and coverage: latentbench against prdc (Naeem et al., 2020).

Same features, same threads, in turns. latentbench computes the real images' neighborhoods once for
all sets of samples; that time is printed separately.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import Any

from turns import read_arguments, take_turns, timed

NEIGHBORS = 5


def main() -> None:
    compare(read_arguments(__doc__, threads=os.cpu_count() or 1))


def compare(arguments: argparse.Namespace) -> None:
    import prdc
    import torch

    from latentbench.evaluation.metrics.precision_recall import PrecisionRecall
    from latentbench.rng import torch_generator

    torch.set_num_threads(arguments.threads)
    size = (arguments.samples, arguments.dim)
    # float64, since rounding in float32 changes the count at the edge of a neighborhood.
    real = torch.randn(size, generator=torch_generator(0, "real"), dtype=torch.float64)
    samples = torch.randn(size, generator=torch_generator(0, "samples"), dtype=torch.float64)
    samples *= 0.97  # a narrower distribution: high precision, lower recall
    neighborhoods, once_s = timed(lambda: PrecisionRecall(real, num_neighbors=NEIGHBORS))

    def theirs() -> Any:
        with contextlib.redirect_stdout(None):  # prdc prints the number of images
            return prdc.compute_prdc(real.numpy(), samples.numpy(), NEIGHBORS)

    turns = take_turns(lambda: neighborhoods(samples), theirs, arguments.turns)
    difference = max(abs(turns.ours[name] / turns.theirs[name] - 1) for name in turns.ours)
    print(
        f"overlap   {arguments.samples:,} images of {arguments.dim:,} features on each side, "
        f"{arguments.threads} threads: prdc {turns.theirs_s:.2f} s, "
        f"latentbench {turns.ours_s:.2f} s (real images, once: {once_s:.2f} s), {turns}, "
        f"relative difference {difference:.1e}"
    )


if __name__ == "__main__":
    main()
