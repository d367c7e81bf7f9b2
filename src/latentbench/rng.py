"""Random generators derived from (seed, stream, step), never from global state.

A draw depends on its purpose and its step, not on the number of draws before it. So a resumed run
draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(seed: int, stream: str, step: int = 0) -> int:
    """Return a 63-bit seed for one purpose (`stream`) at one step."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for one purpose at one step."""
    import numpy as np

    return np.random.default_rng(derive_seed(seed, stream, step))


def torch_generator(
    seed: int, stream: str, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a PyTorch generator on `device` for one purpose at one step."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, stream, step))
