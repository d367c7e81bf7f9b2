"""Precision, recall, density and coverage: the prdc package of Naeem et al. (2020) against ours.

Same features of real and generated images, same threads, turn by turn in one run. Ours has the neighborhoods of the
real images at hand, which serve every checkpoint and every set of samples; finding them is timed apart.
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

    from latentbench.evaluation.precision_recall import PrecisionRecall
    from latentbench.rng import torch_generator

    torch.set_num_threads(arguments.threads)
    size = (arguments.samples, arguments.dim)
    # A narrower distribution: precise, but far from all of the real ones.
    # Both in float64: at the rim of a neighborhood float32 counts a pair more or less.
    real, samples = (
        torch.randn(size, generator=torch_generator(0, side), dtype=torch.float64)
        for side in ("real", "samples")
    )
    samples *= 0.97
    neighborhoods, once_s = timed(lambda: PrecisionRecall(real, num_neighbors=NEIGHBORS))

    def theirs() -> Any:
        with contextlib.redirect_stdout(None):  # prdc prints how many there are
            return prdc.compute_prdc(real.numpy(), samples.numpy(), NEIGHBORS)

    turns = take_turns(lambda: neighborhoods(samples), theirs, arguments.turns)
    apart = max(abs(turns.ours[name] / turns.theirs[name] - 1) for name in turns.ours)
    print(
        f"overlap   {arguments.samples:,} images of {arguments.dim:,} features on either side, {arguments.threads} "
        f"threads: prdc {turns.theirs_s:.2f} s, ours {turns.ours_s:.2f} s (once for the real images {once_s:.2f} s), "
        f"{turns}, results apart by {apart:.1e}"
    )


if __name__ == "__main__":
    main()
