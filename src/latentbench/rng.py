"""Random generators derived from (seed, stream, step), never from global state.

A resumed run draws what an undisturbed one would have drawn, because a draw depends only on what it is
for and on when it happens, not on how many draws came before it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(seed: int, stream: str, step: int = 0) -> int:
    """A 63-bit seed for one purpose (`stream`) at one moment (`step`)."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(derive_seed(seed, stream, step))


def torch_generator(
    seed: int, stream: str, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, stream, step))
