"""Data-parallel training: a group of processes, each with a shard of every batch.

All processes start from the same weights and apply the same averaged gradients. Random numbers are
drawn for the whole batch in every process. Training in one process and in several therefore differ
by rounding error only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """The process `rank` of `world_size` processes.

    `cpu_group` is the backend for tensors on the CPU.
    """

    rank: int = 0
    world_size: int = 1
    cpu_group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process has rank 0, which writes files and messages."""
        return self.rank == 0

    def local_shard(self, rows: Tensor) -> Tensor:
        """Return this process's rows of a batch whose size is a multiple of `world_size`."""
        return rows.chunk(self.world_size)[self.rank]

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean over the processes of each tensor, without gradients.

        Every process gets the same bits.
        """
        if self.world_size == 1:
            return list(tensors)
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.world_size).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes by rank, (world_size, …), without gradients."""
        parts = [torch.empty_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def all_reduce_sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor, group=None if tensor.is_cuda else self.cpu_group)

    def sum_over_processes(self, *values: float) -> list[float]:
        """Return the sum over the processes of each Python number."""
        totals = torch.tensor(values, dtype=torch.float64)
        self.all_reduce_sum(totals)
        return totals.tolist()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is true in any process.

        Waits for the processes, but not for their GPUs.
        """
        if self.world_size == 1:
            return flags
        reduced = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(reduced, dist.ReduceOp.MAX, group=self.cpu_group)
        return tuple(reduced.bool().tolist())

    def barrier(self) -> None:
        """Wait until all processes reach this call."""
        self.any(False)


SINGLE_PROCESS = ProcessGroup()
