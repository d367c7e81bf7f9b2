"""Several processes that train one model together, each on its share of every batch.

Their weights start alike and stay alike: each takes the mean of all gradients, and what is random is drawn for the
whole batch by everyone. A batch of one process and the same batch over several then differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """One of `number` processes; `host` is their group for tensors that are not on a GPU."""

    rank: int = 0
    number: int = 1
    host: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of the rows of a batch, whose number is a multiple of that of the processes."""
        return rows.chunk(self.number)[self.rank]

    def means(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Of each tensor, the mean over the processes, the same bits in all; without gradients."""
        if self.number == 1:
            return list(tensors)
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.number).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def gathered(self, tensor: Tensor) -> Tensor:
        """(processes, …) what each has, in the order of their ranks; without gradients."""
        parts = [torch.empty_like(tensor) for _ in range(self.number)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def sum_(self, tensor: Tensor) -> None:
        """Put the sum over the processes in its place."""
        if self.number > 1:
            dist.all_reduce(tensor, group=None if tensor.is_cuda else self.host)

    def sums(self, *values: float) -> list[float]:
        """Of numbers of the host, each added over the processes."""
        totals = torch.tensor(values, dtype=torch.float64)
        self.sum_(totals)
        return totals.tolist()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it is true in any process; waits for all of them, and not for their devices."""
        if self.number == 1:
            return flags
        told = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self.host)
        return tuple(told.bool().tolist())

    def wait(self) -> None:
        """For all to come here."""
        self.any(False)


SINGLE_PROCESS = ProcessGroup()
