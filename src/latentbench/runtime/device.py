"""Where tensors are computed, and the switches that make the same computation give the same bits."""

from __future__ import annotations

import ctypes
import os

import torch

from latentbench.config.base import Compute
from latentbench.errors import ConfigError


def prepare_compute(compute: Compute) -> torch.device:
    """Set threads and determinism for this process and return its device.

    Raises ConfigError where CUDA is asked for and there is none.
    """
    torch.set_num_threads(compute.threads)
    # Of the two calls that refuse nondeterministic kernels, the one that does not import the compiler (5 s).
    torch.set_deterministic_debug_mode("error")
    # Deterministic mode also fills fresh memory with NaN, to find reads of it; that is for debugging.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if compute.device == "cpu" or (compute.device == "auto" and not torch.cuda.is_available()):
        _keep_freed_memory()
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "compute.device is 'cuda', but PyTorch finds no GPU here; use 'auto' or 'cpu'."
        )
    # cuBLAS is only deterministic with a workspace of fixed size, read when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("high")  # TF32 in matrix products
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda")


def _keep_freed_memory() -> None:
    """Let malloc hand the memory of one step's tensors to the next.

    By default glibc gives blocks as large as a feature map back to the kernel when they are freed, which clears and
    maps fresh pages for the next: tens of thousands of page faults in each step of a DCGAN. Other C libraries have no
    such switch, and stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that networks compute in; weights and optimizer state stay float32."""
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
