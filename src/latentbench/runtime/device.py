"""Device, threads, determinism and precision of a process."""

from __future__ import annotations

import ctypes
import os
from typing import TypeVar

import torch
from torch import Tensor, nn

from latentbench.config.base import Compute
from latentbench.errors import ConfigError

Network = TypeVar("Network", bound=nn.Module)


def select_device(name: str, *, num_processes: int = 1) -> torch.device:
    """Return the device of a value of `compute.device`.

    `auto` takes CUDA, then MPS, then the CPU. MPS has no distributed backend: with several
    processes, `auto` takes the CPU in its place.

    Raises:
        ConfigError: There is no such device here, or it is MPS with several processes.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        has_mps = torch.backends.mps.is_available() and num_processes == 1
        return torch.device("mps" if has_mps else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "compute.device is cuda, but PyTorch finds no GPU here. Use auto or cpu instead."
        )
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            "compute.device is mps, but PyTorch finds no Apple GPU here. Use auto or cpu instead."
        )
    if name == "mps" and num_processes > 1:
        raise ConfigError(
            f"training.processes is {num_processes}, but PyTorch trains in several processes on "
            "CUDA and the CPU only. Use one process, or set compute.device to cpu."
        )
    return torch.device(name)


def prepare_compute(compute: Compute, *, num_processes: int = 1) -> torch.device:
    """Set the threads and deterministic mode of this process and return its device.

    On MPS the deterministic mode stays off: PyTorch does not support it there.

    Raises:
        ConfigError: See `select_device`.
    """
    torch.set_num_threads(compute.threads)
    device = select_device(compute.device, num_processes=num_processes)
    # use_deterministic_algorithms would do the same, but imports torch._dynamo (5 s).
    torch.set_deterministic_debug_mode("default" if device.type == "mps" else "error")
    # Deterministic mode also fills new memory with NaN, which only helps debugging.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type == "cpu":
        _keep_freed_memory()
    if device.type != "cuda":
        return device
    # cuBLAS is deterministic only with a workspace of fixed size, read when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("high")  # TF32 in matrix products
    torch.backends.cudnn.allow_tf32 = True
    return device


def float64_device(device: torch.device) -> torch.device:
    """Return where to compute in float64: on the device, or on the CPU for MPS, which lacks it."""
    return torch.device("cpu") if device.type == "mps" else device


def to_float64(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, on `float64_device` of its device."""
    return tensor.to(float64_device(tensor.device)).double()


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the memory format of networks and images on a device.

    Channels-last is the faster one. Kernels of MPS have returned wrong values for it, so there it
    is the contiguous one.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def move_network(network: Network, device: torch.device) -> Network:
    """Move a network to a device, in the memory format of that device, and return it."""
    return network.to(device).to(memory_format=memory_format(device))


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, `mps` for Apple's, or `cpu`."""
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type


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
