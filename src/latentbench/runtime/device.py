"""Device, threads, determinism and precision of a process."""

from __future__ import annotations

import ctypes
import os

import torch

from latentbench.config.base import Compute
from latentbench.errors import ConfigError


def prepare_compute(compute: Compute) -> torch.device:
    """Set the threads and deterministic mode of this process and return its device.

    Raises:
        ConfigError: `compute.device` is cuda and there is no GPU.
    """
    torch.set_num_threads(compute.threads)
    # use_deterministic_algorithms would do the same, but imports torch._dynamo (5 s).
    torch.set_deterministic_debug_mode("error")
    # Deterministic mode also fills new memory with NaN, which only helps debugging.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if compute.device == "cpu" or (compute.device == "auto" and not torch.cuda.is_available()):
        _keep_freed_memory()
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(
            "compute.device is cuda, but PyTorch finds no GPU here. Use auto or cpu instead."
        )
    # cuBLAS is deterministic only with a workspace of fixed size, read when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("high")  # TF32 in matrix products
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda")


def _keep_freed_memory() -> None:
    """Let malloc reuse the memory of one step's tensors in the next step.

    By default, glibc returns blocks as large as a feature map to the kernel when they are freed.
    The kernel clears and maps new pages for the next step: tens of thousands of page faults per
    step of a DCGAN. C libraries without mallopt keep their defaults.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype in which networks compute; weights and optimizer state stay float32.

    `auto` is bfloat16 on GPUs that support it, else float32.
    """
    if precision == "auto":
        has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if has_bfloat16 else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
